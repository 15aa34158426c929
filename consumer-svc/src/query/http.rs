//! Routes of the query API. Path first, method second, so that a wrong method on a known path is
//! a 405 and everything unknown a 404; every error is a problem document.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER as RETRY_AFTER_HEADER};
use ::http::{HeaderMap, HeaderValue, Method, StatusCode};
use host::problem::Problem;
use host::span::{Named, Span, Tracer};
use host::trace::{Ids, RequestId, TRACEPARENT, TRACESTATE, TraceParent, X_REQUEST_ID};
use host::web::docs::{Docs, DocsPage};
use host::web::paths::{Found, Paths};
use host::web::{self, accept};
use purchases::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::error;
use utoipa::ToSchema;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::filters::path::FullPath;
use warp::reply::Response;

use super::HistoryStore;
use super::history::Histories;
use super::stats::StatsApi;
use crate::health::Health;
use crate::metrics;

/// What a client should wait before it asks again.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the routes answer from.
pub struct Api<S> {
    /// Histories.
    pub histories: Histories<S>,
    /// How the dependencies are.
    pub health: Health,
    /// Request ids.
    pub ids: Ids,
    /// Where spans begin.
    pub tracer: Tracer,
    /// Statistics.
    pub stats: StatsApi,
    /// The description of all this.
    pub docs: Docs,
    /// This service's version.
    pub version: &'static str,
}

/// What this service is and where what is.
#[derive(Serialize, ToSchema)]
#[schema(as = Index)]
pub(super) struct Root {
    /// Its name.
    #[schema(value_type = String)]
    service: &'static str,
    /// Its version.
    #[schema(value_type = String)]
    version: &'static str,
    /// What it is for.
    #[schema(value_type = String)]
    description: &'static str,
    /// Its paths.
    #[schema(value_type = Vec<String>)]
    endpoints: Vec<&'static str>,
}

/// Whether everything works that this service offers.
#[derive(Serialize, ToSchema)]
#[schema(as = Health)]
pub(super) struct HealthView {
    /// `healthy` or `unhealthy`.
    #[schema(value_type = String, pattern = "^(un)?healthy$")]
    pub(super) status: &'static str,
    /// Its name.
    #[schema(value_type = String)]
    pub(super) service: &'static str,
    /// Whether the database answered when it was last asked.
    pub(super) mongodb_connected: bool,
    /// Whether the broker did.
    pub(super) kafka_connected: bool,
    /// When this was answered.
    pub(super) timestamp: Timestamp,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// What this service is.
    Root,
    /// Whether it works.
    Health,
    /// A user's purchases.
    History,
    /// Statistics.
    Stats,
    /// The same, live.
    StatsStream,
    /// The description of all this.
    Docs(DocsPage),
}

/// Every path that is served. The description is made from the same table.
pub const PATHS: Paths<Place> = Paths(&[
    ("/", Place::Root),
    ("/health", Place::Health),
    ("/purchases/{user_id}", Place::History),
    ("/stats", Place::Stats),
    ("/stats/stream", Place::StatsStream),
    (DocsPage::ALL[0].0, Place::Docs(DocsPage::ALL[0].1)),
    (DocsPage::ALL[1].0, Place::Docs(DocsPage::ALL[1].1)),
    (DocsPage::ALL[2].0, Place::Docs(DocsPage::ALL[2].1)),
]);

impl Place {
    fn media_type(self) -> &'static str {
        match self {
            Self::StatsStream => "text/event-stream",
            Self::Docs(page) => page.media_type(),
            Self::Root | Self::Health | Self::History | Self::Stats => "application/json",
        }
    }
}

/// A request without its body.
struct Asked<'a> {
    path: &'a str,
    query: &'a str,
    method: Method,
    headers: &'a HeaderMap,
}

/// By what a request is found again.
pub(super) struct Told {
    pub(super) id: RequestId,
    pub(super) trace: TraceParent,
    pub(super) span: Span,
}

