//! Which path is answered by whom.
//!
//! In: any request, below `/api` or not. Out: an answer, always: filters match paths only, methods
//! are judged behind them, so that no rejection of a filter ever becomes an answer. Every answer has
//! its request id and is counted.

use std::convert::Infallible;
use std::error::Error;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use host::problem::Problem;
use host::trace::{REQUEST_ID, RequestId, trace_state};
use host::web::docs::DocsPage;
use host::web::front::Client;
use host::web::paths::{Found, Paths, below_api};
use host::web::{self, accept};
use http::header::{HeaderMap, HeaderValue};
use http::{Method, Request};
use hyper::body::Body;
use tokio_util::sync::CancellationToken;
use warp::Filter;
use warp::filters::path::FullPath;
use warp::reply::Response;

use super::buy::{self, Asked};
use super::desk::{Desk, now};
use super::headers::{BuyHeaders, ClientIds};
use super::pages;
use super::proxy::{self, Question};
use crate::metrics::{Metrics, Route};

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Index,
    Buy,
    Items,
    Health,
    Stats,
    StatsStream,
    History,
    Docs(DocsPage),
}

/// Every path that is served, without `/api` before it. The description is made from the same table.
pub(super) const PATHS: Paths<Place> = Paths(&[
    ("/buy", Place::Buy),
    ("/purchases/{user_id}", Place::History),
    ("/getAllUserBuys/{user_id}", Place::History),
    ("/items", Place::Items),
    ("/stats", Place::Stats),
    ("/stats/stream", Place::StatsStream),
    ("/health", Place::Health),
    ("/", Place::Index),
    (DocsPage::ALL[0].0, Place::Docs(DocsPage::ALL[0].1)),
    (DocsPage::ALL[1].0, Place::Docs(DocsPage::ALL[1].1)),
    (DocsPage::ALL[2].0, Place::Docs(DocsPage::ALL[2].1)),
]);

impl Place {
    fn route(self) -> Route {
        match self {
            Self::Index => Route::Index,
            Self::Buy => Route::Buy,
            Self::Items => Route::Items,
            Self::Health => Route::Health,
            Self::Stats => Route::Stats,
            Self::StatsStream => Route::StatsStream,
            Self::History => Route::History,
            Self::Docs(_) => Route::Docs,
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::StatsStream => "text/event-stream",
            Self::Docs(page) => page.media_type(),
            Self::Index | Self::Buy | Self::Items | Self::Health | Self::Stats | Self::History => {
                "application/json"
            }
        }
    }
}

/// All routes but that of a purchase, which is `front.rs`'s. `closing` ends answers that would never
/// end by themselves.
pub(super) fn routes(
    desk: Arc<Desk>,
    closing: CancellationToken,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    warp::path::full()
        .and(warp::method())
        .and(query())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Client>())
        .then(
            move |path: FullPath, method, query: Option<String>, headers: HeaderMap, client| {
                let (desk, closing) = (Arc::clone(&desk), closing.clone());
                async move {
                    let read = Read {
                        path: path.as_str(),
                        query: query.as_deref(),
                        headers: &headers,
                        client,
                    };
                    answer_other(&desk, &closing, method, read).await
                }
            },
        )
}

fn query() -> impl Filter<Extract = (Option<String>,), Error = Infallible> + Copy {
    warp::query::raw()
        .map(Some)
        .or(warp::any().map(|| None))
        .unify()
}

/// The ids of a request and the time it came.
fn asked(desk: &Desk, ids: &ClientIds<'_>, route: Route, method: &Method) -> Asked {
    let (named, name) = (ids.named, (method.as_str(), route.label()));
    let (trace, mut span) = desk.tracer.serve(&desk.ids, named, name);
    span.set("http.route", route.label());
    // Others may have asked in a trace of theirs, too, so a request in it has an id of its own.
    let named_by_trace = ids.request_id.is_none() && named.parent.is_none();
    let request_id = match named_by_trace {
        true => RequestId::of(&trace),
        false => desk.ids.request(ids.request_id),
    };
    Asked {
        trace,
        // Without a trace of theirs it would be a note on nothing.
        state: named
            .state
            .filter(|_| named.parent.is_some())
            .and_then(trace_state),
        request_id: request_id.to_header(),
        named_by_trace,
        since: Instant::now(),
        span,
    }
}

