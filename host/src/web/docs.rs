//! The description for people: one page, made from the document when the process starts.
//!
//! In: a [`Document`]. Out: HTML and its style sheet. No script runs on it and nothing of another
//! host is loaded, so that it reads the same on a machine without a network, and its policy can
//! forbid everything but the style sheet.

mod html;

use bytes::Bytes;
use http::header::{
    CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::fixed::Fixed;
use super::openapi::{self, Answer, Document, Operation};

/// Where the page stands.
pub const PATH: &str = "/docs";
/// Where its style sheet stands.
pub const STYLE_PATH: &str = "/docs/style.css";

const STYLE: &str = include_str!("docs/style.css");
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HEADERS: [(HeaderName, &str); 4] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (X_FRAME_OPTIONS, "DENY"),
];
/// They change with the service and not before; who has them asks whether they did.
const CACHE: &str = "no-cache";

/// Types of the pages.
const JSON: &str = "application/json";
/// The page.
const HTML: &str = "text/html; charset=utf-8";
/// Its style sheet.
const CSS: &str = "text/css; charset=utf-8";

/// The tag of the operations that describe the others.
pub const TAG: &str = "description";

/// The description in all its forms.
#[derive(Clone, Debug)]
pub struct Docs {
    /// For machines.
    pub openapi: Fixed,
    /// For people.
    pub page: Fixed,
    /// How it looks.
    pub style: Fixed,
}

/// A page of the description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocsPage {
    /// The document.
    OpenApi,
    /// The page for people.
    Page,
    /// Its style sheet.
    Style,
}

impl DocsPage {
    /// All of them with their paths.
    pub const ALL: [(&'static str, Self); 3] = [
        (openapi::PATH, Self::OpenApi),
        (PATH, Self::Page),
        (STYLE_PATH, Self::Style),
    ];

    /// The media type that is offered.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OpenApi => JSON,
            Self::Page => "text/html",
            Self::Style => "text/css",
        }
    }
}

impl Docs {
    /// Writes the pages of this document, which is to hold [`describe`]'s operations.
    pub fn new(document: &Document) -> Self {
        let fixed = |body: String, content_type| {
            let page = Fixed::new(body, content_type, CACHE);
            HEADERS
                .into_iter()
                .fold(page, |page, (name, value)| page.with(name, value))
        };
        Self {
            openapi: fixed(document.to_json().to_string(), JSON),
            page: fixed(html::page(document), HTML),
            style: fixed(STYLE.to_owned(), CSS),
        }
    }

    /// The answer to a `GET` for one of the pages at this path.
    pub fn answer<B: From<Bytes>>(
        &self,
        page: DocsPage,
        path: &str,
        headers: &HeaderMap,
    ) -> Response<B> {
        let fixed = match page {
            // Its links are relative, so that they hold below any prefix: it must stand at its place.
            DocsPage::Page if path.ends_with('/') => return moved("../docs"),
            DocsPage::OpenApi => &self.openapi,
            DocsPage::Page => &self.page,
            DocsPage::Style => &self.style,
        };
        fixed.answer(headers)
    }
}

fn moved<B: From<Bytes>>(to: &'static str) -> Response<B> {
    let mut response = Response::new(B::from(Bytes::new()));
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response
        .headers_mut()
        .insert(LOCATION, HeaderValue::from_static(to));
    response
}

/// The operation of one of these pages.
pub fn describe(page: DocsPage) -> Operation {
    let media_type = page.media_type();
    let (id, summary, answer) = match page {
        DocsPage::OpenApi => (
            "getOpenApi",
            "This description, for machines",
            Answer::json::<AnyObject>(StatusCode::OK, "The document.", openapi::sample()),
        ),
        DocsPage::Page => (
            "getDocs",
            "This description, for people",
            Answer::text(media_type, "The page.", "<!doctype html>…"),
        ),
        DocsPage::Style => (
            "getDocsStyle",
            "How that page looks",
            Answer::text(media_type, "The style sheet.", ":root { … }"),
        ),
    };
    let answer = answer.header("ETag").header("Cache-Control");
    Operation::get(id, TAG, summary, answer).revalidates()
}

/// An `OpenAPI` document. Its own schema is not repeated here.
#[derive(Debug, utoipa::ToSchema)]
#[schema(as = OpenApiDocument)]
#[expect(dead_code, reason = "it stands for a schema")]
struct AnyObject {
    /// The version of `OpenAPI`.
    openapi: String,
    /// What the API is called, and its version.
    #[schema(value_type = Object)]
    info: (),
    /// What it answers.
    #[schema(value_type = Object)]
    paths: (),
}
