//! Routes of the query API. Path first, method second, so that a wrong method on a known path is
//! a 405 and everything unknown a 404; every error is a problem document.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderName, LINK, RETRY_AFTER as RETRY_AFTER_HEADER,
};
use ::http::{HeaderMap, HeaderValue, Method, StatusCode};
use actors::{Cost, Credits};
use bytes::Bytes;
use host::problem::{Invalid, Problem};
use host::span::{Named, Span, SpanKind, Tracer};
use host::trace::{Ids, RequestId, TRACEPARENT, TRACESTATE, TraceParent, X_REQUEST_ID};
use host::web::docs::{Docs, DocsPage};
use host::web::paths::{Found, Paths};
use host::web::{self, accept};
use percent_encoding::percent_decode_str;
use purchases::views::{History, PAGE_DEFAULT, PAGE_MAX};
use purchases::{Timestamp, UserId};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use utoipa::ToSchema;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::filters::path::FullPath;
use warp::reply::Response;

use super::cursor::Cursor;
use super::stats::StatsApi;
use super::{HistoryStore, PageRequest, StoreError};
use crate::health::Health;
use crate::metrics;

/// What a client should wait before it asks again.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

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
struct Told {
    id: RequestId,
    trace: TraceParent,
    span: Span,
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
            Place::History => self.history(found.part, asked.query, told).await,
            Place::Stats => {
                let figures = self.stats.figures().await?;
                Ok(uncached(json_bytes(StatusCode::OK, figures.json.clone())))
            }
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

    async fn history(&self, user: &str, query: &str, told: &Told) -> Result<Response, Problem> {
        let (user, page) = parse(user, query).map_err(Problem::validation)?;
        let credit = Cost { count: 1, bytes: 1 };
        let _credit = self
            .credits
            .try_take(credit)
            .map_err(|_| Problem::overloaded(RETRY_AFTER))?;
        let mut reading = told.span.child(SpanKind::Client, ("read", "history"));
        reading.set("db.system.name", "mongodb");
        let read = self.store.history(&user, &page).await;
        if let Err(error) = &read {
            reading.fail(&error.to_string());
        }
        drop(reading);
        let (request_id, traceparent) = (&told.id, told.trace);
        match read {
            Ok(Some(history)) => Ok(found(&history, page.limit)),
            Ok(None) => Err(Problem::new(
                StatusCode::NOT_FOUND,
                "/problems/unknown-user",
                "No purchases",
                format!("{user} has no purchases."),
            )),
            Err(StoreError::Unavailable(cause)) => {
                warn!(%request_id, %traceparent, %cause, "history not available");
                let detail = "The history cannot be read at the moment. It is not lost.";
                Err(Problem::unavailable(
                    "/problems/history-unavailable",
                    detail,
                    RETRY_AFTER,
                ))
            }
            Err(StoreError::Malformed(cause)) => {
                error!(%request_id, %traceparent, %cause, "history cannot be shown");
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
    let (mut limit, mut after) = (PAGE_DEFAULT, None);
    let mut seen = HashSet::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let known = matches!(&*name, "limit" | "cursor");
        if known && !seen.insert(name.clone()) {
            // Readers of queries disagree on which one counts.
            errors.push(Invalid::new(format!("/{name}"), "appears more than once"));
            continue;
        }
        match &*name {
            "limit" => match value.parse() {
                Ok(number) if (1..=PAGE_MAX).contains(&number) => limit = number,
                _ => errors.push(Invalid::new(
                    "/limit",
                    format!("is not a whole number from 1 to {PAGE_MAX}"),
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
