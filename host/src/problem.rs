//! The body of every error answer: RFC 9457 `application/problem+json`.
//!
//! In: what went wrong, in words that the client can use. Out: status, headers and
//! body. It must never carry an inner error's text to the outside.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// One invalid field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Invalid {
    /// JSON pointer to the field: `/user_id`; of a parameter, its name behind a slash; empty for the
    /// whole body.
    #[schema(pattern = "^(/.*)?$")]
    pub pointer: String,
    /// What is wrong with it, as the end of a sentence that begins with the field.
    pub detail: String,
}

impl Invalid {
    /// The field at this JSON pointer is wrong in this way.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.into(),
        }
    }
}

/// An error answer: RFC 9457. Further members may be there; which, the operation says.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Problem {
    /// The kind of problem: the same text for every problem of its kind.
    #[serde(rename = "type")]
    #[schema(value_type = String, pattern = "^/problems/[a-z]+(-[a-z]+)*$")]
    kind: &'static str,
    /// The kind in words.
    #[schema(value_type = String)]
    title: &'static str,
    /// The answer's status.
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = u16, minimum = 400, maximum = 599)]
    status: StatusCode,
    /// What went wrong this time, in words for people.
    detail: String,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// The id under which the service's log has this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = true, value_type = String)]
    request_id: Option<String>,
    /// Every invalid field, where fields are invalid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<Invalid>,
    #[serde(flatten)]
    #[schema(ignore)]
    more: Map<String, Value>,
    #[serde(skip)]
    retry_after: Option<Duration>,
    #[serde(skip)]
    allow: Option<&'static str>,
    #[serde(skip)]
    accept_encoding: Option<&'static str>,
}

fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    /// A problem of this kind. `kind` is a relative reference such as
    /// `/problems/validation`, the same for every problem of its kind; so is
    /// `title`. `detail` is about this one.
    pub fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            title,
            status,
            detail: detail.into(),
            retryable: false,
            request_id: None,
            errors: Vec::new(),
            more: Map::new(),
            retry_after: None,
            allow: None,
            accept_encoding: None,
        }
    }

    /// 400: the request cannot be read.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "/problems/malformed",
            "The request cannot be read",
            detail,
        )
    }

    /// 404: there is nothing at this path.
    pub fn not_found() -> Self {
        let detail = "There is nothing at this path.";
        Self::new(
            StatusCode::NOT_FOUND,
            "/problems/not-found",
            "Not found",
            detail,
        )
    }

    /// 405: the path is there, but not for this method. `allow` as in the header.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("This path answers to {allow}.");
        let kind = "/problems/method-not-allowed";
        let problem = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            kind,
            "Method not allowed",
            detail,
        );
        Self {
            allow: Some(allow),
            ..problem
        }
    }

    /// 406: the client accepts nothing that is there.
    pub fn not_acceptable(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::NOT_ACCEPTABLE,
            "/problems/not-acceptable",
            "Not acceptable",
            detail,
        )
    }

    /// 409: the same request is being worked on.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "/problems/conflict",
            "Conflict",
            detail,
        )
    }

    /// 413: the body is over the limit.
    pub fn too_large(limit: usize) -> Self {
        let detail = format!("The body may have at most {limit} bytes.");
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "/problems/too-large",
            "The body is too large",
            detail,
        )
    }

    /// 415: the body is of another type than what is read here.
    pub fn unsupported_media_type(expected: &str) -> Self {
        let detail =
            format!("The body must be {expected}, and one Content-Type header must say so.");
        let kind = "/problems/unsupported-media-type";
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            kind,
            "Unsupported media type",
            detail,
        )
    }

    /// 415: the body is encoded, and only one that is not is read here.
    pub fn unsupported_encoding() -> Self {
        let detail = "The body must come as it is: no Content-Encoding (gzip, br, …) is read here.";
        let kind = "/problems/unsupported-encoding";
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            kind,
            "Unsupported content encoding",
            detail,
        )
        .in_encoding("identity")
    }

    /// Only bodies in this encoding are read.
    fn in_encoding(self, encoding: &'static str) -> Self {
        Self {
            accept_encoding: Some(encoding),
            ..self
        }
    }

    /// 422: these fields are invalid, all of them.
    pub fn validation(errors: Vec<Invalid>) -> Self {
        let detail = match &errors[..] {
            [one] if one.pointer.is_empty() => format!("The body {}.", one.detail),
            [one] => format!("{} {}.", one.pointer, one.detail),
            many => format!("{} fields are invalid.", many.len()),
        };
        let title = "The request is not valid";
        let problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "/problems/validation",
            title,
            detail,
        );
        Self { errors, ..problem }
    }

    /// 429: this client sends too much.
    pub fn too_many_requests(after: Duration) -> Self {
        let detail = "This client sends more requests than it may.";
        let kind = "/problems/too-many-requests";
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            kind,
            "Too many requests",
            detail,
        )
        .retry_after(after)
    }

    /// 500: a fault of ours; what it was is in the log, not here.
    pub fn internal() -> Self {
        let detail = "Something went wrong here. The log has it under this request's id.";
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "/problems/internal",
            "Internal error",
            detail,
        )
    }

    /// 503: the service has more work than it can take; this request was not begun.
    pub fn overloaded(after: Duration) -> Self {
        let detail = "The service has more work than it can take. This request was not begun.";
        let kind = "/problems/overloaded";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, "Overloaded", detail).retry_after(after)
    }

    /// 503: something that the service needs does not answer. `kind` names it.
    pub fn unavailable(kind: &'static str, detail: impl Into<String>, after: Duration) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            kind,
            "Temporarily unavailable",
            detail,
        )
        .retry_after(after)
    }

    /// The same, told in other words.
    #[must_use]
    pub fn because(self, detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            ..self
        }
    }

    /// The client may send the same request again, after this long at the earliest.
    #[must_use]
    pub fn retry_after(self, after: Duration) -> Self {
        Self {
            retryable: true,
            retry_after: Some(after),
            ..self
        }
    }

    /// The id under which the log has this request.
    #[must_use]
    pub fn request_id(self, id: impl fmt::Display) -> Self {
        Self {
            request_id: Some(id.to_string()),
            ..self
        }
    }

    /// A further member of the body. Standard members cannot be overwritten.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        const TAKEN: [&str; 7] = [
            "type",
            "title",
            "status",
            "detail",
            "retryable",
            "request_id",
            "errors",
        ];
        debug_assert!(!TAKEN.contains(&name), "{name} has a setter of its own");
        if !TAKEN.contains(&name) {
            self.more.insert(name.to_owned(), value.into());
        }
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its kind, such as `/problems/validation`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether its answer says when to come back.
    pub fn has_retry_after(&self) -> bool {
        self.retry_after.is_some()
    }

    /// Whether its answer says which methods are allowed.
    pub fn has_allow(&self) -> bool {
        self.allow.is_some()
    }

    /// What went wrong this time.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The answer, with any body that can be made from bytes.
    pub fn into_response<B: From<Bytes>>(self) -> Response<B> {
        let body = serde_json::to_vec(&self).expect("texts and numbers always serialize");
        let mut response = Response::new(B::from(Bytes::from(body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = self.retry_after {
            // Whole seconds, rounded up: "0" would mean "at once".
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if let Some(encoding) = self.accept_encoding {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(encoding));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

impl<B: From<Bytes>> From<Problem> for Response<B> {
    fn from(problem: Problem) -> Self {
        problem.into_response()
    }
}
