//! Routes of the query API. Path first, method second, so that a wrong method on a known path is
//! a 405 and everything unknown a 404; every error is a problem document.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, LINK};
use ::http::{HeaderMap, HeaderValue, Method, StatusCode};
use actors::{Cost, Credits};
use bytes::Bytes;
use host::problem::{Invalid, Problem};
use host::trace::{Ids, RequestId, X_REQUEST_ID};
use percent_encoding::percent_decode_str;
use purchases::{Timestamp, UserId};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::cursor::Cursor;
use super::stats::StatsApi;
use super::view::History;
use super::{HistoryStore, PageRequest, StoreError};
use crate::health::Health;
use crate::metrics;

/// Purchases on a page where the request does not say.
const DEFAULT_LIMIT: usize = 100;
/// Most that it may say.
const MAX_LIMIT: usize = 1000;
/// What a client should wait before it asks again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the routes answer from.
pub struct Api<S> {
    /// Histories.
    pub store: S,
    /// Bounds the queries at one time.
    pub credits: Credits,
    /// How the dependencies are.
    pub health: Health,
    /// Request ids.
    pub ids: Ids,
    /// Statistics.
    pub stats: StatsApi,
    /// This service's version.
    pub version: &'static str,
}

#[derive(Serialize)]
struct Root {
    service: &'static str,
    version: &'static str,
    description: &'static str,
    endpoints: [&'static str; 5],
}

#[derive(Serialize)]
struct HealthView {
    status: &'static str,
    service: &'static str,
    mongodb_connected: bool,
    kafka_connected: bool,
    timestamp: Timestamp,
}

/// All routes. Answers that would go on for ever end with `stop`.
pub fn routes<S: HistoryStore>(
    api: Arc<Api<S>>,
    stop: CancellationToken,
) -> BoxedFilter<(Response,)> {
    let with_api = warp::any().map(move || Arc::clone(&api));
    let request = warp::method()
        .and(warp::header::headers_cloned())
        .and(with_api)
        .boxed();
    let root =
        warp::path::end()
            .and(request.clone())
            .then(async |method, headers, api: Arc<Api<S>>| {
                api.answer("/", method, headers, async |_: &_| {
                    Ok(json(StatusCode::OK, &root(api.version)))
                })
                .await
            });
    let health = warp::path!("health").and(request.clone()).then(
        async |method, headers, api: Arc<Api<S>>| {
            api.answer("/health", method, headers, async |_: &_| {
                Ok(api.health_view())
            })
            .await
        },
    );
    let history = warp::path!("purchases" / String)
        .and(warp::query::raw().or_else(async |_| Ok::<_, Infallible>((String::new(),))))
        .and(request.clone())
        .then(
            async |user: String, query: String, method, headers, api: Arc<Api<S>>| {
                api.answer("/purchases/{user_id}", method, headers, async |id: &_| {
                    api.history(&user, &query, id).await
                })
                .await
            },
        );
    let figures = warp::path!("stats").and(request.clone()).then(
        async |method, headers, api: Arc<Api<S>>| {
            api.answer("/stats", method, headers, async |_: &_| {
                let figures = api.stats.figures().await?;
                let mut response = json_bytes(StatusCode::OK, figures.json.clone());
                let no_store = HeaderValue::from_static("no-store");
                response.headers_mut().insert(CACHE_CONTROL, no_store);
                Ok(response)
            })
            .await
        },
    );
    let stream = warp::path!("stats" / "stream").and(request.clone()).then(
        move |method, headers: HeaderMap, api: Arc<Api<S>>| {
            let stop = stop.clone();
            async move {
                let wishes = headers.clone();
                api.answer("/stats/stream", method, headers, async |_: &_| {
                    api.stats.stream(&wishes, stop).await
                })
                .await
            }
        },
    );
    let rest = request.then(async |_, headers: HeaderMap, api: Arc<Api<S>>| {
        api.answer("unmatched", Method::GET, headers, async |_: &_| {
            Err(Problem::not_found())
        })
        .await
    });
    root.or(health)
        .unify()
        .or(history)
        .unify()
        .or(figures)
        .unify()
        .or(stream)
        .unify()
        .or(rest)
        .unify()
        .boxed()
}

impl<S: HistoryStore> Api<S> {
    /// What every answer has in common: method, request id, metrics.
    async fn answer(
        &self,
        route: &'static str,
        method: Method,
        headers: HeaderMap,
        handle: impl AsyncFnOnce(&RequestId) -> Result<Response, Problem>,
    ) -> Response {
        let started = Instant::now();
        let id = self.ids.request(
            headers
                .get(X_REQUEST_ID)
                .and_then(|value| value.to_str().ok()),
        );
        let handled = match method {
            Method::GET | Method::HEAD => handle(&id).await,
            _ => Err(Problem::method_not_allowed("GET, HEAD")),
        };
        let mut response =
            handled.unwrap_or_else(|problem| problem.request_id(&id).into_response());
        if let Ok(id) = HeaderValue::try_from(id.to_string()) {
            response
                .headers_mut()
                .insert(HeaderName::from_static(X_REQUEST_ID), id);
        }
        metrics::request(route, response.status().as_u16(), started.elapsed());
        response
    }