/// All routes. Answers that would go on for ever end with `stop`.
pub fn routes<S: HistoryStore>(
    api: Arc<Api<S>>,
    stop: CancellationToken,
) -> BoxedFilter<(Response,)> {
    warp::path::full()
        .and(warp::query::raw().or_else(async |_| Ok::<_, Infallible>((String::new(),))))
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .then(
            move |path: FullPath, query: String, method, headers: HeaderMap| {
                let (api, stop) = (Arc::clone(&api), stop.clone());
                async move {
                    let asked = Asked {
                        path: path.as_str(),
                        query: &query,
                        method,
                        headers: &headers,
                    };
                    api.answer(asked, stop).await
                }
            },
        )
        .boxed()
}

impl<S: HistoryStore> Api<S> {
    /// What every answer has in common: method, request id, metrics.
    async fn answer(&self, asked: Asked<'_>, stop: CancellationToken) -> Response {
        let started = Instant::now();
        let found = PATHS.find(asked.path);
        let route = found.map_or("unmatched", |found| found.template);
        let mut told = self.told((asked.method.as_str(), route), asked.headers);
        let handled = match (found, &asked.method) {
            (None, _) => Err(Problem::not_found()),
            (Some(_), &Method::OPTIONS) => Ok(web::options(web::READ)),
            (Some(found), &Method::GET | &Method::HEAD) => {
                self.read(found, &asked, &told, stop).await
            }
            (Some(_), _) => Err(Problem::method_not_allowed(web::READ)),
        };
        let mut response =
            handled.unwrap_or_else(|problem| problem.request_id(&told.id).into_response());
        let id = (HeaderName::from_static(X_REQUEST_ID), told.id.to_header());
        response.headers_mut().insert(id.0, id.1);
        let status = response.status().as_u16();
        metrics::request(route, status, started.elapsed());
        told.span.answered(status);
        response
    }

    fn told(&self, (method, route): (&str, &'static str), headers: &HeaderMap) -> Told {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let named = Named {
            parent: text(TRACEPARENT),
            state: text(TRACESTATE),
        };
        let (trace, mut span) = self.tracer.serve(&self.ids, named, (method, route));
        span.set("http.route", route);
        let id = self.ids.request(text(X_REQUEST_ID));
        Told { id, trace, span }
    }

    async fn read(
        &self,
        found: Found<'_, Place>,
        asked: &Asked<'_>,
        told: &Told,
        stop: CancellationToken,
    ) -> Result<Response, Problem> {
        let offered = found.place.media_type();
        if !accept::takes(asked.headers, offered) {
            return Err(accept::not_acceptable(offered));
        }
        match found.place {
            Place::Root => Ok(json(StatusCode::OK, &root(self.version))),
            Place::Health => Ok(self.health_view()),
            Place::History => {
                self.history(found.part, asked.query, asked.headers, told)
                    .await
            }
            Place::Stats => self.stats.answer(asked.headers).await,
            Place::StatsStream => self.stats.stream(asked.headers, stop).await,
            Place::Docs(page) => Ok(self.docs.answer(page, asked.path, asked.headers)),
        }
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
        if healthy {
            return uncached(json(StatusCode::OK, &view));
        }
        let mut response = uncached(json(StatusCode::SERVICE_UNAVAILABLE, &view));
        response
            .headers_mut()
            .insert(RETRY_AFTER_HEADER, HeaderValue::from(RETRY_AFTER.as_secs()));
        response
    }
}

pub(super) fn root(version: &'static str) -> Root {
    Root {
        service: "consumer-svc",
        version,
        description: "Customer management API: purchase histories and statistics",
        endpoints: PATHS.iter().map(|(template, _)| template).collect(),
    }
}

/// What is true now and not later.
fn uncached(mut response: Response) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(json) => {
            let mut response: Response = ::http::Response::new(json.into());
            *response.status_mut() = status;
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            response
        }
        Err(cause) => {
            error!(%cause, "an answer could not be written as JSON");
            Problem::internal().into_response()
        }
    }
}

#[cfg(test)]
mod tests;
