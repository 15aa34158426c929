//! HTML of a document.
//!
//! In: the document. Out: text. Whatever comes from the document is escaped; of markdown, only
//! paragraphs, `code` and **bold** are known, because no more is used.

use std::fmt::Write;

use serde_json::Value;

use super::super::openapi::{Answer, Document, Operation, Parameter};

/// The page.
pub(super) fn page(document: &Document) -> String {
    let mut out = String::new();
    let title = escape(document.title);
    put(
        &mut out,
        format_args!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<link rel=\"stylesheet\" href=\"docs/style.css\">\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">Skip to the operations</a>\n\
         <header>\n<h1>{title} <small>{}</small></h1>\n{}\
         <p><a href=\"openapi.json\">openapi.json</a> is the same for machines (OpenAPI 3.1).</p>\n</header>\n",
            escape(document.version),
            text(&document.description)
        ),
    );
    contents(&mut out, document);
    out.push_str("<main id=\"main\">\n");
    for &(tag, about) in &document.tags {
        put(
            &mut out,
            format_args!("<section>\n<h2>{}</h2>\n{}", escape(tag), text(about)),
        );
        for (path, operations) in &document.paths {
            if let Some(shown) = operations.iter().find(|one| one.tag == tag) {
                operation(&mut out, path, shown, operations);
            }
        }
        out.push_str("</section>\n");
    }
    out.push_str("<section>\n<h2>Schemas</h2>\n");
    for (name, schema) in &document.schemas {
        component(&mut out, name, schema);
    }
    out.push_str("</section>\n</main>\n</body>\n</html>\n");
    out
}

fn contents(out: &mut String, document: &Document) {
    out.push_str("<nav aria-label=\"Operations\">\n<ul>\n");
    for &(tag, _) in &document.tags {
        for (path, operations) in &document.paths {
            let first = operations.first().filter(|one| one.tag == tag);
            if let Some(first) = first {
                put(
                    out,
                    format_args!(
                        "<li><a href=\"#{}\"><b class=\"{method}\">{method}</b> <code>{}</code></a></li>\n",
                        anchor(path),
                        breakable(path),
                        method = first.method,
                    ),
                );
            }
        }
    }
    out.push_str("</ul>\n</nav>\n");
}

fn operation(out: &mut String, path: &str, shown: &Operation, all: &[Operation]) {
    let others: Vec<_> = all
        .iter()
        .filter(|one| one.method != shown.method)
        .map(|one| one.method.to_uppercase())
        .collect();
    put(
        out,
        format_args!(
            "<article id=\"{}\">\n<h3><b class=\"{method}\">{method}</b> <code>{}</code></h3>\n<p class=\"lead\">{}</p>\n{}\
         <p class=\"also\">Also {}.</p>\n",
            anchor(path),
            breakable(path),
            inline(shown.summary),
            text(&shown.description),
            others.join(" and "),
            method = shown.method,
        ),
    );
    parameters(out, &shown.parameters);
    if let Some(body) = &shown.body {
        put(
            out,
            format_args!(
                "<h4>Body</h4>\n<p><code>{}</code>: {}</p>\n",
                escape(body.media_type),
                kind(&body.schema)
            ),
        );
        for (_, summary, value) in &body.examples {
            example(out, summary, value);
        }
    }
    out.push_str("<h4>Answers</h4>\n");
    for (status, answer) in &shown.answers {
        one_answer(out, *status, answer);
    }
    out.push_str("</article>\n");
}

fn parameters(out: &mut String, parameters: &[Parameter]) {
    out.push_str("<h4>Parameters</h4>\n<dl>\n");
    for one in parameters {
        put(
            out,
            format_args!(
                "<dt><code>{}</code> <small>{}, {}</small></dt>\n<dd>{}{}</dd>\n",
                escape(one.name),
                one.place,
                kind(&one.schema),
                inline(one.description),
                one.example
                    .as_ref()
                    .map(|example| format!(" Such as <code>{}</code>.", escape(&short(example))))
                    .unwrap_or_default(),
            ),
        );
    }
    out.push_str("</dl>\n");
}

fn one_answer(out: &mut String, status: u16, answer: &Answer) {
    let class = status / 100;
    put(
        out,
        format_args!(
            "<details class=\"s{class}\"><summary><b>{status}</b> {}</summary>\n",
            inline(&answer.description)
        ),
    );
    let headers: Vec<_> = answer
        .headers
        .iter()
        .map(|name| format!("<code>{name}</code>"))
        .collect();
    put(
        out,
        format_args!("<p>Headers: {}</p>\n", headers.join(", ")),
    );
    if let Some(content) = &answer.content {
        put(
            out,
            format_args!(
                "<p><code>{}</code>: {}</p>\n",
                escape(content.media_type),
                kind(&content.schema)
            ),
        );
        for (_, summary, value) in &content.examples {
            example(out, summary, value);
        }
    }
    out.push_str("</details>\n");
}

