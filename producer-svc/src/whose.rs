//! Whose an answer is: consumer-svc's, or that of something in its place. Pure.
//!
//! In: status and headers of an answer. Out: whether consumer-svc answers like that. A proxy without anybody
//! behind it, or a wrong address, answers too; taken for consumer-svc it would be an outage that nobody sees.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
const PROBLEM: &str = "application/problem+json";

/// Whether it is consumer-svc's answer to a question: what was asked for, or a problem.
pub(crate) fn is_theirs(status: StatusCode, headers: &HeaderMap) -> bool {
    let kind = kind(headers);
    if status.is_client_error() || status.is_server_error() {
        kind.eq_ignore_ascii_case(PROBLEM)
    } else if status.is_success() {
        [JSON, EVENTS]
            .iter()
            .any(|theirs| kind.eq_ignore_ascii_case(theirs))
    } else {
        status == StatusCode::NOT_MODIFIED
    }
}

/// Whether it is consumer-svc that says how it is, well or not.
pub(crate) fn is_their_health(status: StatusCode, headers: &HeaderMap) -> bool {
    let told = status == StatusCode::OK || status == StatusCode::SERVICE_UNAVAILABLE;
    told && kind(headers).eq_ignore_ascii_case(JSON)
}

/// What it was instead, for the log.
pub(crate) fn shown(status: StatusCode, headers: &HeaderMap) -> String {
    match kind(headers) {
        "" => format!("{status}, of no type"),
        kind => format!("{status}, {kind}"),
    }
}

/// The content type without parameters.
fn kind(headers: &HeaderMap) -> &str {
    let text = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let text = text.unwrap_or_default();
    text.split_once(';').map_or(text, |(kind, _)| kind).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(kind: &'static str) -> HeaderMap {
        let value = http::HeaderValue::from_static(kind);
        HeaderMap::from_iter([(CONTENT_TYPE, value)])
    }

    #[test]
    fn only_what_consumer_svc_says_is_its_answer() {
        for (status, kind, theirs, health) in [
            (200, "application/json", true, true),
            (200, "Application/JSON; charset=utf-8", true, true),
            (503, "application/json", false, true),
            (503, "application/problem+json", true, false),
            (404, "application/problem+json", true, false),
            (404, "application/json", false, false),
            (200, "text/event-stream", true, false),
            (304, "", true, false),
            (200, "application/jsonp", false, false),
            (200, "text/html", false, false),
            (503, "text/plain", false, false),
            (302, "application/json", false, false),
        ] {
            let (code, headers) = (StatusCode::from_u16(status).unwrap(), headers(kind));
            assert_eq!(is_theirs(code, &headers), theirs, "{status} {kind}");
            assert_eq!(is_their_health(code, &headers), health, "{status} {kind}");
        }
        assert!(!is_theirs(StatusCode::OK, &HeaderMap::new()));
    }
}
