//! Several lines of the retry key's header are one list, and a list is no key.
//!
//! In: every request, before it is routed. Out: the same, with those lines joined, as the standard says
//! they mean. The filters behind read the first line only: two keys would pass for one.

use std::task::{Context, Poll};

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Request};
use tower_service::Service;

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A service that sees one line of the header.
#[derive(Clone)]
pub(super) struct JoinedLines<S>(pub(super) S);

impl<S: Service<Request<B>>, B> Service<Request<B>> for JoinedLines<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        join(request.headers_mut());
        self.0.call(request)
    }
}

fn join(headers: &mut HeaderMap) {
    if headers.get_all(&IDEMPOTENCY_KEY).iter().nth(1).is_none() {
        return;
    }
    let lines: Vec<&[u8]> = headers
        .get_all(&IDEMPOTENCY_KEY)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    // Whole lines of legal values are a legal value.
    if let Ok(list) = HeaderValue::from_bytes(&lines.join(&b", "[..])) {
        headers.insert(&IDEMPOTENCY_KEY, list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lines_become_a_list_and_one_stays_as_it_is() {
        let mut headers = HeaderMap::new();
        join(&mut headers);
        assert!(headers.is_empty());
        headers.append(&IDEMPOTENCY_KEY, HeaderValue::from_static("one"));
        join(&mut headers);
        assert_eq!(headers[&IDEMPOTENCY_KEY], "one");
        headers.append(&IDEMPOTENCY_KEY, HeaderValue::from_static("one"));
        join(&mut headers);
        assert_eq!(headers[&IDEMPOTENCY_KEY], "one, one");
        assert_eq!(headers.get_all(&IDEMPOTENCY_KEY).iter().count(), 1);
    }
}
