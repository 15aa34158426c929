//! A page that does not change while the process runs.
//!
//! In: its bytes, once. Out: the page, or a 304 to whom has it.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use sha2::{Digest, Sha256};

/// The page.
#[derive(Clone, Debug)]
pub struct Fixed {
    body: Bytes,
    content_type: HeaderValue,
    cache_control: HeaderValue,
    /// Strong: a hash of the very bytes.
    tag: HeaderValue,
    more: Vec<(HeaderName, HeaderValue)>,
}

impl Fixed {
    /// A page of this type, for which caches are told this.
    ///
    /// # Panics
    /// If a header's value holds anything but visible ASCII.
    pub fn new(body: impl Into<Bytes>, content_type: &'static str, cache: &'static str) -> Self {
        let body = body.into();
        Self {
            tag: tag(&body),
            body,
            content_type: HeaderValue::from_static(content_type),
            cache_control: HeaderValue::from_static(cache),
            more: Vec::new(),
        }
    }

    /// A further header.
    ///
    /// # Panics
    /// If its value holds anything but visible ASCII.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.more.push((name, HeaderValue::from_static(value)));
        self
    }

    /// The answer to a `GET` with these headers.
    pub fn answer<B: From<Bytes>>(&self, headers: &HeaderMap) -> Response<B> {
        let known = matches_tag(headers.get_all(IF_NONE_MATCH), &self.tag);
        let body = if known {
            Bytes::new()
        } else {
            self.body.clone()
        };
        let mut response = Response::new(B::from(body));
        let told = response.headers_mut();
        told.insert(ETAG, self.tag.clone());
        told.insert(CACHE_CONTROL, self.cache_control.clone());
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            told.insert(CONTENT_TYPE, self.content_type.clone());
            told.extend(self.more.iter().cloned());
        }
        response
    }
}

/// A strong tag for these bytes.
pub fn tag(body: &[u8]) -> HeaderValue {
    let digits: String = Sha256::digest(body)[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    HeaderValue::try_from(format!("\"{digits}\"")).expect("hexadecimal digits make a valid header")
}

/// Whether one of the tags in these lines of `If-None-Match` is this one. Several lines are one list. Weak
/// comparison, as the standard has it.
pub fn matches_tag<'a>(
    lines: impl IntoIterator<Item = &'a HeaderValue>,
    tag: &HeaderValue,
) -> bool {
    let Ok(tag) = tag.to_str() else {
        return false;
    };
    let texts = lines.into_iter().filter_map(|line| line.to_str().ok());
    texts
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_a_list_and_in_its_weak_form() {
        let tag = HeaderValue::from_static("\"abc\"");
        let matches = |list: &'static str| matches_tag(Some(&HeaderValue::from_static(list)), &tag);
        assert!(matches("\"abc\"") && matches("\"x\", W/\"abc\"") && matches("*"));
        assert!(!matches("\"abcd\"") && !matches("abc") && !matches_tag([], &tag));
        let lines = ["\"x\"", "W/\"abc\""].map(HeaderValue::from_static);
        assert!(matches_tag(&lines, &tag), "several lines are one list");
    }

    #[test]
    fn who_has_the_page_is_not_sent_it_again() {
        let page = Fixed::new("hello", "text/plain", "no-cache");
        let first: Response<Bytes> = page.answer(&HeaderMap::new());
        assert_eq!(
            (first.status(), &first.body()[..]),
            (StatusCode::OK, &b"hello"[..])
        );
        assert_eq!(first.headers()[CONTENT_TYPE], "text/plain");
        let known = HeaderMap::from_iter([(IF_NONE_MATCH, first.headers()[ETAG].clone())]);
        let again: Response<Bytes> = page.answer(&known);
        assert_eq!(
            (again.status(), again.body().len()),
            (StatusCode::NOT_MODIFIED, 0)
        );
        assert_eq!(again.headers()[ETAG], first.headers()[ETAG]);
    }
}
