//! What the server answers by itself: heads that ask no route anything, and handlers that panicked.
//!
//! In: a request's head, which the parser let through. Out: whether the routes may see it; if not, its
//! answer, with an id, and counted. Routes may rely on it: a request that they see has a path, and names one
//! host at most. It runs for every request, so it is one walk over the headers.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};

use super::host::is_host;
use crate::metrics;
use crate::panics::Told;
use crate::problem::Problem;
use crate::trace::{Ids, REQUEST_ID};
use crate::web::cors::Cors;

/// A server as its connections know it.
#[derive(Debug)]
pub(super) struct Itself {
    pub(super) name: &'static str,
    pub(super) ids: Arc<Ids>,
    /// Whose pages may read its answers.
    pub(super) cors: Option<Cors>,
}

/// Why the routes are not asked, or have no answer.
#[derive(Debug)]
pub enum Own {
    /// `OPTIONS *`: the server in general is meant.
    General,
    /// The target is no path: what a proxy would be asked.
    NoPath,
    /// No `Host`, in a version that needs one.
    NoHost,
    /// More than one `Host`: a server before us may have taken another one of them.
    Hosts,
    /// `Host` is none.
    BadHost,
    /// The body is encoded in another way than in chunks, once: another server may read it differently.
    Encoding,
    /// The handler panicked.
    Panicked,
}

/// The client's id of its request, unchecked; of one that is too long, nothing.
#[derive(Clone, Copy)]
pub(super) struct Theirs {
    len: u8,
    text: [u8; Self::MOST],
}

impl Theirs {
    const MOST: usize = 64;

    /// A copy: the buffer behind a header is the connection's, which wants it back.
    fn of(value: Option<&HeaderValue>) -> Self {
        let mut theirs = Self {
            len: 0,
            text: [0; Self::MOST],
        };
        let bytes = value.map(HeaderValue::as_bytes).unwrap_or_default();
        if let Some(space) = theirs.text.get_mut(..bytes.len()) {
            space.copy_from_slice(bytes);
            theirs.len = bytes.len() as u8;
        }
        theirs
    }

    fn text(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.text[..usize::from(self.len)]).ok();
        text.filter(|text| !text.is_empty())
    }
}

/// Whether the server answers this head by itself, and how its client calls the request.
pub(super) fn look<B>(request: &Request<B>) -> (Option<Own>, Theirs) {
    let (mut hosts, mut host, mut id, mut encodings) = (0, None, None, None);
    for (name, value) in request.headers() {
        if name == HOST {
            hosts += 1;
            host = Some(value);
        } else if name == REQUEST_ID {
            id = Some(value);
        } else if name == TRANSFER_ENCODING {
            let chunked = value.as_bytes().eq_ignore_ascii_case(b"chunked");
            encodings = Some(encodings.is_none() && chunked);
        }
    }
    let wrong = match host {
        None if request.version() >= Version::HTTP_11 => Some(Own::NoHost),
        Some(_) if hosts > 1 => Some(Own::Hosts),
        Some(host) if !is_host(host.as_bytes()) => Some(Own::BadHost),
        None | Some(_) if encodings == Some(false) => Some(Own::Encoding),
        None | Some(_) => None,
    };
    let own = wrong.or_else(|| {
        let path = request.uri().path();
        if path.starts_with('/') {
            None
        } else if path == "*" && request.method() == Method::OPTIONS {
            Some(Own::General)
        } else {
            Some(Own::NoPath)
        }
    });
    (own, Theirs::of(id))
}

/// Whether the server answers this head by itself: what is left is for the routes.
pub fn own<B>(request: &Request<B>) -> Option<Own> {
    look(request).0
}

impl Own {
    fn problem(&self) -> Option<Problem> {
        Some(match self {
            Self::General => return None,
            Self::NoPath => Problem::malformed(
                "The request's target must be a path, or an address with one: this is no proxy.",
            ),
            Self::NoHost => Problem::malformed("The request has no Host header."),
            Self::Hosts => Problem::malformed("There is more than one Host header."),
            Self::BadHost => Problem::malformed("The Host header names no host."),
            Self::Encoding => Problem::malformed("The Transfer-Encoding is not `chunked` alone."),
            Self::Panicked => Problem::internal(),
        })
    }

    /// The answer.
    pub(super) fn answer<B: From<Bytes>>(self, itself: &Itself, theirs: &Theirs) -> Response<B> {
        let id = itself.ids.request(theirs.text());
        let mut response = match self.problem() {
            Some(problem) => {
                let mut response: Response<B> = problem.request_id(&id).into_response();
                // Who asks so may have meant another server with what follows, too.
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
                response
            }
            None => {
                let mut response = Response::new(B::from(Bytes::new()));
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
        };
        let server = itself.name;
        match self {
            Self::Panicked => metrics::handler_panicked(server),
            Self::General
            | Self::NoPath
            | Self::NoHost
            | Self::Hosts
            | Self::BadHost
            | Self::Encoding => {
                let status = response.status();
                metrics::answered_unasked(server, status);
                tracing::debug!(server, request_id = %id, %status, why = ?self, "answered without the routes");
            }
        }
        response.headers_mut().insert(REQUEST_ID, id.to_header());
        response
    }

    /// The same for a handler that panicked with these words, which only the log gets.
    pub(super) fn panicked<B: From<Bytes>>(
        told: Told,
        itself: &Itself,
        theirs: &Theirs,
    ) -> Response<B> {
        let response = Self::Panicked.answer(itself, theirs);
        let id = response.headers().get(REQUEST_ID);
        let request_id = id.and_then(|id| id.to_str().ok()).unwrap_or_default();
        let (server, Told { message, place }) = (itself.name, told);
        tracing::error!(target: "panic", server, request_id, panic = message, place, "a handler panicked");
        response
    }
}
