//! A whole head: the request line and all headers, at the real routes of the customers' port.
//!
//! In: any bytes. Out: nothing, or a panic. What the server leaves to the routes is answered by them, with an id;
//! what they refuse is a problem.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use actors::{Addr, Cost, Credits};
use bytes::Bytes;
use host::trace::{Ids, X_REQUEST_ID};
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, Uri, Version};
use http_body_util::{BodyExt, Full};
use producer_svc::catalog::Catalog;
use producer_svc::intake::{self, Bounds, Desk, Outlets};
use producer_svc::link::Link;
use producer_svc::metrics::Metrics;
use producer_svc::replay::{Limits, Replays};
use producer_svc::shelf::Shelf;
use purchases::IdSource;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::headers::read;

/// Nobody is behind this desk: what it passes on comes back as a refusal.
static DESK: LazyLock<Arc<Desk>> = LazyLock::new(|| {
    let credits = |name| {
        Credits::new(
            name,
            Cost {
                count: 1,
                bytes: 1 << 20,
            },
        )
    };
    let metrics = Arc::new(Metrics::new());
    let replays = Limits {
        keys: 100,
        bytes: 1 << 20,
        age: Duration::from_secs(1),
    };
    let outlets = Outlets {
        select: Addr::new("select"),
        history: Addr::new("history"),
        topic: "purchases".to_owned(),
    };
    let bounds = Bounds {
        purchases: credits("purchases"),
        requests: credits("history"),
        streams: credits("streams"),
        requests_each: None,
        streams_each: None,
        max_wait: Duration::ZERO,
        patience: Duration::from_secs(3600),
    };
    Arc::new(Desk::new(
        outlets,
        bounds,
        (Link::default(), Link::default()),
        Arc::clone(&metrics),
        Replays::new(replays, metrics),
        Shelf::new(Catalog::built_in()),
        (IdSource::new([7; 5], 0), Ids::new().expect("randomness")),
    ))
});

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().build().expect("a runtime")
});

/// A request line, a line for each header, and behind an empty line a body.
pub fn head(bytes: &[u8]) {
    let Some(request) = request(bytes) else {
        return;
    };
    let path = request.uri().path().to_owned();
    let (old, hosts) = (
        request.version() == Version::HTTP_10,
        request.headers().get_all(HOST).iter().count(),
    );
    if host::serve::own(&request).is_some() {
        return;
    }
    assert!(path.starts_with('/'), "the routes see {path:?}");
    assert!(hosts == 1 || (old && hosts == 0), "{hosts} hosts");
    let asked = format!("{} {path}", request.method());
    let answer = RUNTIME.block_on(async {
        let mut service = intake::service(&DESK, &CancellationToken::new());
        service.call(request).await
    });
    let Ok(answer) = answer;
    let (status, headers) = (answer.status(), answer.headers());
    assert!(headers.contains_key(X_REQUEST_ID), "{asked}: no id");
    assert_ne!(status.as_u16(), 500, "{asked}");
    let problem = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/problem+json");
    let refused = status.is_client_error() || status.is_server_error();
    // The health of a service is told by its status, too.
    if refused && !path.trim_matches('/').ends_with("health") {
        assert!(problem, "{asked}: {status} and no problem");
    }
    let body = RUNTIME.block_on(answer.into_body().collect());
    assert!(body.is_ok(), "{asked}: a torn answer");
}

/// As the parser makes it.
fn request(bytes: &[u8]) -> Option<Request<Full<Bytes>>> {
    let end = bytes.windows(2).position(|two| two == b"\n\n");
    let (head, body) = match end {
        Some(end) => (&bytes[..end], &bytes[end + 2..]),
        None => (bytes, &b""[..]),
    };
    let line = head.split(|byte| *byte == b'\n').next()?;
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let method = Method::from_bytes(parts.next()?).ok()?;
    let uri = Uri::try_from(parts.next()?).ok()?;
    let version = match parts.next()? {
        b"HTTP/1.1" => Version::HTTP_11,
        b"HTTP/1.0" => Version::HTTP_10,
        _ => return None,
    };
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(body)));
    *request.headers_mut() = read(&head[line.len()..]);
    (
        *request.method_mut(),
        *request.uri_mut(),
        *request.version_mut(),
    ) = (method, uri, version);
    Some(request)
}
