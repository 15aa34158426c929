//! Which path is answered by whom.
//!
//! In: any request, below `/api` or not. Out: an answer, always: filters match paths only, methods
//! are judged behind them, so that no rejection of a filter ever becomes an answer. Every answer has
//! its request id and is counted.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use host::problem::Problem;
use host::trace::X_REQUEST_ID;
use http::header::{ALLOW, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;
use warp::Filter;
use warp::reply::Response;

use super::buy::{self, Asked};
use super::desk::{Desk, now};
use super::headers::{BuyHeaders, ClientIds};
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

/// All routes but that of a purchase, which is `front.rs`'s. `closing` ends answers that would never
/// end by themselves.
pub(super) fn routes(
    desk: Arc<Desk>,
    closing: CancellationToken,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    below_api()
        .and(target())
        .and(warp::method())
        .and(query())
        .and(warp::header::headers_cloned())
        .then(move |target, method, query, headers| {
            let (desk, closing) = (Arc::clone(&desk), closing.clone());
            async move { answer_other(&desk, &closing, target, method, query, headers).await }
        })
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
fn asked(desk: &Desk, ids: &ClientIds<'_>) -> Asked {
    Asked {
        trace: desk.ids.trace(ids.trace),
        request_id: desk.ids.request(ids.request_id).to_header(),
        since: Instant::now(),
    }
}

/// Whatever is asked of `/buy`.
pub(super) async fn answer_buy(
    desk: Arc<Desk>,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    const ALLOWED: &str = "POST, OPTIONS";
    let (head, body) = request.into_parts();
    let (headers, ids) = BuyHeaders::read(&head.headers);
    let asked = asked(&desk, &ids);
    let counted = Counted::begin(&desk.metrics, Route::Buy, &asked);
    let method = head.method.clone();
    // The buffer behind them is the connection's, which wants it back for the next request.
    drop(head);
    let result = match method {
        Method::POST => buy::buy(&desk, asked, headers, body).await,
        Method::OPTIONS => Ok(options(ALLOWED)),
        _ => Err(Problem::method_not_allowed(ALLOWED)),
    };
    Ok(counted.end(result))
}

async fn answer_other(
    desk: &Desk,
    closing: &CancellationToken,
    target: Target,
    method: Method,
    query: Option<String>,
    headers: HeaderMap,
) -> Response {
    const ALLOWED: &str = "GET, HEAD, OPTIONS";
    let asked = asked(desk, &ClientIds::read(&headers));
    let counted = Counted::begin(&desk.metrics, target.route(), &asked);
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
                trace: asked.trace,
                request_id: asked.request_id,
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
    request_id: HeaderValue,
    since: Instant,
    open: bool,
}

impl<'a> Counted<'a> {
    fn begin(metrics: &'a Metrics, route: Route, asked: &Asked) -> Self {
        metrics.begun();
        Self {
            metrics,
            route,
            request_id: asked.request_id.clone(),
            since: asked.since,
            open: true,
        }
    }

    fn end(mut self, result: Result<Response, Problem>) -> Response {
        let mut response = result.unwrap_or_else(|problem| {
            problem
                .request_id(self.request_id.to_str().unwrap_or_default())
                .into_response()
        });
        self.open = false;
        self.metrics
            .answered(self.route, response.status().as_u16(), self.since.elapsed());
        response
            .headers_mut()
            .insert(X_REQUEST_ID, self.request_id.clone());
        response
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if self.open {
            self.metrics.abandoned();
        }
    }
}
