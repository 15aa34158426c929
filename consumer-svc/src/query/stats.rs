//! Routes of the statistics: the newest figures, and a stream of them.
//!
//! In: a wish. Out: what is on the [`Board`], never older than [`FRESH`]. While the database
//! cannot be read there are no figures, and it says so: numbers that nobody can confirm are not
//! shown as if they were current. Who wants to keep showing the last ones has their `as_of`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH};
use ::http::{HeaderMap, HeaderValue, StatusCode};
use actors::{Cost, Credits, Permit};
use futures_util::{Stream, StreamExt, stream};
use host::problem::Problem;
use host::web::fixed::matches_tag;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use warp::Reply;
use warp::reply::Response;
use warp::sse::{self, Event};

use crate::board::{Board, Figures, Posted};
use crate::metrics;

/// Figures older than this are read anew before anybody sees them.
const FRESH: Duration = Duration::from_secs(2);
/// The same for the news that there are none, so that an outage costs one look a second.
const OUTAGE: Duration = Duration::from_secs(1);
/// How soon a client comes back whose stream ended.
const RETRY: Duration = Duration::from_secs(3);
/// A comment is sent when there was nothing to send for so long: whoever stands between must not
/// take the stream for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// What a client should wait before it asks again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Ids further ahead of ours are not of this service, or of a clock that was set back since.
const ID_SKEW: i64 = 60_000;

/// What the two routes answer from.
pub struct StatsApi {
    /// Where the figures are.
    pub board: Board,
    /// Bounds the streams at one time.
    pub streams: Credits,
    /// How long a request waits for figures.
    pub wait: Duration,
}

impl StatsApi {
    /// The newest figures, or a 304 to whom has them.
    pub(super) async fn answer(&self, headers: &HeaderMap) -> Result<Response, Problem> {
        let figures = self.figures().await?;
        let mut response = Response::default();
        let told = response.headers_mut();
        told.insert(ETAG, figures.tag.clone());
        // Kept by whom will, and asked about every time: figures are of a moment.
        told.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if matches_tag(headers.get_all(IF_NONE_MATCH), &figures.tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            told.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *response.body_mut() = figures.json.clone().into();
        }
        Ok(response)
    }

    /// The newest figures.
    async fn figures(&self) -> Result<Arc<Figures>, Problem> {
        let mut watch = self.board.watch();
        match recent(&watch.borrow_and_update()) {
            Recent::Figures(figures) => return Ok(figures),
            Recent::Outage => return Err(unavailable()),
            Recent::Nothing => self.board.ask(),
        }
        let newer = async {
            loop {
                if watch.changed().await.is_err() {
                    return None;
                }
                match recent(&watch.borrow_and_update()) {
                    Recent::Figures(figures) => return Some(figures),
                    Recent::Outage => return None,
                    Recent::Nothing => {}
                }
            }
        };
        match tokio::time::timeout(self.wait, newer).await {
            Ok(Some(figures)) => Ok(figures),
            Ok(None) | Err(_) => Err(unavailable()),
        }
    }

    /// A stream of figures that ends with `stop`. It goes on after `last_event_id` of an earlier
    /// one: each event is whole, so that is the next newer.
    pub(super) async fn stream(
        &self,
        headers: &HeaderMap,
        stop: CancellationToken,
    ) -> Result<Response, Problem> {
        let cost = Cost::pieces(1);
        let place = self
            .streams
            .try_take(cost)
            .map_err(|_| too_many_streams())?;
        let last = headers.get("last-event-id");
        let last = last.and_then(|id| id.to_str().ok()?.trim().parse().ok());
        let mut watch = self.board.watch();
        // What is there already may be new to this client.
        watch.mark_changed();
        self.board.ask();
        let reader = StreamReader {
            watch,
            last: last.unwrap_or(i64::MIN),
            told_outage: false,
            _place: Place::new(place, self.streams.clone()),
        };
        let first = stream::once(async { Event::default().retry(RETRY).comment("statistics") });
        let events = first
            .chain(reader.events())
            .take_until(stop.cancelled_owned());
        let events = sse::keep_alive()
            .interval(HEARTBEAT)
            .stream(events.map(Ok::<_, Infallible>));
        let mut response = sse::reply(events).into_response();
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // nginx would keep events until it has a buffer full of them.
        let buffering = HeaderName::from_static("x-accel-buffering");
        headers.insert(buffering, HeaderValue::from_static("no"));
        Ok(response)
    }
}

enum Recent {
    Figures(Arc<Figures>),
    Outage,
    Nothing,
}

fn recent(posted: &Posted) -> Recent {
    match posted {
        Posted::Figures(figures, at) if at.elapsed() <= FRESH => {
            Recent::Figures(Arc::clone(figures))
        }
        Posted::Unavailable(at) if at.elapsed() <= OUTAGE => Recent::Outage,
        Posted::Nothing | Posted::Figures(..) | Posted::Unavailable(_) => Recent::Nothing,
    }
}

/// The board as one client has seen it.
struct StreamReader {
    watch: watch::Receiver<Posted>,
    last: i64,
    told_outage: bool,
    _place: Place,
}

impl StreamReader {
    fn events(self) -> impl Stream<Item = Event> + Send {
        stream::unfold(self, async |mut reader| {
            let event = reader.next().await?;
            Some((event, reader))
        })
    }

    /// The next thing to tell. A client that takes nothing misses what was overtaken meanwhile,
    /// and nothing piles up for it.
    async fn next(&mut self) -> Option<Event> {
        loop {
            self.watch.changed().await.ok()?;
            let posted = self.watch.borrow_and_update().clone();
            match recent(&posted) {
                Recent::Figures(figures) => {
                    let known = self.last >= figures.id && self.last - figures.id <= ID_SKEW;
                    if !known {
                        (self.last, self.told_outage) = (figures.id, false);
                        return Some(event(&figures));
                    }
                }
                Recent::Outage if !self.told_outage => {
                    self.told_outage = true;
                    let data = r#"{"detail":"The statistics cannot be read at the moment."}"#;
                    return Some(Event::default().event("unavailable").data(data));
                }
                Recent::Outage | Recent::Nothing => {}
            }
        }
    }
}

fn event(figures: &Figures) -> Event {
    Event::default()
        .id(figures.id.to_string())
        .event("stats")
        .data(String::from_utf8_lossy(&figures.json))
}

/// A stream's place, given back with it, and counted.
struct Place {
    permit: Option<Permit>,
    streams: Credits,
}

impl Place {
    fn new(permit: Permit, streams: Credits) -> Self {
        metrics::streams(streams.in_use().count);
        let permit = Some(permit);
        Self { permit, streams }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.permit.take());
        metrics::streams(self.streams.in_use().count);
    }
}

/// 503: nobody is sent more streams than there are places.
pub(super) fn too_many_streams() -> Problem {
    let detail = "As many live streams are open as the service may have. This one was not begun.";
    Problem::overloaded(RETRY).because(detail)
}

fn unavailable() -> Problem {
    let detail = "The statistics cannot be read at the moment. Nothing of them is lost.";
    Problem::unavailable("/problems/statistics-unavailable", detail, RETRY_AFTER)
}

#[cfg(test)]
mod tests;
