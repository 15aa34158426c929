//! Parameters, refusals and headers: the small parts of a description.

use serde_json::{Map, Value, json};

use crate::problem::Problem;

/// Something a request carries beside its body.
#[derive(Clone, Debug)]
pub struct Parameter {
    pub(in crate::web) name: &'static str,
    pub(in crate::web) place: &'static str,
    pub(in crate::web) description: &'static str,
    pub(in crate::web) schema: Value,
    pub(in crate::web) example: Option<Value>,
}

impl Parameter {
    fn new(
        name: &'static str,
        place: &'static str,
        schema: Value,
        description: &'static str,
    ) -> Self {
        Self {
            name,
            place,
            description,
            schema,
            example: None,
        }
    }

    /// The varying segment of the path.
    pub fn path(name: &'static str, schema: Value, description: &'static str) -> Self {
        Self::new(name, "path", schema, description)
    }

    /// A parameter of the query; none is ever required.
    pub fn query(name: &'static str, schema: Value, description: &'static str) -> Self {
        Self::new(name, "query", schema, description)
    }

    /// A header; none is ever required.
    pub fn header(name: &'static str, schema: Value, description: &'static str) -> Self {
        Self::new(name, "header", schema, description)
    }

    /// A value it may have.
    #[must_use]
    pub fn example(self, value: impl Into<Value>) -> Self {
        Self {
            example: Some(value.into()),
            ..self
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let mut json = json!({
            "name": self.name,
            "in": self.place,
            "required": self.place == "path",
            "description": self.description,
            "schema": self.schema,
        });
        if let Some(example) = &self.example {
            json["example"] = example.clone();
        }
        json
    }
}

/// Every operation takes these.
pub(super) fn ids() -> [Parameter; 2] {
    [
        Parameter::header(
            "X-Request-Id",
            json!({ "type": "string" }),
            "An id for this request, 1 to 64 of `A-Z a-z 0-9 _ - . :`. It comes back in the answer and stands in the \
             logs. Another text is ignored, and an id is made.",
        )
        .example("order-42.1"),
        Parameter::header(
            "traceparent",
            json!({ "type": "string" }),
            "The W3C trace this request belongs to. Another text is ignored, and a trace is begun.",
        )
        .example("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ]
}

/// An answer that is a problem, as the handler makes it, and when it is made.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub(super) problem: Problem,
    pub(super) when: &'static str,
}

impl Refusal {
    /// This problem is answered then.
    pub fn new(problem: Problem, when: &'static str) -> Self {
        let problem = problem.request_id("9f86d081884c7d659a2feaa0c55ad015");
        Self { problem, when }
    }
}

/// All headers that answers carry.
pub(super) fn headers() -> Map<String, Value> {
    let header = |name: &str, schema: Value, description: &str| {
        let header = json!({ "description": description, "required": true, "schema": schema });
        (name.to_owned(), header)
    };
    let text = || json!({ "type": "string" });
    Map::from_iter([
        header(
            "X-Request-Id",
            json!({ "type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,64}$" }),
            "The request's id: the client's if it sent a good one.",
        ),
        header(
            "ETag",
            json!({ "type": "string", "pattern": "^(W/)?\"[^\"]*\"$" }),
            "What is sent; for If-None-Match.",
        ),
        header(
            "Cache-Control",
            text(),
            "How long an answer may be kept, and by whom.",
        ),
        header(
            "Retry-After",
            json!({ "type": "integer", "minimum": 1 }),
            "Seconds to wait before the same request is sent again.",
        ),
        header("Allow", text(), "The methods that this path answers to."),
        header(
            "Link",
            json!({ "type": "string", "pattern": "^<[^>]*>; rel=\"next\"$" }),
            "The next page, relative to the request; absent on the last one.",
        ),
        header(
            "Idempotency-Replayed",
            json!({ "type": "string", "const": "true" }),
            "There if this is the first answer to the same key once more; absent otherwise.",
        ),
    ])
}

/// Headers that are not in every answer of the status they are listed for.
pub(super) const SOMETIMES: [&str; 2] = ["Link", "Idempotency-Replayed"];
