//! The HTTP client towards the management service: the only file that names the client library.
//!
//! In: a question. Out: status, headers and a body that arrives in its own time, each step within
//! the timeout. Connections are kept and reused; how many there are is bounded by the askers' credits.

use std::time::Duration;

use actors::Permit;
use bytes::Bytes;
use futures_util::stream;
use http::header::{self, HeaderMap, HeaderName};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use crate::config::HistoryConfig;
use crate::flow::{Ask, Fetched, FetchedBody, Unreachable};
use crate::whose;

/// How long a connection may take to be made; inside a cluster that is milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the service may take to say that it is there.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest answer to that question. consumer-svc's has some 200 bytes; what stands in its place may send
/// as fast as it can for as long as it may.
const PROBE_MAX_BODY: usize = 16 * 1024;
/// How long an endless answer may be silent: its keep-alive comments come every 15 s.
const STREAM_SILENCE: Duration = Duration::from_secs(60);
/// How long an unused connection is kept: shorter than servers keep theirs, so that a request
/// does not meet a connection that is being closed.
const IDLE: Duration = Duration::from_secs(20);

/// Headers of an answer that are passed on. What speaks of the connection or of the server is not.
const PASSED_ON: [HeaderName; 11] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CACHE_CONTROL,
    header::ETAG,
    header::LAST_MODIFIED,
    header::LINK,
    header::RETRY_AFTER,
    header::VARY,
    header::ALLOW,
    HeaderName::from_static("x-accel-buffering"),
];

/// Asks the management service.
pub struct HistoryClient {
    http: Client<HttpConnector, Empty<Bytes>>,
    authority: Authority,
    prefix: String,
    timeout: Duration,
    answer_timeout: Duration,
}

impl HistoryClient {
    /// A client of the service at the configured address. Connects when first asked.
    ///
    /// # Panics
    ///
    /// If the address has no host, which the configuration excludes.
    pub fn new(config: &HistoryConfig) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT.min(config.timeout)));
        let http = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(config.max_requests)
            .build(connector);
        let authority = config
            .base
            .authority()
            .cloned()
            .expect("the configured address has a host");
        let prefix = config.base.path().trim_end_matches('/').to_owned();
        Self {
            http,
            authority,
            prefix,
            timeout: config.timeout,
            answer_timeout: config.answer_timeout,
        }
    }

    /// Asks, and keeps the permit until the answer's last byte. The head of the answer has the configured time, or
    /// this where it is less.
    ///
    /// # Errors
    ///
    /// [`Unreachable`] if no head of an answer came in time.
    pub async fn fetch(
        &self,
        ask: Ask,
        permit: Permit,
        within: Option<Duration>,
    ) -> Result<Fetched, Unreachable> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = ask.method;
        *request.uri_mut() = self.uri(&ask.path)?;
        *request.headers_mut() = ask.headers;
        let within = within.map_or(self.timeout, |within| within.min(self.timeout));
        let (head, body) = self.request(request, within).await?.into_parts();
        let mut headers = HeaderMap::with_capacity(PASSED_ON.len());
        for name in &PASSED_ON {
            for value in head.headers.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        let (silence, until) = if ask.endless {
            (STREAM_SILENCE, None)
        } else {
            (self.timeout, Some(Instant::now() + self.answer_timeout))
        };
        Ok(Fetched {
            status: head.status,
            headers,
            body: chunks(body, silence, until, permit),
        })
    }

    /// Whether the service answers at all. How well it says it is, is its own business; that it is the one that
    /// says so is not.
    ///
    /// # Errors
    ///
    /// [`Unreachable`] with the reason.
    pub async fn probe(&self) -> Result<(), Unreachable> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = self.uri("/health")?;
        let (head, body) = self.request(request, PROBE_TIMEOUT).await?.into_parts();
        if !whose::is_their_health(head.status, &head.headers) {
            let (prefix, instead) = (&self.prefix, whose::shown(head.status, &head.headers));
            let why = format!("is not what answers {prefix}/health: {instead}");
            return Err(Unreachable(why));
        }
        // Read to its end, or the connection could not be used again.
        let whole = Limited::new(body, PROBE_MAX_BODY).collect();
        let rest = tokio::time::timeout(PROBE_TIMEOUT, whole).await;
        match rest.map_err(|_| silent(PROBE_TIMEOUT))? {
            Ok(_) => Ok(()),
            Err(error) if error.is::<LengthLimitError>() => {
                let why =
                    format!("answers with more than {PROBE_MAX_BODY} bytes whether it is there");
                Err(Unreachable(why))
            }
            Err(error) => Err(broken(&*error)),
        }
    }

    async fn request(
        &self,
        request: Request<Empty<Bytes>>,
        within: Duration,
    ) -> Result<http::Response<Incoming>, Unreachable> {
        match tokio::time::timeout(within, self.http.request(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(broken(&error)),
            Err(_) => Err(silent(within)),
        }
    }

    fn uri(&self, path: &str) -> Result<Uri, Unreachable> {
        let path: PathAndQuery = format!("{}{path}", self.prefix)
            .parse()
            .map_err(|error| Unreachable(format!("cannot be asked for this path: {error}")))?;
        Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .map_err(|error| Unreachable(format!("cannot be asked for this path: {error}")))
    }
}

/// The body's chunks, none later than `silence` after the one before, and none after `until`: whoever takes
/// them slowly must not keep the permit for as long as he likes.
fn chunks(
    body: Incoming,
    silence: Duration,
    until: Option<Instant>,
    permit: Permit,
) -> FetchedBody {
    Box::pin(stream::unfold(
        Some((body, permit)),
        move |state| async move {
            let (mut body, permit) = state?;
            loop {
                let left = until.map(|until| until.saturating_duration_since(Instant::now()));
                if left == Some(Duration::ZERO) {
                    return Some((
                        Err(Unreachable("was not heard to its end in time".to_owned())),
                        None,
                    ));
                }
                let within = left.map_or(silence, |left| left.min(silence));
                match tokio::time::timeout(within, body.frame()).await {
                    Ok(None) => return None,
                    Ok(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => return Some((Ok(data), Some((body, permit)))),
                        // Trailers are not passed on.
                        Err(_) => continue,
                    },
                    Ok(Some(Err(error))) => return Some((Err(broken(&error)), None)),
                    Err(_) => return Some((Err(silent(within)), None)),
                }
            }
        },
    ))
}

fn silent(within: Duration) -> Unreachable {
    Unreachable(format!("did not answer within {within:?}"))
}

/// The innermost cause says what happened; the outer ones only where.
fn broken(error: &dyn std::error::Error) -> Unreachable {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Unreachable(format!("is not reachable: {cause}"))
}
