//! What both services' HTTP surfaces have in common beyond serving: which path is which, what a
//! client accepts, other origins, who a client is and how much he may send, and the API's own
//! description, for machines and for people.
//!
//! In: requests' heads and a service's description of itself. Out: decisions, headers and pages.
//! It knows no purchase and no route of its own.

pub mod accept;
pub mod client;
pub mod cors;
pub mod docs;
pub mod fixed;
pub mod front;
pub mod limit;
pub mod openapi;
pub mod paths;
pub mod shares;

use bytes::Bytes;
use http::header::ALLOW;
use http::{HeaderValue, Response, StatusCode};

/// What a path that is read answers to.
pub const READ: &str = "GET, HEAD, OPTIONS";
/// What a path that is written to answers to.
pub const WRITE: &str = "POST, OPTIONS";

/// The answer to `OPTIONS`: which methods a path answers to.
pub fn options<B: From<Bytes>>(allowed: &'static str) -> Response<B> {
    let mut response = Response::new(B::from(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
}
