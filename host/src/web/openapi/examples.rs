//! The examples of a description, each with its schema, so that a service's tests can hold the one
//! against the other.
//!
//! In: the finished document. Out: pairs. Pure.

use serde_json::{Map, Value, json};

/// One example.
#[derive(Clone, Debug)]
pub struct Example {
    /// Where it stands: `post /buy 201 example`.
    pub place: String,
    /// A whole schema, references included.
    pub schema: Value,
    /// The example.
    pub value: Value,
}

/// All examples of parameters, bodies, answers and schemas.
pub fn examples(document: &Value) -> Vec<Example> {
    let components = &document["components"];
    let mut found = Vec::new();
    let mut add = |place: String, schema: &Value, value: &Value| {
        // References begin at the root, which therefore has the components, too.
        let schema = json!({ "allOf": [schema], "components": components });
        let value = value.clone();
        found.push(Example {
            place,
            schema,
            value,
        });
    };
    for (path, item) in members(&document["paths"]) {
        for (method, operation) in members(item) {
            let at = format!("{method} {path}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                if let Some(example) = parameter.get("example") {
                    add(
                        format!("{at} {}", parameter["name"]),
                        &parameter["schema"],
                        example,
                    );
                }
            }
            for (_, body) in members(&operation["requestBody"]["content"]) {
                for (name, example) in members(&body["examples"]) {
                    add(
                        format!("{at} body {name}"),
                        &body["schema"],
                        &example["value"],
                    );
                }
            }
            for (status, answer) in members(&operation["responses"]) {
                for (_, body) in members(&answer["content"]) {
                    for (name, example) in members(&body["examples"]) {
                        add(
                            format!("{at} {status} {name}"),
                            &body["schema"],
                            &example["value"],
                        );
                    }
                }
            }
        }
    }
    for (name, schema) in members(&components["schemas"]) {
        for example in schema["examples"].as_array().into_iter().flatten() {
            add(format!("schema {name}"), schema, example);
        }
    }
    found
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}
