//! The admin port: what operators and orchestrators look at.
//!
//! In: requests on a port of its own, so that overload of the service does not
//! reach the probes. Out: `/metrics`, `/livez`, `/readyz`, `/actors`, `/log-level`. Liveness
//! asks only whether this process answers: a restart cures no broker. Whoever reaches this port
//! may change what is logged, and nothing else.

mod log_level;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::levels::Levels;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::readiness::Readiness;
use crate::serve::{Limits, Received, Server};
use crate::trace::{Ids, REQUEST_ID};

/// Prometheus refuses a text whose version it is not told.
const PROMETHEUS: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Enough for a scraper, the probes and a few people.
pub const LIMITS: Limits = Limits {
    connections: 64,
    spared: Duration::from_secs(1),
    header: Duration::from_secs(5),
    idle: Duration::from_secs(75),
    write: Duration::from_secs(10),
    linger: Duration::ZERO,
    buffer: 16 * 1024,
    unfinished: 256 * 1024,
};

/// The live supervision tree as JSON, made anew for each request.
pub type TreeFn = dyn Fn() -> serde_json::Value + Send + Sync;

/// What the admin port shows.
#[derive(Clone)]
pub struct Admin {
    readiness: Readiness,
    metrics: Metrics,
    levels: Levels,
    tree: Arc<TreeFn>,
    refresh: Arc<dyn Fn() + Send + Sync>,
}

impl Admin {
    /// Shows these. `tree` is usually a `SystemHandle` of the toolkit, serialized.
    pub fn new(
        readiness: Readiness,
        metrics: Metrics,
        levels: Levels,
        tree: impl Fn() -> serde_json::Value + Send + Sync + 'static,
    ) -> Self {
        Self {
            readiness,
            metrics,
            levels,
            tree: Arc::new(tree),
            refresh: Arc::new(|| ()),
        }
    }

    /// Runs before `/metrics` is rendered, for gauges that are measured and not
    /// counted: the depth of mailboxes.
    #[must_use]
    pub fn refresh(self, refresh: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            refresh: Arc::new(refresh),
            ..self
        }
    }

    /// Serves until the handle is dropped: also while the service drains, so that
    /// the drain can be watched.
    pub fn spawn(self, server: Server) -> AbortOnDropHandle<()> {
        AbortOnDropHandle::new(tokio::spawn(async move {
            let ids = server.ids();
            let pages = Pages { admin: self, ids };
            server
                .run(pages, CancellationToken::new(), Duration::ZERO)
                .await;
        }))
    }

    async fn answer(self, request: Request<Received>) -> Result<Response<Full<Bytes>>, Problem> {
        if request.uri().path() == "/log-level" {
            return log_level::answer(&self.levels, request).await;
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        if !matches!(path.as_str(), "/metrics" | "/livez" | "/readyz" | "/actors") {
            return Err(Problem::not_found());
        }
        if method != Method::GET && method != Method::HEAD {
            return Err(Problem::method_not_allowed("GET, HEAD"));
        }
        Ok(match path.as_str() {
            "/metrics" => {
                let render = move || {
                    (self.refresh)();
                    self.metrics.render()
                };
                let text = tokio::task::spawn_blocking(render).await;
                page(
                    StatusCode::OK,
                    PROMETHEUS,
                    text.map_err(|_| Problem::internal())?,
                )
            }
            "/livez" => page(StatusCode::OK, TEXT, "alive\n".to_owned()),
            "/readyz" => match self.readiness.not_ready_because()[..] {
                [] => page(StatusCode::OK, TEXT, "ready\n".to_owned()),
                ref unmet => page(
                    StatusCode::SERVICE_UNAVAILABLE,
                    TEXT,
                    format!("not ready: {}\n", unmet.join(", ")),
                ),
            },
            _ => page(StatusCode::OK, JSON, (self.tree)().to_string()),
        })
    }
}

fn page(status: StatusCode, media_type: HeaderValue, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The pages of one server.
#[derive(Clone)]
struct Pages {
    admin: Admin,
    ids: Arc<Ids>,
}

impl tower_service::Service<Request<Received>> for Pages {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Received>) -> Self::Future {
        let theirs = request.headers().get(REQUEST_ID);
        let id = self.ids.request(theirs.and_then(|id| id.to_str().ok()));
        let answer = self.admin.clone().answer(request);
        Box::pin(async move {
            let answer = answer.await;
            let mut response =
                answer.unwrap_or_else(|problem| problem.request_id(&id).into_response());
            response.headers_mut().insert(REQUEST_ID, id.to_header());
            Ok(response)
        })
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("readiness", &self.readiness)
            .finish_non_exhaustive()
    }
}