/// Whatever is asked of `/buy`.
pub(super) async fn answer_buy(
    desk: Arc<Desk>,
    request: Request<impl Body<Error: Error + 'static>>,
) -> Result<Response, Infallible> {
    let (head, body) = request.into_parts();
    let (mut headers, ids) = BuyHeaders::read(&head.headers);
    headers.client = head.extensions.get().copied();
    let asked = asked(&desk, &ids, Route::Buy, &head.method);
    let counted = Counted::begin(&desk.metrics, Route::Buy, asked);
    let method = head.method.clone();
    // The buffer behind them is the connection's, which wants it back for the next request.
    drop(head);
    let result = match method {
        Method::POST => buy::buy(&desk, &counted.asked, headers, body).await,
        Method::OPTIONS => Ok(web::options(web::WRITE)),
        _ => Err(Problem::method_not_allowed(web::WRITE)),
    };
    Ok(counted.end(result))
}

/// A request without a body.
#[derive(Clone, Copy)]
struct Read<'a> {
    path: &'a str,
    query: Option<&'a str>,
    headers: &'a HeaderMap,
    client: Option<Client>,
}

async fn answer_other(
    desk: &Desk,
    closing: &CancellationToken,
    method: Method,
    read: Read<'_>,
) -> Response {
    let found = PATHS.find(below_api(read.path));
    let route = found.map_or(Route::Unmatched, |found| found.place.route());
    let asked = asked(desk, &ClientIds::read(read.headers), route, &method);
    let counted = Counted::begin(&desk.metrics, route, asked);
    let result = match (found, method) {
        (None, _) => Err(Problem::not_found()),
        (Some(_), Method::OPTIONS) => Ok(web::options(web::READ)),
        (Some(found), method @ (Method::GET | Method::HEAD)) => {
            answer_read(desk, closing, found, method, &counted.asked, read).await
        }
        (Some(_), _) => Err(Problem::method_not_allowed(web::READ)),
    };
    counted.end(result)
}

async fn answer_read(
    desk: &Desk,
    closing: &CancellationToken,
    found: Found<'_, Place>,
    method: Method,
    asked: &Asked,
    read: Read<'_>,
) -> Result<Response, Problem> {
    let headers = read.headers;
    let offered = found.place.media_type();
    if !accept::takes(headers, offered) {
        return Err(accept::not_acceptable(offered));
    }
    let question = |path: String| Question {
        endless: found.place == Place::StatsStream && method == Method::GET,
        method,
        path,
        query: read.query,
        headers,
        route: found.place.route().label(),
        asked,
        client: read.client,
    };
    match found.place {
        Place::Index => Ok(desk.pages.index()),
        Place::Items => Ok(desk.pages.items(headers)),
        Place::Health => Ok(pages::health(
            desk.kafka.is_up(),
            desk.history.is_up(),
            now(),
        )),
        Place::Stats | Place::StatsStream => {
            proxy::pass_on(desk, question(found.template.to_owned()), closing).await
        }
        Place::History => {
            let path = format!("/purchases/{}", found.part);
            proxy::pass_on(desk, question(path), closing).await
        }
        Place::Docs(page) => Ok(desk.docs.answer(page, read.path, headers)),
        // `front.rs` has answered it.
        Place::Buy => Err(Problem::not_found()),
    }
}

/// A request between its head and its answer's head. Dropped before, it was abandoned.
struct Counted<'a> {
    metrics: &'a Metrics,
    route: Route,
    asked: Asked,
    open: bool,
}

impl<'a> Counted<'a> {
    fn begin(metrics: &'a Metrics, route: Route, asked: Asked) -> Self {
        metrics.begun();
        Self {
            metrics,
            route,
            asked,
            open: true,
        }
    }

    fn end(mut self, result: Result<Response, Problem>) -> Response {
        let mut response = result.unwrap_or_else(|problem| {
            problem
                .request_id(self.asked.request_id.to_str().unwrap_or_default())
                .into_response()
        });
        self.open = false;
        let (status, took) = (response.status().as_u16(), self.asked.since.elapsed());
        self.metrics.answered(self.route, status, took);
        self.asked.span.answered(status);
        // Taken and not shared: this is the last that is asked for it.
        let none = HeaderValue::from_static("");
        let request_id = mem::replace(&mut self.asked.request_id, none);
        response.headers_mut().insert(REQUEST_ID, request_id);
        response
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if self.open && std::thread::panicking() {
            // The answer is the server's, which tells the log.
            self.asked.span.answered(500);
            self.metrics
                .answered(self.route, 500, self.asked.since.elapsed());
        } else if self.open {
            self.asked.span.fail("the client went away");
            self.metrics.abandoned(self.route);
        }
    }
}
