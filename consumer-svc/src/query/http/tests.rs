//! The routes against a store that answers from a script.

mod histories;
mod hostile;
#[path = "../../../../host/tests/serve/shapes.rs"]
mod shapes;

use std::sync::Mutex;

use actors::{Cost, Credits};
use bytes::Bytes;
use purchases::views::{PAGE_DEFAULT, PurchaseView};
use purchases::{Cents, PurchaseId, UserId};
use serde_json::Value;

use super::*;
use crate::board::{Board, Figures, Posted};
use crate::query::cursor::Cursor;
use crate::query::fair::Fair;
use crate::query::range::Range;
use crate::query::{Page, PageRequest, StoreError, Totals};

/// What the database holds of anybody.
#[derive(Clone)]
struct Script {
    answer: Arc<Mutex<Result<u64, StoreError>>>,
    asked: Arc<Mutex<Vec<(String, PageRequest)>>>,
}

impl Script {
    fn holds(answer: Result<u64, StoreError>) -> Self {
        Self {
            answer: Arc::new(Mutex::new(answer)),
            asked: Arc::default(),
        }
    }
}

fn purchase(id: u8) -> PurchaseView {
    PurchaseView {
        id: PurchaseId::from_bytes([id; 12]),
        username: "john".into(),
        user_id: "u1".into(),
        item_name: "Book".into(),
        price: 10.25,
        timestamp: moment(i64::from(id)),
        created_at: moment(100),
    }
}

fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

impl HistoryStore for Script {
    async fn totals(
        &self,
        _: &UserId,
        range: &Range,
        _: tokio::time::Instant,
    ) -> Result<Totals, StoreError> {
        // Nobody bought anything before this.
        let count = self.answer.lock().unwrap().clone()?;
        if count == 0 || range.until.is_some_and(|until| until.as_millis() < 0) {
            return Ok(Totals::default());
        }
        Ok(Totals {
            count,
            spent: Cents::new(114_997).unwrap(),
            first: Some(moment(1)),
            last: Some(moment(3)),
            items: vec![],
            ..Totals::default()
        })
    }

    async fn page(
        &self,
        user: &UserId,
        page: &PageRequest,
        _: tokio::time::Instant,
    ) -> Result<Page, StoreError> {
        let asked = (user.as_str().to_owned(), *page);
        self.asked.lock().unwrap().push(asked);
        let left = page
            .after
            .map_or(3, |after| after.timestamp.as_millis() - 1);
        let ids = (1..=left).rev().map(|id| u8::try_from(id).unwrap());
        Ok(Page {
            purchases: ids.clone().take(page.limit).map(purchase).collect(),
            more: ids.count() > page.limit,
        })
    }

    async fn username(
        &self,
        _: &UserId,
        _: tokio::time::Instant,
    ) -> Result<Option<String>, StoreError> {
        Ok((self.answer.lock().unwrap().clone()? > 0).then(|| "newest john".to_owned()))
    }
}

fn api(answer: Result<u64, StoreError>) -> Arc<Api<Script>> {
    Arc::new(Api {
        histories: Histories::new(
            Script::holds(answer),
            Fair::new(1, 1, Duration::from_secs(5)),
        ),
        health: Health::default(),
        ids: Ids::new().unwrap(),
        tracer: Tracer::off(),
        stats: StatsApi {
            board: Board::new(Arc::new(nobody_there)),
            streams: Credits::new("streams", Cost { count: 2, bytes: 2 }),
            wait: Duration::from_secs(5),
        },
        docs: Docs::new(&crate::query::openapi::document("1.2.3")),
        version: "1.2.3",
    })
}

/// The board has no writer in these tests.
fn nobody_there() -> bool {
    false
}

fn all_routes(api: &Arc<Api<Script>>) -> BoxedFilter<(Response,)> {
    routes(Arc::clone(api), CancellationToken::new())
}

