//! How to ask consumer-svc: its variables.
//!
//! In: variables. Out: a whole [`HistoryConfig`], or what is wrong with them.

use std::time::Duration;

use host::env::{self, Reader, Var};

pub(super) const VARS: &[Var] = &[
    Var::with_default(
        "CUSTOMER_MANAGEMENT_API_URL",
        "http://localhost:8001",
        "address of consumer-svc",
    ),
    Var::with_default(
        "HISTORY_TIMEOUT",
        "10s",
        "how long consumer-svc may be silent before its answer is given up; at most 1s for the head of an answer while it does not \
         answer whether it is there, either",
    ),
    Var::with_default(
        "HISTORY_ANSWER_TIMEOUT",
        "60s",
        "how long a client may take to receive a history or the statistics; then the answer is cut, so that who takes a \
         little now and then does not hold one of HISTORY_MAX_REQUESTS. Live streams are not concerned",
    ),
    Var::with_default(
        "HISTORY_MAX_REQUESTS",
        "128",
        "requests to consumer-svc at once",
    ),
    Var::with_default(
        "HISTORY_MAX_STREAMS",
        "256",
        "live statistics streams at once",
    ),
    Var::optional(
        "HISTORY_MAX_REQUESTS_PER_CLIENT",
        "of these, how many one client may have; more get 429. Without it half of them. Where all come through a proxy and \
         TRUSTED_PROXY_HEADER is not set, the proxy is the one client",
    ),
    Var::optional("HISTORY_MAX_STREAMS_PER_CLIENT", "the same of the streams"),
];

/// How to ask consumer-svc.
#[derive(Clone, Debug)]
pub struct HistoryConfig {
    /// Its address; what is asked for is appended to the path.
    pub base: http::Uri,
    /// How long it may be silent.
    pub timeout: Duration,
    /// How long a whole answer may take, if it is one that ends.
    pub answer_timeout: Duration,
    /// Requests at once.
    pub max_requests: usize,
    /// Endless answers at once.
    pub max_streams: usize,
    /// Requests of one client at once.
    pub requests_each: usize,
    /// Endless answers to one client at once.
    pub streams_each: usize,
}

impl HistoryConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let base = reader.get("CUSTOMER_MANAGEMENT_API_URL", |text| {
            let uri = env::http_url(text)?;
            match uri.scheme_str() {
                Some("http") => Ok(uri),
                _ => Err("must begin with http:// (consumer-svc is inside the cluster and speaks no TLS)".to_owned()),
            }
        });
        let timeout = reader.get("HISTORY_TIMEOUT", some_time);
        let answer_timeout = reader.get("HISTORY_ANSWER_TIMEOUT", some_time);
        let max_requests = reader.get("HISTORY_MAX_REQUESTS", env::count);
        let max_streams = reader.get("HISTORY_MAX_STREAMS", env::count);
        let requests_each = reader.optional("HISTORY_MAX_REQUESTS_PER_CLIENT", env::count);
        let streams_each = reader.optional("HISTORY_MAX_STREAMS_PER_CLIENT", env::count);
        let (max_requests, max_streams) = (max_requests?, max_streams?);
        let half = |of: usize| of.div_ceil(2);
        Some(Self {
            base: base?,
            timeout: timeout?,
            answer_timeout: answer_timeout?,
            max_requests,
            max_streams,
            requests_each: requests_each?.unwrap_or(half(max_requests)),
            streams_each: streams_each?.unwrap_or(half(max_streams)),
        })
    }
}

/// A duration that lets something happen.
fn some_time(text: &str) -> Result<Duration, String> {
    match env::duration(text)? {
        Duration::ZERO => Err("must be longer than nothing".to_owned()),
        time => Ok(time),
    }
}