fn example(out: &mut String, summary: &str, value: &Value) {
    let shown = match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    };
    // It may scroll, so it must be reachable by keyboard.
    put(
        out,
        format_args!(
            "<figure><figcaption>{}</figcaption><pre tabindex=\"0\">{}</pre></figure>\n",
            inline(summary),
            escape(&shown)
        ),
    );
}

fn component(out: &mut String, name: &str, schema: &Value) {
    put(
        out,
        format_args!(
            "<article id=\"schema-{name}\">\n<h3><code>{name}</code></h3>\n{}",
            text(schema["description"].as_str().unwrap_or_default()),
            name = escape(name),
        ),
    );
    match schema["properties"].as_object() {
        Some(properties) => {
            out.push_str("<dl>\n");
            for (field, of) in properties {
                let required = schema["required"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|one| one == field));
                put(
                    out,
                    format_args!(
                        "<dt><code>{}</code> <small>{}{}</small></dt>\n<dd>{}</dd>\n",
                        escape(field),
                        kind(of),
                        if required { "" } else { ", may be absent" },
                        inline(of["description"].as_str().unwrap_or_default()),
                    ),
                );
            }
            out.push_str("</dl>\n");
        }
        None => put(out, format_args!("<p>{}</p>\n", kind(schema))),
    }
    out.push_str("</article>\n");
}

/// A schema in a few words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|to| to.rsplit('/').next()) {
        let name = escape(name);
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    for of in ["oneOf", "anyOf", "allOf"] {
        if let Some(all) = schema[of].as_array() {
            let all: Vec<_> = all.iter().map(kind).collect();
            return all.join(" or ");
        }
    }
    let mut words = match &schema["type"] {
        Value::String(one) if one == "array" => format!("list of {}", kind(&schema["items"])),
        Value::String(one) => escape(one),
        Value::Array(all) => {
            let all: Vec<_> = all.iter().filter_map(Value::as_str).map(escape).collect();
            all.join(" or ")
        }
        _ => "anything".to_owned(),
    };
    for (name, word) in [
        ("format", ""),
        ("minimum", "from "),
        ("maximum", "to "),
        ("minItems", "at least "),
        ("maxItems", "at most "),
    ] {
        if !schema[name].is_null() {
            put(
                &mut words,
                format_args!(", {word}{}", escape(&short(&schema[name]))),
            );
        }
    }
    if let Some(pattern) = schema["pattern"]
        .as_str()
        .filter(|pattern| pattern.len() <= 60)
    {
        put(
            &mut words,
            format_args!(", <code>{}</code>", escape(pattern)),
        );
    }
    words
}

fn short(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Paragraphs.
fn text(text: &str) -> String {
    let paragraphs = text.split("\n\n").filter(|one| !one.trim().is_empty());
    paragraphs
        .map(|one| format!("<p>{}</p>\n", inline(one)))
        .collect()
}

/// Code between backticks, bold between double asterisks.
fn inline(text: &str) -> String {
    let mut out = String::new();
    for (at, part) in text.split('`').enumerate() {
        let part = escape(part);
        if at % 2 == 1 {
            put(&mut out, format_args!("<code>{part}</code>"));
            continue;
        }
        for (at, part) in part.split("**").enumerate() {
            match at % 2 {
                1 => put(&mut out, format_args!("<strong>{part}</strong>")),
                _ => out.push_str(part),
            }
        }
    }
    out
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

/// A path that a narrow window may break before a slash.
fn breakable(path: &str) -> String {
    escape(path).replace('/', "<wbr>/")
}

fn anchor(path: &str) -> String {
    let plain = path.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    format!("at{plain}")
}

fn put(out: &mut String, what: std::fmt::Arguments<'_>) {
    out.write_fmt(what)
        .expect("a text takes whatever is written");
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::json;

    use super::*;
    use crate::problem::Invalid;
    use crate::serve::Limits;

    fn document() -> Document {
        let answer = Answer::json::<Invalid>(
            StatusCode::OK,
            "It is `so`.",
            json!({"pointer": "/a<b>", "detail": "x"}),
        );
        Document::new(
            "A & B",
            "1.0",
            "First.\n\nSecond **bold**.",
            &Limits::DEFAULT,
        )
        .tag("things", "All of them.")
        .path(
            "/things/{id}",
            Operation::get("getThing", "things", "One thing", answer),
        )
    }

    #[test]
    fn everything_of_the_document_is_on_the_page_and_escaped() {
        let page = page(&document());
        for there in [
            "<title>A &amp; B</title>",
            "<p>Second <strong>bold</strong>.</p>",
            "<b class=\"get\">get</b> <code><wbr>/things<wbr>/{id}</code>",
            "It is <code>so</code>.",
            "/a&lt;b&gt;",
            "id=\"schema-Problem\"",
            "id=\"schema-Invalid\"",
            "Also HEAD and OPTIONS.",
            "<b>406</b>",
            "<b>405</b>",
        ] {
            assert!(page.contains(there), "{there} in {page}");
        }
        assert!(
            !page.contains("<script") && !page.contains("://"),
            "it loads nothing"
        );
    }
}