    fn health_view(&self) -> Response {
        let (mongodb_connected, kafka_connected) = (self.health.mongodb(), self.health.kafka());
        let healthy = mongodb_connected && kafka_connected;
        let view = HealthView {
            status: if healthy { "healthy" } else { "unhealthy" },
            service: "consumer-svc",
            mongodb_connected,
            kafka_connected,
            timestamp: Timestamp::from(SystemTime::now()),
        };
        json(
            if healthy {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            },
            &view,
        )
    }

    async fn history(&self, user: &str, query: &str, id: &RequestId) -> Result<Response, Problem> {
        let (user, page) = parse(user, query).map_err(Problem::validation)?;
        let credit = Cost { count: 1, bytes: 1 };
        let _credit = self
            .credits
            .try_take(credit)
            .map_err(|_| Problem::overloaded(RETRY_AFTER))?;
        match self.store.history(&user, &page).await {
            Ok(Some(history)) => Ok(found(&history, page.limit)),
            Ok(None) => Err(Problem::new(
                StatusCode::NOT_FOUND,
                "/problems/unknown-user",
                "No purchases",
                format!("{user} has no purchases."),
            )),
            Err(StoreError::Unavailable(cause)) => {
                warn!(request_id = %id, %cause, "history not available");
                let detail = "The history cannot be read at the moment. It is not lost.";
                Err(Problem::unavailable(
                    "/problems/history-unavailable",
                    detail,
                    RETRY_AFTER,
                ))
            }
            Err(StoreError::Malformed(cause)) => {
                error!(request_id = %id, %cause, "history cannot be shown");
                Err(Problem::internal())
            }
        }
    }
}

/// Everything that is wrong with the request, at once.
fn parse(user: &str, query: &str) -> Result<(UserId, PageRequest), Vec<Invalid>> {
    let mut errors = Vec::new();
    let user = percent_decode_str(user)
        .decode_utf8()
        .map_err(|_| "is not UTF-8".to_owned());
    let user = user.and_then(|user| UserId::parse(&user).map_err(|error| error.to_string()));
    let user = user
        .map_err(|reason| errors.push(Invalid::new("/user_id", reason)))
        .ok();
    let (mut limit, mut after) = (DEFAULT_LIMIT, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "limit" => match value.parse() {
                Ok(number) if (1..=MAX_LIMIT).contains(&number) => limit = number,
                _ => errors.push(Invalid::new(
                    "/limit",
                    format!("is not a whole number from 1 to {MAX_LIMIT}"),
                )),
            },
            "cursor" => match Cursor::decode(&value) {
                Ok(cursor) => after = Some(cursor),
                Err(error) => errors.push(Invalid::new("/cursor", error.to_string())),
            },
            // Parameters this version does not know change nothing.
            _ => {}
        }
    }
    match user {
        Some(user) if errors.is_empty() => Ok((user, PageRequest { limit, after })),
        _ => Err(errors),
    }
}

fn found(history: &History, limit: usize) -> Response {
    let mut response = json(StatusCode::OK, history);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Some(cursor) = &history.next_cursor {
        let link = format!("<?limit={limit}&cursor={cursor}>; rel=\"next\"");
        if let Ok(link) = HeaderValue::try_from(link) {
            response.headers_mut().insert(LINK, link);
        }
    }
    response
}

fn root(version: &'static str) -> Root {
    Root {
        service: "consumer-svc",
        version,
        description: "Customer management API: purchase histories and statistics",
        endpoints: [
            "/",
            "/health",
            "/purchases/{user_id}",
            "/stats",
            "/stats/stream",
        ],
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => json_bytes(status, Bytes::from(bytes)),
        Err(cause) => {
            error!(%cause, "an answer could not be written as JSON");
            Problem::internal().into_response()
        }
    }
}

fn json_bytes(status: StatusCode, json: Bytes) -> Response {
    let mut response: Response = ::http::Response::new(json.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests;
