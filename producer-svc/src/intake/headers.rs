//! Request headers, read in place.
//!
//! In: header values from anybody. Out: what the handlers need to know of them. A value that is not
//! readable as text is never taken for an absent one where that would change the request's meaning.

use std::convert::Infallible;
use std::str::FromStr;

use host::span::Named;
use host::trace::{TRACEPARENT, TRACESTATE, X_REQUEST_ID};
use http::{HeaderValue, header};
use purchases::{IdempotencyKey, KeyError};
use warp::Filter;

/// A text header: `None` if absent, `unreadable` if it is not visible ASCII.
fn header<T: FromStr + Send + 'static>(
    name: &'static str,
    unreadable: fn() -> Option<T>,
) -> impl Filter<Extract = (Option<T>,), Error = Infallible> + Copy {
    warp::header::optional::<T>(name)
        .or(warp::any().map(unreadable))
        .unify()
}

/// Implements a reading that cannot fail, as the filters want it.
macro_rules! reads {
    ($type:ty, $text:ident => $value:expr) => {
        impl FromStr for $type {
            type Err = Infallible;

            fn from_str($text: &str) -> Result<Self, Infallible> {
                Ok($value)
            }
        }
    };
}

/// Ids that the client gave its request, unchecked.
pub(super) struct ClientIds {
    pub(super) request_id: Option<String>,
    trace: Option<String>,
    state: Option<String>,
}

impl ClientIds {
    /// The trace that the client names.
    pub(super) fn named(&self) -> Named<'_> {
        Named {
            parent: self.trace.as_deref(),
            state: self.state.as_deref(),
        }
    }
}

/// Reads the ids.
pub(super) fn client_ids() -> impl Filter<Extract = (ClientIds,), Error = Infallible> + Copy {
    header::<String>(X_REQUEST_ID, || None)
        .and(header::<String>(TRACEPARENT, || None))
        .and(header::<String>(TRACESTATE, || None))
        .map(|request_id, trace, state| ClientIds {
            request_id,
            trace,
            state,
        })
}

/// What the headers of `POST /buy` say of its body and its retries.
pub(super) struct BuyHeaders {
    /// Whether the body is declared to be JSON.
    pub(super) json: bool,
    /// Declared length.
    pub(super) length: Option<u64>,
    /// The retry key.
    pub(super) key: Option<Result<IdempotencyKey, KeyError>>,
}

struct IsJson(bool);
struct Length(Option<u64>);
struct Key(Result<IdempotencyKey, KeyError>);

reads!(IsJson, text => {
    let media_type = text.split(';').next().unwrap_or_default().trim();
    Self(media_type.eq_ignore_ascii_case("application/json"))
});
reads!(Length, text => Self(text.parse().ok()));
reads!(Key, text => Self(IdempotencyKey::parse(text)));

/// Reads the headers of `POST /buy`.
pub(super) fn buy_headers() -> impl Filter<Extract = (BuyHeaders,), Error = Infallible> + Copy {
    header::<IsJson>("content-type", || None)
        .and(header::<Length>("content-length", || None))
        .and(header::<Key>("idempotency-key", || {
            Some(Key(Err(KeyError::Character)))
        }))
        .map(
            |json: Option<IsJson>, length: Option<Length>, key: Option<Key>| BuyHeaders {
                // A missing type would let another site's form reach us without a preflight.
                json: json.is_some_and(|json| json.0),
                length: length.and_then(|length| length.0),
                key: key.map(|key| key.0),
            },
        )
}

/// Whether one of the tags in `If-None-Match` is this one. Weak comparison, as the standard has it.
pub(super) fn matches_tag(header: Option<&HeaderValue>, tag: &HeaderValue) -> bool {
    let (Some(Ok(list)), Ok(tag)) = (header.map(HeaderValue::to_str), tag.to_str()) else {
        return false;
    };
    list.split(',')
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
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
    fn a_tag_is_found_in_a_list_and_in_its_weak_form() {
        let tag = HeaderValue::from_static("\"abc\"");
        let matches = |list: &'static str| matches_tag(Some(&HeaderValue::from_static(list)), &tag);
        assert!(matches("\"abc\"") && matches("\"x\", W/\"abc\"") && matches("*"));
        assert!(!matches("\"abcd\"") && !matches("abc") && !matches_tag(None, &tag));
    }

    #[test]
    fn only_json_is_json() {
        let is = |text: &str| text.parse::<IsJson>().is_ok_and(|json| json.0);
        assert!(is("application/json") && is("Application/JSON; charset=utf-8"));
        assert!(
            !is("text/plain")
                && !is("application/jsonp")
                && !is("")
                && !is("application/problem+json")
        );
    }
}
