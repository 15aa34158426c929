//! The two routes against a board that a test writes on.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use tokio::time::Instant;

use super::*;

struct Bench {
    api: StatsApi,
    asked: Arc<AtomicUsize>,
    stop: CancellationToken,
}

fn bench(streams: usize) -> Bench {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let wake = Arc::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
        true
    });
    let limit = Cost {
        count: streams,
        bytes: streams,
    };
    Bench {
        api: StatsApi {
            board: Board::new(wake),
            streams: Credits::new("streams", limit),
            wait: Duration::from_secs(5),
        },
        asked,
        stop: CancellationToken::new(),
    }
}

impl Bench {
    fn post(&self, id: i64) {
        let json = Bytes::from(format!("{{\"id\":{id}}}"));
        let figures = Arc::new(Figures::new(id, json));
        self.api
            .board
            .post(Posted::Figures(figures, Instant::now()));
    }

    async fn stream(&self, last: Option<&'static str>) -> Text {
        let mut headers = HeaderMap::new();
        if let Some(last) = last {
            headers.insert("last-event-id", HeaderValue::from_static(last));
        }
        let response = self.api.stream(&headers, self.stop.clone()).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Text {
            body: response.into_body().boxed(),
        }
    }
}

/// What a client receives.
struct Text {
    body: BoxBody<Bytes, warp::Error>,
}

impl Text {
    /// The next piece; `None` when the stream is over.
    async fn next(&mut self) -> Option<String> {
        let frame = self.body.frame().await?;
        let data = frame.unwrap().into_data().unwrap();
        Some(String::from_utf8(data.to_vec()).unwrap())
    }

    /// Whether there is nothing to receive now.
    async fn is_silent(&mut self) -> bool {
        let soon = tokio::time::timeout(Duration::from_millis(500), self.next());
        soon.await.is_err()
    }
}

#[tokio::test(start_paused = true)]
async fn fresh_figures_are_answered_without_asking_for_new_ones() {
    let bench = bench(1);
    bench.post(7);
    assert_eq!(bench.api.figures().await.unwrap().id, 7);
    assert_eq!(bench.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn old_figures_are_read_anew_before_anybody_sees_them() {
    let bench = bench(1);
    bench.post(7);
    tokio::time::advance(Duration::from_secs(3)).await;
    let (answer, ()) = tokio::join!(bench.api.figures(), async {
        tokio::task::yield_now().await;
        bench.post(8);
    });
    assert_eq!(answer.unwrap().id, 8);
    assert_eq!(bench.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_a_503_and_never_old_numbers() {
    let bench = bench(1);
    bench.post(7);
    tokio::time::advance(Duration::from_secs(3)).await;
    let (answer, ()) = tokio::join!(bench.api.figures(), async {
        tokio::task::yield_now().await;
        bench.api.board.post(Posted::Unavailable(Instant::now()));
    });
    assert_eq!(answer.unwrap_err().status(), 503);
    // Who comes right after is told at once, without another look at the database.
    assert_eq!(bench.api.figures().await.unwrap_err().status(), 503);
    assert_eq!(bench.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn figures_that_never_come_are_a_503_after_the_wait() {
    let bench = bench(1);
    assert_eq!(bench.api.figures().await.unwrap_err().status(), 503);
}

#[tokio::test(start_paused = true)]
async fn a_stream_begins_with_how_to_come_back_and_sends_each_newer_figure_whole() {
    let bench = bench(1);
    bench.post(7);
    let mut text = bench.stream(None).await;
    let first = text.next().await.unwrap();
    assert!(first.contains("retry:3000"), "{first}");
    let event = text.next().await.unwrap();
    for line in ["id:7", "event:stats", "data:{\"id\":7}"] {
        assert!(event.lines().any(|found| found == line), "{line}: {event}");
    }
    assert!(text.is_silent().await);
    bench.post(8);
    bench.post(9);
    let event = text.next().await.unwrap();
    assert!(event.contains("id:9"), "the newest only: {event}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_after_the_last_event_that_was_seen() {
    let bench = bench(3);
    bench.post(7);
    let mut text = bench.stream(Some("7")).await;
    text.next().await.unwrap();
    assert!(text.is_silent().await, "7 was seen");
    bench.post(8);
    assert!(text.next().await.unwrap().contains("id:8"));
    // An id that cannot be ours, and one that is none, do not silence the stream.
    for last in ["999999999", "seven"] {
        let mut text = bench.stream(Some(last)).await;
        text.next().await.unwrap();
        assert!(text.next().await.unwrap().contains("id:8"), "{last}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_of_an_outage_once_and_goes_on_after_it() {
    let bench = bench(1);
    let mut text = bench.stream(None).await;
    text.next().await.unwrap();
    assert_eq!(bench.asked.load(Ordering::SeqCst), 1);
    for _ in 0..3 {
        bench.api.board.post(Posted::Unavailable(Instant::now()));
    }
    assert!(text.next().await.unwrap().contains("event:unavailable"));
    bench.api.board.post(Posted::Unavailable(Instant::now()));
    assert!(text.is_silent().await);
    bench.post(9);
    assert!(text.next().await.unwrap().contains("id:9"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_news_beats_like_a_heart() {
    let bench = bench(1);
    let mut text = bench.stream(None).await;
    text.next().await.unwrap();
    let began = Instant::now();
    let beat = text.next().await.unwrap();
    assert!(beat.starts_with(':'), "a comment: {beat}");
    assert!(began.elapsed() <= HEARTBEAT + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_the_server_drains() {
    let bench = bench(1);
    let mut text = bench.stream(None).await;
    text.next().await.unwrap();
    bench.stop.cancel();
    assert_eq!(text.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn more_streams_than_allowed_are_refused_until_one_ends() {
    let bench = bench(1);
    let text = bench.stream(None).await;
    let refused = bench
        .api
        .stream(&HeaderMap::new(), bench.stop.clone())
        .await;
    assert_eq!(refused.unwrap_err().status(), 503);
    drop(text);
    let again = bench
        .api
        .stream(&HeaderMap::new(), bench.stop.clone())
        .await;
    assert!(again.is_ok());
}

#[tokio::test(start_paused = true)]
async fn only_who_watches_keeps_the_figures_coming() {
    let bench = bench(1);
    assert!(!bench.api.board.is_wanted());
    let text = bench.stream(None).await;
    assert!(bench.api.board.is_wanted() && bench.api.board.is_wanted());
    drop(text);
    assert!(!bench.api.board.is_wanted());
}
