//! Request headers, read in place.
//!
//! In: header values from anybody. Out: what the handlers need to know of them. A value that is not
//! readable as text is never taken for an absent one where that would change the request's meaning.

use host::span::Named;
use host::trace::{TRACEPARENT, TRACESTATE, X_REQUEST_ID};
use host::web::accept;
use host::web::front::Client;
use http::{HeaderMap, HeaderValue, header};
use purchases::{IdempotencyKey, KeyError};

/// Ids that the client gave its request, unchecked.
#[derive(Default)]
pub struct ClientIds<'a> {
    /// The id that the request is to have.
    pub request_id: Option<&'a str>,
    /// The trace that the client names.
    pub named: Named<'a>,
}

impl<'a> ClientIds<'a> {
    /// Reads them. What is no text is no id, and then the request gets one of ours.
    pub(super) fn read(headers: &'a HeaderMap) -> Self {
        let text = |name| {
            headers
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        Self {
            request_id: text(X_REQUEST_ID),
            named: Named {
                parent: text(TRACEPARENT),
                state: text(TRACESTATE),
            },
        }
    }
}

/// What the headers of `POST /buy` say of its body and its retries.
#[derive(Default)]
pub struct BuyHeaders {
    /// Whether the body is declared to be JSON. A missing type is none: it would let another site's
    /// form reach us without a preflight.
    pub json: bool,
    /// Declared length.
    pub length: Option<u64>,
    /// The retry key.
    pub key: Option<Result<IdempotencyKey, KeyError>>,
    /// Whether the client takes no answer of the type that is sent.
    pub unacceptable: bool,
    /// Who sent it, where clients are told apart.
    pub client: Option<Client>,
}

impl BuyHeaders {
    /// Reads them, and the client's ids, in one walk: a request has few headers, and looking one up
    /// costs more than passing it.
    pub fn read(headers: &HeaderMap) -> (Self, ClientIds<'_>) {
        let (mut buy, mut ids) = (Self::default(), ClientIds::default());
        for (name, value) in headers {
            let text = || value.to_str();
            if name == header::CONTENT_TYPE {
                buy.json = text().is_ok_and(is_json);
            } else if name == header::CONTENT_LENGTH {
                buy.length = text().ok().and_then(|length| length.parse().ok());
            } else if name == IDEMPOTENCY_KEY {
                buy.key = Some(match (&buy.key, text()) {
                    (None, Ok(key)) => IdempotencyKey::parse(key),
                    // Several lines are a list, as the standard says, and a list is no key.
                    (Some(_), _) | (None, Err(_)) => Err(KeyError::Character),
                });
            } else if name == header::ACCEPT {
                buy.unacceptable = !accept::takes(headers, "application/json");
            } else if name == X_REQUEST_ID {
                ids.request_id = text().ok();
            } else if name == TRACEPARENT {
                ids.named.parent = text().ok();
            } else if name == TRACESTATE {
                ids.named.state = text().ok();
            }
        }
        (buy, ids)
    }
}

/// Name of the retry key's header.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

/// Headers of a question that are passed on to consumer-svc.
pub(super) const PASSED_ON: [http::HeaderName; 4] = [
    header::ACCEPT,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    http::HeaderName::from_static("last-event-id"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_retry_keys_are_no_retry_key() {
        let mut headers = HeaderMap::new();
        assert!(BuyHeaders::read(&headers).0.key.is_none());
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static("one"));
        assert!(matches!(BuyHeaders::read(&headers).0.key, Some(Ok(_))));
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static("one"));
        assert!(matches!(BuyHeaders::read(&headers).0.key, Some(Err(_))));
    }

    #[test]
    fn only_json_is_json() {
        assert!(is_json("application/json") && is_json("Application/JSON; charset=utf-8"));
        for other in [
            "text/plain",
            "application/jsonp",
            "",
            "application/problem+json",
        ] {
            assert!(!is_json(other), "{other}");
        }
    }
}
