//! An API's description of itself: `OpenAPI` 3.1, made when the process starts.
//!
//! In: operations, with schemas derived from the very types that answers are written from, and with
//! problems as the handlers make them. Out: the document. What every operation of the house has in
//! common is said here, once: ids, problems, `HEAD` and `OPTIONS`.

mod examples;
mod operation;
mod parts;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

pub use examples::{Example, examples};
pub use operation::{Answer, Operation};
pub use parts::{Parameter, Refusal};

use super::{READ, WRITE};
use crate::problem::Problem;
use crate::serve::Limits;

/// Where the document stands.
pub const PATH: &str = "/openapi.json";

/// The document while it is being put together.
#[derive(Debug)]
pub struct Document {
    pub(super) title: &'static str,
    pub(super) version: &'static str,
    pub(super) description: String,
    servers: Vec<Value>,
    pub(super) tags: Vec<(&'static str, &'static str)>,
    pub(super) paths: Vec<(&'static str, Vec<Operation>)>,
    pub(super) schemas: Schemas,
}

/// Schemas by name.
pub(super) type Schemas = BTreeMap<String, Value>;

impl Document {
    /// A document without paths, of an API that is served within these limits.
    pub fn new(
        title: &'static str,
        version: &'static str,
        description: &str,
        limits: &Limits,
    ) -> Self {
        let mut schemas = Schemas::new();
        schema::<Problem>(&mut schemas);
        let common = common(limits);
        Self {
            title,
            version,
            description: format!("{description}\n\n{common}"),
            servers: Vec::new(),
            tags: Vec::new(),
            paths: Vec::new(),
            schemas,
        }
    }

    /// Where the API is reached, relative to this document.
    #[must_use]
    pub fn server(mut self, url: &str, description: &str) -> Self {
        let server = json!({ "url": url, "description": description });
        self.servers.push(server);
        self
    }

    /// A group of operations. They are shown in the order of the groups.
    #[must_use]
    pub fn tag(mut self, name: &'static str, description: &'static str) -> Self {
        self.tags.push((name, description));
        self
    }

    /// What a path answers, beside `HEAD` and `OPTIONS`.
    #[must_use]
    pub fn path(mut self, template: &'static str, operation: Operation) -> Self {
        let allowed = if operation.method == "post" {
            WRITE
        } else {
            READ
        };
        let mut operation = operation.refuses([Refusal::new(
            Problem::method_not_allowed(allowed),
            "Another method than this path answers to.",
        )]);
        self.schemas.append(&mut operation.schemas);
        let mut operations = vec![operation];
        if operations[0].method == "get" {
            operations.push(operations[0].head());
        }
        operations.push(operations[0].options(allowed));
        self.paths.push((template, operations));
        self
    }

    /// The whole document.
    pub fn to_json(&self) -> Value {
        let paths: Map<String, Value> = self
            .paths
            .iter()
            .map(|(template, operations)| {
                let item: Map<String, Value> = operations
                    .iter()
                    .map(|operation| (operation.method.to_owned(), operation.to_json()))
                    .collect();
                ((*template).to_owned(), Value::Object(item))
            })
            .collect();
        let tags: Vec<Value> = self
            .tags
            .iter()
            .map(|(name, description)| json!({ "name": name, "description": description }))
            .collect();
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": self.title,
                "version": self.version,
                "description": self.description,
                "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            },
            "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
            "servers": self.servers,
            "tags": tags,
            "paths": paths,
            "components": { "schemas": self.schemas, "headers": parts::headers() },
        })
    }
}

/// The least that a document is, to be shown in one.
pub(super) fn sample() -> Value {
    json!({ "openapi": "3.1.0", "info": { "title": "An API", "version": "1.0.0" }, "paths": {} })
}

/// A reference to this type's schema, which goes with all that it refers to.
pub(super) fn schema<T: ToSchema>(schemas: &mut Schemas) -> Value {
    let mut found: Vec<(String, RefOr<Schema>)> = vec![(T::name().into(), T::schema())];
    T::schemas(&mut found);
    for (name, schema) in found {
        let schema = serde_json::to_value(schema).expect("a schema is JSON");
        schemas.insert(name, schema);
    }
    reference("schemas", &T::name())
}

/// A schema in its own place, for a parameter.
pub fn inline<T: PartialSchema>() -> Value {
    serde_json::to_value(T::schema()).expect("a schema is JSON")
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// What holds for every operation.
fn common(limits: &Limits) -> String {
    let head = limits.buffer / 1024;
    format!(
        "\
**Errors** are problem documents (RFC 9457, `application/problem+json`): `type` names the kind, `detail` \
tells what went wrong this time, `request_id` finds the request in the service's log, and `retryable` says \
whether the same request may succeed later. Invalid fields are all named at once in `errors`, each with a \
JSON pointer. `429` and `503` carry `Retry-After` in seconds. What is no HTTP request at all is answered \
by a bare `400` (a `Host` that is missing or wrong, a target without a path, and a `Transfer-Encoding` that is more \
than `chunked`, by a problem), a head of more than {head} KiB or 100 headers by a bare `431`, and the connection \
is closed.

**Money** is a decimal number with at most two decimals, exact to the cent. **Ids** of purchases are 24 lower-case \
hexadecimal digits. **Times** are RFC 3339 in UTC with three decimals.

**Methods**: every path answers to `OPTIONS`, those that are read also to `HEAD`. **Unknown** fields and parameters \
are ignored: more of them may come, and clients should ignore those they do not know, too."
    )
}