async fn get(api: &Arc<Api<Script>>, path: &str) -> (u16, HeaderMap, Value) {
    let response = warp::test::request()
        .path(path)
        .reply(&all_routes(api))
        .await;
    let body = serde_json::from_slice(response.body()).unwrap();
    (response.status().as_u16(), response.headers().clone(), body)
}

#[tokio::test]
async fn an_unknown_user_is_404_and_an_outage_is_503_and_never_the_other() {
    let (status, _, body) = get(&api(Ok(0)), "/purchases/u1").await;
    assert_eq!(
        (status, body["retryable"].clone()),
        (404, Value::Bool(false))
    );
    assert!(body["detail"].as_str().unwrap().contains("u1"));
    let outage = Err(StoreError::Unavailable("no primary at db-0:27017".into()));
    let (status, headers, body) = get(&api(outage), "/purchases/u1").await;
    assert_eq!(
        (status, body["retryable"].clone()),
        (503, Value::Bool(true))
    );
    assert!(headers.contains_key("retry-after"));
    assert!(
        !body.to_string().contains("db-0"),
        "internals leaked: {body}"
    );
}

#[tokio::test]
async fn every_bad_parameter_is_named_at_once() {
    let path = format!(
        "/purchases/{}?limit=0&cursor=zzz&since=today&until=",
        "x".repeat(101)
    );
    let (status, headers, body) = get(&api(Ok(0)), &path).await;
    assert_eq!(status, 422);
    assert_eq!(headers["content-type"], "application/problem+json");
    let pointers: Vec<_> = body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(
        pointers,
        ["/user_id", "/limit", "/cursor", "/since", "/until"]
    );
}

#[tokio::test]
async fn a_cursor_goes_to_the_store_as_it_came() {
    let cursor = Cursor {
        timestamp: moment(77),
        id: PurchaseId::from_bytes([1; 12]),
        range: Range::WHOLE,
    };
    let api = api(Ok(3));
    let (_, _, body) = get(&api, &format!("/purchases/u1?cursor={}", cursor.encode())).await;
    assert_eq!(body["username"], "newest john");
    assert_eq!(
        api.histories.store.asked.lock().unwrap()[0].1,
        PageRequest {
            limit: PAGE_DEFAULT,
            after: Some(cursor),
            range: Range::WHOLE,
        }
    );
}

