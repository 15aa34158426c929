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
    /// Whether the body is declared to be JSON, and nothing else. A missing type is none: it would let another
    /// site's form reach us without a preflight.
    pub json: bool,
    /// Declared length.
    pub length: Option<u64>,
    /// Whether the body is declared to be encoded, compressed for instance.
    pub encoded: bool,
    /// The retry key.
    pub key: Option<Result<IdempotencyKey, BadKey>>,
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
        let (mut typed, mut choosy) = (false, false);
        for (name, value) in headers {
            let text = || value.to_str();
            if name == header::CONTENT_TYPE {
                // Of several, another reader could take another one.
                buy.json = !typed && text().is_ok_and(is_json);
                typed = true;
            } else if name == header::CONTENT_LENGTH {
                buy.length = text().ok().and_then(|length| length.parse().ok());
            } else if name == header::CONTENT_ENCODING {
                buy.encoded |= !text().is_ok_and(is_identity);
            } else if name == IDEMPOTENCY_KEY {
                buy.key = Some(match (&buy.key, text()) {
                    (None, Ok(key)) => IdempotencyKey::parse(key).map_err(BadKey::from),
                    (None, Err(_)) => Err(KeyError::Character.into()),
                    // Several lines are a list, as the standard says, and a list is no key.
                    (Some(_), _) => Err(BadKey::Several),
                });
            } else if name == header::ACCEPT {
                choosy = true;
            } else if name == X_REQUEST_ID {
                ids.request_id = ids.request_id.or_else(|| text().ok());
            } else if name == TRACEPARENT {
                ids.named.parent = ids.named.parent.or_else(|| text().ok());
            } else if name == TRACESTATE {
                ids.named.state = ids.named.state.or_else(|| text().ok());
            }
        }
        // Once for all lines, which are one list: there may be as many as a head may have.
        buy.unacceptable = choosy && !accept::takes(headers, JSON);
        (buy, ids)
    }
}

/// Why a retry key is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Its header is wrong.
    #[error("Idempotency-Key {0}")]
    Wrong(#[from] KeyError),
    /// There are several.
    #[error("There is more than one Idempotency-Key header; it must be there once")]
    Several,
}

const JSON: &str = "application/json";
/// Name of the retry key's header.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

fn is_json(content_type: &str) -> bool {
    // Nearly always it is this and nothing else.
    if content_type == JSON {
        return true;
    }
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case(JSON)
}

fn is_identity(coding: &str) -> bool {
    coding.is_empty() || coding.eq_ignore_ascii_case("identity")
}

/// Headers of a question that are passed on to consumer-svc, and whether several lines of one are a list.
const PASSED_ON: [(header::HeaderName, bool); 4] = [
    (header::ACCEPT, true),
    (header::IF_NONE_MATCH, true),
    (header::IF_MODIFIED_SINCE, false),
    (header::HeaderName::from_static("last-event-id"), false),
];

/// Those of these headers that are passed on, each in one line: consumer-svc takes as many lines as this
/// service, and some come with the question.
pub(super) fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut passed = HeaderMap::with_capacity(PASSED_ON.len() + 3);
    for (name, list) in &PASSED_ON {
        let mut lines = headers.get_all(name).iter();
        let (Some(first), second) = (lines.next(), lines.next()) else {
            continue;
        };
        let value = match second {
            Some(second) if *list => {
                let lines = [first, second].into_iter().chain(lines);
                let lines: Vec<&[u8]> = lines.map(HeaderValue::as_bytes).collect();
                HeaderValue::from_bytes(&lines.join(&b", "[..])).ok()
            }
            Some(_) | None => Some(first.clone()),
        };
        passed.extend(value.map(|value| (name.clone(), value)));
    }
    passed
}

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
        let key = BuyHeaders::read(&headers).0.key;
        assert!(matches!(key, Some(Err(BadKey::Several))), "{key:?}");
    }

    #[test]
    fn several_lines_of_accept_are_one_list_in_any_order() {
        let unacceptable = |lines: &[&'static str]| {
            let lines = lines
                .iter()
                .map(|line| (header::ACCEPT, HeaderValue::from_static(line)));
            let mut headers = HeaderMap::new();
            lines.for_each(|(name, value)| assert!(headers.try_append(name, value).is_ok()));
            BuyHeaders::read(&headers).0.unacceptable
        };
        assert!(!unacceptable(&[]));
        assert!(unacceptable(&["text/html"]) && unacceptable(&["text/html", "text/css"]));
        assert!(!unacceptable(&["text/html", "application/json"]));
        assert!(!unacceptable(&["application/json", "text/html"]));
    }

    #[test]
    fn many_lines_of_accept_cost_no_more_than_one_that_says_the_same() {
        let range = "a/b,".repeat(160 / 4);
        let (mut many, mut one) = (HeaderMap::new(), HeaderMap::new());
        for _ in 0..90 {
            many.append(header::ACCEPT, HeaderValue::try_from(&range).unwrap());
        }
        one.append(
            header::ACCEPT,
            HeaderValue::try_from(range.repeat(90)).unwrap(),
        );
        let took = |headers: &HeaderMap| {
            let once = || {
                let since = std::time::Instant::now();
                assert!(BuyHeaders::read(headers).0.unacceptable);
                since.elapsed()
            };
            (0..20).map(|_| once()).min().unwrap()
        };
        let (many, one) = (took(&many), took(&one));
        assert!(many < 10 * one, "{many:?}, and in one line {one:?}");
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

    #[test]
    fn two_types_are_no_type_in_either_order() {
        for [first, second] in [
            ["application/json", "text/plain"],
            ["text/plain", "application/json"],
            ["application/json", "application/json"],
        ] {
            let mut headers = HeaderMap::new();
            headers.append(header::CONTENT_TYPE, HeaderValue::from_static(first));
            let alone = BuyHeaders::read(&headers).0.json;
            assert_eq!(alone, first == "application/json");
            headers.append(header::CONTENT_TYPE, HeaderValue::from_static(second));
            assert!(!BuyHeaders::read(&headers).0.json, "{first} {second}");
        }
    }

    #[test]
    fn several_lines_of_a_list_are_passed_on_as_one() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("if-none-match", "\"a\""),
            ("if-none-match", "\"b\", W/\"c\""),
            ("last-event-id", "1"),
            ("last-event-id", "2"),
            ("accept", "text/html"),
            ("cookie", "secret"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let passed = passed_on(&headers);
        assert_eq!(passed.len(), 3);
        assert_eq!(passed["if-none-match"], "\"a\", \"b\", W/\"c\"");
        assert_eq!(passed["last-event-id"], "1");
        assert_eq!(passed["accept"], "text/html");
    }

    #[test]
    fn only_a_body_as_it_is_is_read() {
        let encoded = |value| {
            let headers =
                HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static(value))]);
            BuyHeaders::read(&headers).0.encoded
        };
        assert!(!BuyHeaders::read(&HeaderMap::new()).0.encoded);
        assert!(!encoded("identity") && !encoded("Identity") && !encoded(""));
        assert!(encoded("gzip") && encoded("identity, br"));
    }
}
