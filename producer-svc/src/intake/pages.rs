//! Answers that are made here: what this service is, what it sells, how it is.
//!
//! In: the catalog in use, and the state of the links. Out: JSON. Nothing here asks anybody.

use bytes::Bytes;
use host::web::fixed::matches_tag;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use purchases::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use warp::reply::Response;

use crate::shelf::Shelf;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Pages that are ready to be sent.
pub(super) struct Pages {
    /// Does not change while the process runs.
    index: Bytes,
    /// Brings the list of items along.
    shelf: Shelf,
}

/// What this service is and where what is.
#[derive(Serialize, ToSchema)]
pub(super) struct Index {
    /// Its name.
    #[schema(value_type = String)]
    service: &'static str,
    /// Its version.
    #[schema(value_type = String)]
    version: &'static str,
    /// What it is for.
    #[schema(value_type = String)]
    description: &'static str,
    /// What each endpoint is for.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    endpoints: serde_json::Map<String, serde_json::Value>,
}

const ENDPOINTS: &[(&str, &str)] = &[
    ("POST /buy", "buy a random item: body {username, user_id}"),
    ("GET /getAllUserBuys/{user_id}", "a user's purchases"),
    ("GET /purchases/{user_id}", "the same"),
    ("GET /items", "what is for sale"),
    ("GET /stats", "statistics of the whole shop"),
    ("GET /stats/stream", "the same, live, as server-sent events"),
    ("GET /health", "whether this service and what it needs work"),
    ("GET /openapi.json", "this API, described for machines"),
    ("GET /docs", "this API, described for people"),
];

/// What `/` shows.
pub(super) fn index() -> Index {
    let endpoints = ENDPOINTS
        .iter()
        .map(|&(endpoint, meaning)| (endpoint.to_owned(), meaning.into()))
        .collect();
    Index {
        service: "producer-svc",
        version: env!("CARGO_PKG_VERSION"),
        description: "Purchase Management System: customer-facing service",
        endpoints,
    }
}

impl Pages {
    pub(super) fn new(shelf: Shelf) -> Self {
        let index = serde_json::to_vec(&index()).expect("texts always serialize");
        Self {
            index: index.into(),
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
        let known = matches_tag(headers.get_all(http::header::IF_NONE_MATCH), &tag);
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

/// Whether everything works that this service offers.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `healthy` or `unhealthy`.
    #[schema(value_type = String, pattern = "^(un)?healthy$")]
    pub(super) status: &'static str,
    /// Its name.
    #[schema(value_type = String)]
    pub(super) service: &'static str,
    /// Whether purchases can be taken.
    pub(super) kafka_connected: bool,
    /// Whether histories and statistics can be had.
    pub(super) customer_management_api_reachable: bool,
    /// When this was answered.
    pub(super) timestamp: Timestamp,
}

/// When to look again while something is away.
const LOOK_AGAIN_SECONDS: u16 = 1;

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
    if !healthy {
        response
            .headers_mut()
            .insert(RETRY_AFTER, LOOK_AGAIN_SECONDS.into());
    }
    response
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}