#[tokio::test(start_paused = true)]
async fn more_queries_than_allowed_are_refused_before_the_database_is_asked() {
    let api = api(Ok(3));
    let [pages, totals, ..] = &api.histories.fair.credits()[..] else {
        panic!("there are bounds");
    };
    for bound in [pages, totals] {
        let _held = bound.try_take(Cost::pieces(1)).unwrap();
        let (status, headers, _) = get(&api, "/purchases/u1").await;
        assert_eq!(status, 503);
        assert!(headers.contains_key("retry-after"));
        assert!(api.histories.store.asked.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_wrong_method_is_405_with_allow_and_an_unknown_path_404() {
    let api = api(Ok(0));
    let response = warp::test::request()
        .method("POST")
        .path("/purchases/u1")
        .reply(&all_routes(&api))
        .await;
    assert_eq!(
        (
            response.status().as_u16(),
            response.headers()["allow"].to_str().unwrap()
        ),
        (405, "GET, HEAD, OPTIONS")
    );
    assert_eq!(get(&api, "/nothing").await.0, 404);
    assert_eq!(get(&api, "/purchases").await.0, 404);
}

#[tokio::test]
async fn every_path_tells_its_methods_and_refuses_who_takes_nothing_of_it() {
    let api = api(Ok(0));
    for (template, place) in PATHS.iter() {
        let path = template.replace("{user_id}", "u1");
        let ask = |method, accept| {
            let request = warp::test::request().method(method).path(&path);
            let routes = all_routes(&api);
            async move { request.header("accept", accept).reply(&routes).await }
        };
        let options = ask("OPTIONS", "*/*").await;
        assert_eq!(
            (options.status().as_u16(), &options.headers()["allow"]),
            (204, &HeaderValue::from_static("GET, HEAD, OPTIONS")),
            "{path}"
        );
        let refused = ask("GET", "image/png, */*;q=0").await;
        assert_eq!(refused.status(), 406, "{place:?}");
        assert_eq!(
            refused.headers()["content-type"],
            "application/problem+json"
        );
        if !matches!(place, Place::StatsStream | Place::Stats) {
            assert_ne!(ask("HEAD", "*/*;q=0.1").await.status(), 406, "{place:?}");
        }
    }
}

#[tokio::test]
async fn a_parameter_that_is_there_twice_is_refused() {
    let (status, _, body) = get(&api(Ok(0)), "/purchases/u1?limit=1&x=1&x=2&limit=1").await;
    assert_eq!(
        (status, &body["errors"][0]["pointer"]),
        (422, &Value::from("/limit"))
    );
}

#[tokio::test]
async fn what_is_described_can_be_read_and_is_not_sent_twice() {
    let api = api(Ok(0));
    let (status, headers, document) = get(&api, "/openapi.json").await;
    assert_eq!((status, &document["openapi"]), (200, &Value::from("3.1.0")));
    let again = warp::test::request()
        .path("/openapi.json")
        .header("if-none-match", &headers["etag"])
        .reply(&all_routes(&api))
        .await;
    assert_eq!(again.status(), 304);
    let page = warp::test::request()
        .path("/docs")
        .reply(&all_routes(&api))
        .await;
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
}

#[tokio::test]
async fn health_is_503_until_both_dependencies_were_seen() {
    let (status, headers, body) = get(&api(Ok(0)), "/health").await;
    assert_eq!(
        (status, body["status"].as_str().unwrap()),
        (503, "unhealthy")
    );
    assert_eq!(body["mongodb_connected"], Value::Bool(false));
    assert!(headers.contains_key("retry-after"));
}

#[tokio::test(start_paused = true)]
async fn statistics_are_answered_as_they_are_put_up_and_not_sent_twice() {
    let api = api(Ok(0));
    let json = Bytes::from_static(b"{\"total_purchases\":3}");
    let figures = Arc::new(Figures::new(7, json));
    let now = tokio::time::Instant::now();
    api.stats.board.post(Posted::Figures(figures, now));
    let (status, headers, body) = get(&api, "/stats").await;
    assert_eq!((status, &body["total_purchases"]), (200, &Value::from(3)));
    assert_eq!(headers["cache-control"], "no-cache");
    for method in ["GET", "HEAD"] {
        let again = warp::test::request().method(method).path("/stats");
        // Several lines are one list.
        let again = again
            .header("if-none-match", "\"another\"")
            .header("if-none-match", &headers["etag"]);
        let again = again.reply(&all_routes(&api)).await;
        assert_eq!((again.status().as_u16(), again.body().len()), (304, 0));
        assert_eq!(again.headers()["etag"], headers["etag"]);
    }
    let stop = CancellationToken::new();
    stop.cancel();
    let routes = routes(Arc::clone(&api), stop);
    let stream = warp::test::request().path("/stats/stream").reply(&routes);
    let stream = stream.await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(
        stream.body().len(),
        0,
        "a server that ends begins no stream"
    );
}

#[tokio::test(start_paused = true)]
async fn statistics_that_cannot_be_read_are_503_and_never_zero() {
    let (status, headers, body) = get(&api(Ok(0)), "/stats").await;
    assert_eq!((status, &body["retryable"]), (503, &Value::Bool(true)));
    assert_eq!(body["type"], "/problems/statistics-unavailable");
    assert!(headers.contains_key("retry-after"));
    assert_eq!(get(&api(Ok(0)), "/stats/other").await.0, 404);
}
