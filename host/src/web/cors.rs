//! Pages of other origins: cross-origin resource sharing, off unless an operator names origins.
//!
//! In: the `Origin` of a request and the answer to it, whatever it is, an error too: a browser that
//! may not read an error shows a network failure in its place. Out: the same answer with the headers
//! that let the page read it. Cookies are never allowed: nothing here reads one.

use std::fmt;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ALLOW,
    ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};

use crate::env::{Reader, Var};

/// What can be told.
pub const VARS: &[Var] = &[Var::optional(
    "CORS_ALLOWED_ORIGINS",
    "origins whose pages may read answers, separated by commas (https://shop.example), or * for all; without it none, \
     which is right where page and API share an origin",
)];

/// Headers a page may send.
const MAY_SEND: HeaderValue = HeaderValue::from_static(
    "content-type, idempotency-key, if-none-match, last-event-id, traceparent, tracestate, x-request-id",
);
/// Headers a page may read beside those that it always may.
const MAY_READ: HeaderValue =
    HeaderValue::from_static("allow, etag, idempotency-replayed, link, retry-after, x-request-id");
/// Seconds for which a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Whose pages may read answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    /// Everybody's.
    Any,
    /// Those of these origins.
    Origins(Vec<HeaderValue>),
}

impl Cors {
    /// Reads [`VARS`]; `None` if the reader noted errors.
    pub fn read(reader: &mut Reader<'_>) -> Option<Option<Self>> {
        reader.optional("CORS_ALLOWED_ORIGINS", Self::parse)
    }

    /// Reads a list of origins.
    ///
    /// # Errors
    /// Which of them is none.
    pub fn parse(text: &str) -> Result<Self, NoOrigin> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let origins = text.split(',').map(|one| origin(one.trim()));
        origins.collect::<Result<_, _>>().map(Self::Origins)
    }

    /// What a request is to be granted; read before it is answered.
    pub(crate) fn grant(&self, method: &Method, headers: &HeaderMap) -> Grant {
        let origin = headers.get(ORIGIN);
        let allow = match (self, origin) {
            (_, None) => None,
            (Self::Any, Some(_)) => Some(HeaderValue::from_static("*")),
            (Self::Origins(known), Some(origin)) => {
                known.iter().find(|known| *known == origin).cloned()
            }
        };
        Grant {
            preflight: allow.is_some()
                && method == Method::OPTIONS
                && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD),
            allow,
            varies: matches!(self, Self::Origins(_)),
        }
    }
}

/// What one answer will carry.
#[derive(Debug)]
pub(crate) struct Grant {
    allow: Option<HeaderValue>,
    preflight: bool,
    varies: bool,
}

impl Grant {
    /// Writes it into an answer.
    pub(crate) fn apply(self, headers: &mut HeaderMap) {
        if self.varies {
            // A cache must not give one origin's answer to another.
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        let Some(allow) = self.allow else {
            return;
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allow);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, MAY_READ);
        if self.preflight
            && let Some(methods) = headers.get(ALLOW).cloned()
        {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, MAY_SEND);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
    }
}

/// A text that is no origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoOrigin(String);

impl fmt::Display for NoOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = self;
        write!(
            f,
            "has {text:?}, which is no origin such as https://shop.example:8443 (scheme, host and port, no path)"
        )
    }
}

/// As browsers write it: lower case, no path, no port that the scheme implies.
fn origin(text: &str) -> Result<HeaderValue, NoOrigin> {
    let wrong = || NoOrigin(text.to_owned());
    let lower = text.to_ascii_lowercase();
    let (scheme, authority) = lower.split_once("://").ok_or_else(wrong)?;
    let parsed: http::uri::Authority = authority.parse().map_err(|_| wrong())?;
    let plain = !authority.contains(['@', '/', '?', '#', '*']) && !parsed.host().is_empty();
    if !plain || !matches!(scheme, "http" | "https") {
        return Err(wrong());
    }
    let implied = matches!(
        (scheme, parsed.port_u16()),
        ("http", Some(80)) | ("https", Some(443))
    );
    let authority = if implied { parsed.host() } else { authority };
    HeaderValue::try_from(format!("{scheme}://{authority}")).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        let list = Cors::parse("https://Shop.example, http://localhost:5173,https://a.b:443");
        let origins = [
            "https://shop.example",
            "http://localhost:5173",
            "https://a.b",
        ];
        assert_eq!(
            list,
            Ok(Cors::Origins(
                origins.map(HeaderValue::from_static).to_vec()
            ))
        );
        assert_eq!(Cors::parse(" * "), Ok(Cors::Any));
    }

    #[test]
    fn what_is_no_origin_is_named() {
        for text in [
            "shop.example",
            "https://",
            "https://a.b/",
            "null",
            "https://*.b",
            "ftp://a.b",
            "https://u@a.b",
            "https://a.b,,",
        ] {
            let error = Cors::parse(text).unwrap_err();
            assert!(error.to_string().contains("no origin"), "{text}");
        }
    }
}
