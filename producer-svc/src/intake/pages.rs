//! Answers that are made here: what this service is, what it sells, how it is.
//!
//! In: the catalog in use, and the state of the links. Out: JSON. Nothing here asks anybody.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode};
use purchases::Timestamp;
use serde::Serialize;
use warp::reply::Response;

use super::headers::matches_tag;
use crate::shelf::Shelf;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Pages that are ready to be sent.
pub(super) struct Pages {
    /// Does not change while the process runs.
    index: Bytes,
    /// Brings the list of items along.
    shelf: Shelf,
}

const ENDPOINTS: &[(&str, &str)] = &[
    ("POST /buy", "buy a random item: body {username, user_id}"),
    ("GET /getAllUserBuys/{user_id}", "a user's purchases"),
    ("GET /purchases/{user_id}", "the same"),
    ("GET /items", "what is for sale"),
    ("GET /stats", "statistics of the whole shop"),
    ("GET /stats/stream", "the same, live, as server-sent events"),
    ("GET /health", "whether this service and what it needs work"),
];

impl Pages {
    pub(super) fn new(shelf: Shelf) -> Self {
        let endpoints: serde_json::Map<_, _> = ENDPOINTS
            .iter()
            .map(|&(endpoint, meaning)| (endpoint.to_owned(), meaning.into()))
            .collect();
        let index = serde_json::json!({
            "service": "producer-svc",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Purchase Management System: customer-facing service",
            "endpoints": endpoints,
        });
        Self {
            index: index.to_string().into(),
            shelf,
        }
    }

    pub(super) fn index(&self) -> Response {
        json(StatusCode::OK, self.index.clone())
    }

    pub(super) fn items(&self, headers: &HeaderMap) -> Response {
        let catalog = self.shelf.catalog();
        // Strong: a hash of the very bytes.
        let tag = HeaderValue::try_from(format!("\"{}\"", catalog.listing().tag()))
            .expect("hexadecimal digits make a valid header");
        let known = matches_tag(headers.get(http::header::IF_NONE_MATCH), &tag);
        let mut response = if known {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            json(StatusCode::OK, catalog.listing().body())
        };
        response.headers_mut().insert(ETAG, tag);
        response.headers_mut().insert(
            CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=300"),
        );
        response
    }
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    service: &'static str,
    kafka_connected: bool,
    customer_management_api_reachable: bool,
    timestamp: Timestamp,
}

/// Healthy if everything works that this service offers: buying and the history.
pub(super) fn health(kafka_connected: bool, reachable: bool, timestamp: Timestamp) -> Response {
    let healthy = kafka_connected && reachable;
    let (status, code) = if healthy {
        ("healthy", StatusCode::OK)
    } else {
        ("unhealthy", StatusCode::SERVICE_UNAVAILABLE)
    };
    let health = Health {
        status,
        service: "producer-svc",
        kafka_connected,
        customer_management_api_reachable: reachable,
        timestamp,
    };
    let body = serde_json::to_vec(&health).expect("texts and flags always serialize");
    let mut response = json(code, body.into());
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}
