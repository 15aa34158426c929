//! One operation: what it takes, what it answers.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::parts::{self, Parameter, Refusal};
use super::{Schemas, reference, schema};
use crate::web::accept;

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// What one method of a path does.
#[derive(Clone, Debug)]
pub struct Operation {
    pub(in crate::web) method: &'static str,
    id: String,
    pub(in crate::web) tag: &'static str,
    pub(in crate::web) summary: &'static str,
    pub(in crate::web) description: String,
    pub(in crate::web) parameters: Vec<Parameter>,
    pub(in crate::web) body: Option<Content>,
    pub(in crate::web) answers: BTreeMap<u16, Answer>,
    pub(super) schemas: Schemas,
}

/// A body, of a request or of an answer.
#[derive(Clone, Debug)]
pub(in crate::web) struct Content {
    pub(in crate::web) media_type: &'static str,
    pub(in crate::web) schema: Value,
    pub(in crate::web) examples: Vec<(String, &'static str, Value)>,
    extension: Option<(&'static str, Value)>,
}

/// One status and what comes with it.
#[derive(Clone, Debug)]
pub struct Answer {
    status: StatusCode,
    pub(in crate::web) description: String,
    pub(in crate::web) headers: Vec<&'static str>,
    pub(in crate::web) content: Option<Content>,
    schemas: Schemas,
}

impl Answer {
    fn new(status: StatusCode, description: &str, content: Option<Content>) -> Self {
        Self {
            status,
            description: description.to_owned(),
            headers: vec!["X-Request-Id"],
            content,
            schemas: Schemas::new(),
        }
    }

    /// Nothing but headers.
    pub fn empty(status: StatusCode, description: &str) -> Self {
        Self::new(status, description, None)
    }

    /// JSON of this type, such as this value.
    pub fn json<T: ToSchema>(status: StatusCode, description: &str, example: Value) -> Self {
        let mut schemas = Schemas::new();
        let content = Content {
            media_type: JSON,
            schema: schema::<T>(&mut schemas),
            examples: vec![("example".to_owned(), "An answer", example)],
            extension: None,
        };
        Self {
            schemas,
            ..Self::new(status, description, Some(content))
        }
    }

    /// Text of another type, such as this one.
    pub fn text(media_type: &'static str, description: &str, example: &str) -> Self {
        let content = Content {
            media_type,
            schema: json!({ "type": "string" }),
            examples: vec![("example".to_owned(), "An answer", example.into())],
            extension: None,
        };
        Self::new(StatusCode::OK, description, Some(content))
    }

    /// Server-sent events whose data is JSON of this type, under this name.
    pub fn events<T: ToSchema>(event: &'static str, description: &str, example: &str) -> Self {
        let mut schemas = Schemas::new();
        let mut data = Map::new();
        data.insert(event.to_owned(), schema::<T>(&mut schemas));
        let mut answer = Self::text("text/event-stream", description, example);
        if let Some(content) = &mut answer.content {
            // This version of OpenAPI cannot say what the events hold.
            content.extension = Some(("x-event-data", Value::Object(data)));
        }
        Self { schemas, ..answer }
    }

    /// A header that comes with it; it must be one of the components.
    #[must_use]
    pub fn header(mut self, name: &'static str) -> Self {
        self.headers.push(name);
        self
    }

    fn to_json(&self) -> Value {
        let headers: Map<String, Value> = self
            .headers
            .iter()
            .map(|&name| {
                let header = if parts::SOMETIMES.contains(&name) {
                    let mut header = parts::headers().remove(name).unwrap_or_default();
                    header["required"] = false.into();
                    header
                } else {
                    reference("headers", name)
                };
                (name.to_owned(), header)
            })
            .collect();
        let mut json = json!({ "description": self.description, "headers": headers });
        if let Some(content) = &self.content {
            json["content"] = content.to_json();
        }
        json
    }
}

impl Content {
    fn to_json(&self) -> Value {
        let examples: Map<String, Value> = self
            .examples
            .iter()
            .map(|(name, summary, value)| {
                (name.clone(), json!({ "summary": summary, "value": value }))
            })
            .collect();
        let mut body = json!({ "schema": self.schema, "examples": examples });
        if let Some((name, value)) = &self.extension {
            body[*name] = value.clone();
        }
        json!({ self.media_type: body })
    }
}

impl Operation {
    fn new(method: &'static str, id: &str, tag: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            id: id.to_owned(),
            tag,
            summary,
            description: String::new(),
            parameters: parts::ids().to_vec(),
            body: None,
            answers: BTreeMap::new(),
            schemas: Schemas::new(),
        }
    }

    /// Reading. It refuses whoever does not accept its answer's type.
    pub fn get(id: &str, tag: &'static str, summary: &'static str, answer: Answer) -> Self {
        Self::new("get", id, tag, summary).begins(answer)
    }

    /// Whether the service works: the same shape with 200 and with 503, such as these.
    pub fn health<T: ToSchema>(tag: &'static str, well: Value, ill: Value) -> Self {
        let well = Answer::json::<T>(StatusCode::OK, "Everything works.", well);
        let ill = Answer::json::<T>(
            StatusCode::SERVICE_UNAVAILABLE,
            "Something that this service needs does not answer. No problem document: the same shape as the 200.",
            ill,
        );
        let well = well.header("Cache-Control");
        Self::get("getHealth", tag, "Whether it works", well)
            .answer(ill.header("Cache-Control").header("Retry-After"))
    }

    /// Doing. It refuses whoever does not accept its answer's type.
    pub fn post(id: &str, tag: &'static str, summary: &'static str, answer: Answer) -> Self {
        Self::new("post", id, tag, summary).begins(answer)
    }

    fn begins(self, answer: Answer) -> Self {
        let offered = answer.content.as_ref().map(|content| content.media_type);
        let refusal = Refusal::new(
            accept::not_acceptable(offered.unwrap_or_default()),
            "`Accept` excludes what is sent here.",
        );
        self.answer(answer).refuses([refusal])
    }

    /// What is to be known beyond the summary.
    #[must_use]
    pub fn describe(self, text: &str) -> Self {
        Self {
            description: text.to_owned(),
            ..self
        }
    }

    /// Something it takes.
    #[must_use]
    pub fn parameter(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// The body it takes: JSON of this type, such as these.
    #[must_use]
    pub fn body<T: ToSchema>(mut self, examples: &[(&str, &'static str, Value)]) -> Self {
        self.body = Some(Content {
            media_type: JSON,
            schema: schema::<T>(&mut self.schemas),
            examples: examples
                .iter()
                .map(|(name, summary, value)| ((*name).to_owned(), *summary, value.clone()))
                .collect(),
            extension: None,
        });
        self
    }

    /// Something it answers.
    #[must_use]
    pub fn answer(mut self, mut answer: Answer) -> Self {
        self.schemas.append(&mut answer.schemas);
        self.answers.insert(answer.status.as_u16(), answer);
        self
    }

    /// It takes `If-None-Match`, and answers 304 to whom has its page.
    #[must_use]
    pub fn revalidates(self) -> Self {
        let schema = json!({ "type": "string" });
        let parameter = Parameter::header(
            "If-None-Match",
            schema,
            "The `ETag` of an earlier answer, a list of them, or `*`.",
        );
        let known = Answer::empty(StatusCode::NOT_MODIFIED, "The client has it already.");
        self.parameter(parameter.example("\"5d41402abc4b2a76b9719d911017c592\""))
            .answer(known.header("ETag").header("Cache-Control"))
    }

    /// Problems it answers with.
    #[must_use]
    pub fn refuses(mut self, refusals: impl IntoIterator<Item = Refusal>) -> Self {
        for Refusal { problem, when } in refusals {
            let status = problem.status();
            let answer = self.answers.entry(status.as_u16()).or_insert_with(|| {
                let content = Content {
                    media_type: PROBLEM,
                    schema: reference("schemas", "Problem"),
                    examples: Vec::new(),
                    extension: None,
                };
                Answer::new(status, "", Some(content)).header("Cache-Control")
            });
            let space = if answer.description.is_empty() {
                ""
            } else {
                " "
            };
            answer.description = format!("{}{space}{when}", answer.description);
            for (there, name) in [
                (problem.has_retry_after(), "Retry-After"),
                (problem.has_allow(), "Allow"),
            ] {
                if there && !answer.headers.contains(&name) {
                    answer.headers.push(name);
                }
            }
            let name = problem.kind().trim_start_matches("/problems/").to_owned();
            let value = serde_json::to_value(&problem).expect("texts and numbers are JSON");
            if let Some(content) = &mut answer.content {
                content.examples.push((name, when, value));
            }
        }
        self
    }

    /// The same without bodies.
    pub(super) fn head(&self) -> Self {
        let mut head = self.clone();
        head.method = "head";
        head.id = format!("{}Head", self.id);
        head.summary = "The same without its body";
        head.description = String::new();
        for answer in head.answers.values_mut() {
            answer.content = None;
        }
        head
    }

    /// What may be asked here.
    pub(super) fn options(&self, allowed: &str) -> Self {
        let mut options = Self::new(
            "options",
            &format!("{}Options", self.id),
            self.tag,
            "Which methods this path answers to",
        );
        let path = self.parameters.iter().filter(|one| one.place == "path");
        options
            .parameters
            .extend(path.cloned().map(|one| Parameter {
                // It is not looked at.
                schema: json!({ "type": "string", "minLength": 1 }),
                ..one
            }));
        let answer = Answer::empty(StatusCode::NO_CONTENT, &format!("`{allowed}`"));
        options.answer(answer.header("Allow"))
    }

    pub(super) fn to_json(&self) -> Value {
        let answers: Map<String, Value> = self
            .answers
            .iter()
            .map(|(status, answer)| (status.to_string(), answer.to_json()))
            .collect();
        let parameters: Vec<Value> = self.parameters.iter().map(Parameter::to_json).collect();
        let mut json = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "parameters": parameters,
            "responses": answers,
        });
        if !self.description.is_empty() {
            json["description"] = self.description.clone().into();
        }
        if let Some(body) = &self.body {
            json["requestBody"] = json!({ "required": true, "content": body.to_json() });
        }
        json
    }
}
