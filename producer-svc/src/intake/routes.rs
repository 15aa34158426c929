//! Which path is answered by whom.
//!
//! In: any request, below `/api` or not. Out: an answer, always: filters match paths only, methods
//! are judged behind them, so that no rejection of a filter ever becomes an answer. Every answer has
//! its request id and is counted.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use bytes::Buf;
use futures_util::Stream;
use host::problem::Problem;
use host::trace::{X_REQUEST_ID, trace_state};
use http::header::{ALLOW, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use tokio_util::sync::CancellationToken;
use warp::Filter;
use warp::reply::Response;

use super::buy::{self, Asked};
use super::desk::{Desk, now};
use super::headers::{BuyHeaders, ClientIds, buy_headers, client_ids};
use super::pages;
use super::proxy::{self, Question};
use crate::metrics::{Metrics, Route};

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Index,
    Items,
    Health,
    Stats,
    StatsStream,
    /// The user's id as it stood in the path, still encoded.
    History(String),
    Nothing,
}

impl Target {
    fn route(&self) -> Route {
        match self {
            Self::Index => Route::Index,
            Self::Items => Route::Items,
            Self::Health => Route::Health,
            Self::Stats => Route::Stats,
            Self::StatsStream => Route::StatsStream,
            Self::History(_) => Route::History,
            Self::Nothing => Route::Unmatched,
        }
    }
}

/// All routes. `closing` ends answers that would never end by themselves.
pub(super) fn routes(
    desk: Arc<Desk>,
    closing: CancellationToken,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    // First and unboxed: it is the one that has to be fast.
    let buying = Arc::clone(&desk);
    let buy = below_api()
        .and(warp::path("buy"))
        .and(warp::path::end())
        .and(warp::method())
        .and(client_ids())
        .and(buy_headers())
        .and(warp::body::stream())
        .then(move |method, ids, headers, body| {
            answer_buy(Arc::clone(&buying), method, ids, headers, body)
        });
    let others = below_api()
        .and(target())
        .and(warp::method())
        .and(client_ids())
        .and(query())
        .and(warp::header::headers_cloned())
        .then(move |target, method, ids, query, headers| {
            let (desk, closing) = (Arc::clone(&desk), closing.clone());
            async move { answer_other(&desk, &closing, target, method, ids, query, headers).await }
        });
    buy.or(others).unify()
}

/// The ingress may pass `/api` on or strip it.
fn below_api() -> impl Filter<Extract = (), Error = Infallible> + Copy {
    warp::path("api").or(warp::any()).unify()
}

fn target() -> impl Filter<Extract = (Target,), Error = Infallible> + Clone {
    let one = |name: &'static str, target: Target| {
        warp::path(name)
            .and(warp::path::end())
            .map(move || target.clone())
            .boxed()
    };
    let history = warp::path("purchases")
        .or(warp::path("getAllUserBuys"))
        .unify()
        .and(warp::path::param::<String>())
        .and(warp::path::end())
        .map(Target::History)
        .boxed();
    let stream = warp::path!("stats" / "stream")
        .map(|| Target::StatsStream)
        .boxed();
    let index = warp::path::end().map(|| Target::Index).boxed();
    history
        .or(one("items", Target::Items))
        .unify()
        .or(one("health", Target::Health))
        .unify()
        .or(stream)
        .unify()
        .or(one("stats", Target::Stats))
        .unify()
        .or(index)
        .unify()
        .or(warp::any().map(|| Target::Nothing))
        .unify()
}

fn query() -> impl Filter<Extract = (Option<String>,), Error = Infallible> + Copy {
    warp::query::raw()
        .map(Some)
        .or(warp::any().map(|| None))
        .unify()
}

/// The ids of a request and the time it came.
fn asked(desk: &Desk, ids: &ClientIds, route: Route, method: &Method) -> Asked {
    let request_id = desk.ids.request(ids.request_id.as_deref()).to_string();
    let (named, name) = (ids.named(), (method.as_str(), route.label()));
    let (trace, mut span) = desk.tracer.serve(&desk.ids, named, name);
    span.set("http.route", route.label());
    Asked {
        trace,
        // Without a trace of theirs it would be a note on nothing.
        state: named
            .state
            .filter(|_| named.parent.is_some())
            .and_then(trace_state),
        request_id: HeaderValue::try_from(request_id)
            .unwrap_or_else(|_| HeaderValue::from_static("unknown")),
        since: Instant::now(),
        span,
    }
}

async fn answer_buy<B: Buf>(
    desk: Arc<Desk>,
    method: Method,
    ids: ClientIds,
    headers: BuyHeaders,
    body: impl Stream<Item = Result<B, warp::Error>> + Send,
) -> Response {
    const ALLOWED: &str = "POST, OPTIONS";
    let asked = asked(&desk, &ids, Route::Buy, &method);
    let counted = Counted::begin(&desk.metrics, Route::Buy, asked);
    let result = match method {
        Method::POST => buy::buy(&desk, &counted.asked, headers, body).await,
        Method::OPTIONS => Ok(options(ALLOWED)),
        _ => Err(Problem::method_not_allowed(ALLOWED)),
    };
    counted.end(result)
}

async fn answer_other(
    desk: &Desk,
    closing: &CancellationToken,
    target: Target,
    method: Method,
    ids: ClientIds,
    query: Option<String>,
    headers: HeaderMap,
) -> Response {
    const ALLOWED: &str = "GET, HEAD, OPTIONS";
    let route = target.route();
    let asked = asked(desk, &ids, route, &method);
    let counted = Counted::begin(&desk.metrics, route, asked);
    let result = match (target, method) {
        (Target::Nothing, _) => Err(Problem::not_found()),
        (_, Method::OPTIONS) => Ok(options(ALLOWED)),
        (target, method @ (Method::GET | Method::HEAD)) => {
            let endless = target == Target::StatsStream && method == Method::GET;
            let question = |path: String| Question {
                method,
                path,
                query: query.as_deref(),
                headers: &headers,
                route: route.label(),
                asked: &counted.asked,
                endless,
            };
            match target {
                Target::Index => Ok(desk.pages.index()),
                Target::Items => Ok(desk.pages.items(&headers)),
                Target::Health => Ok(pages::health(
                    desk.kafka.is_up(),
                    desk.history.is_up(),
                    now(),
                )),
                Target::Stats => proxy::pass_on(desk, question("/stats".to_owned()), closing).await,
                Target::StatsStream => {
                    proxy::pass_on(desk, question("/stats/stream".to_owned()), closing).await
                }
                Target::History(user) => {
                    proxy::pass_on(desk, question(format!("/purchases/{user}")), closing).await
                }
                Target::Nothing => Err(Problem::not_found()),
            }
        }
        _ => Err(Problem::method_not_allowed(ALLOWED)),
    };
    counted.end(result)
}

fn options(allowed: &'static str) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
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
        let request_id = self.asked.request_id.clone();
        response.headers_mut().insert(X_REQUEST_ID, request_id);
        response
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if self.open {
            self.asked.span.fail("the client went away");
            self.metrics.abandoned();
        }
    }
}
