//! Each rule, broken once and kept once; and this repository itself.

use std::path::Path;

use super::code::Code;
use super::rules;
use super::{File, Finding, check};

/// What the rules say about one file.
fn findings(path: &str, text: &str) -> Vec<String> {
    let (path, text) = (path.to_owned(), text.to_owned());
    let file = File { path, text };
    let mut findings = Vec::new();
    rules::about_text(&file, &mut findings);
    rules::about_rust(&file, &Code::read(&file.text), &mut findings);
    findings.iter().map(Finding::to_string).collect()
}

#[track_caller]
fn is_wrong(path: &str, text: &str, line: usize, because: &str) {
    let found = findings(path, text);
    let place = format!("{path}:{line}: ");
    let one = found
        .iter()
        .any(|one| one.starts_with(&place) && one.contains(because));
    assert!(one, "no `{because}` at {place}in {found:#?}");
}

#[track_caller]
fn is_right(path: &str, text: &str) {
    assert_eq!(findings(path, text), Vec::<String>::new());
}

#[test]
fn a_file_says_what_it_is() {
    is_wrong("host/src/env.rs", "use std::fmt;\n", 1, "open with");
    is_right("host/src/env.rs", "//! What it is.\nuse std::fmt;\n");
}

#[test]
fn a_file_is_not_endless() {
    let long = "// x\n".repeat(401);
    is_wrong("frontend/public/js/main.js", &long, 400, "401 lines");
    is_right("Cargo.lock", &long);
}

#[test]
fn only_the_kafka_files_of_a_service_name_the_client() {
    let text = "//! X\nuse rdkafka::{consumer::Consumer, error as e};\n";
    is_wrong("consumer-svc/src/read.rs", text, 2, "may name `rdkafka`");
    is_wrong("host/src/kafka.rs", text, 2, "may name `rdkafka`");
    is_right("consumer-svc/src/read/kafka.rs", text);
    is_right("consumer-svc/src/kafka/context.rs", text);
    is_right("dev/bench/src/main.rs", text);
    is_right("consumer-svc/tests/rebalance.rs", text);
}

#[test]
fn only_the_mongo_files_name_the_database() {
    let inline = "//! X\nfn f() { let d = bson::doc! { }; }\n";
    is_wrong("consumer-svc/src/app.rs", inline, 2, "may name `bson`");
    is_right("consumer-svc/src/document.rs", inline);
    is_right("consumer-svc/src/query/mongo.rs", inline);
    is_right(
        "consumer-svc/src/health.rs",
        "//! X\nstruct H { mongodb: bool }\nfn f(h: H) { h.mongodb; }\n",
    );
}

#[test]
fn a_stage_does_not_import_another() {
    let text = "//! X\nuse crate::write::document::id;\n";
    is_wrong(
        "consumer-svc/src/query/mongo.rs",
        text,
        2,
        "stage `query` imports stage `write`",
    );
    is_wrong(
        "consumer-svc/src/query.rs",
        "//! X\nuse super::commit;\n",
        2,
        "imports stage `commit`",
    );
    is_wrong(
        "consumer-svc/src/read.rs",
        "//! X\nuse crate::{flow, commit::Ledger};\n",
        2,
        "imports stage `commit`",
    );
    is_wrong(
        "producer-svc/src/intake.rs",
        "//! X\nfn f() { crate::publish::send(); }\n",
        2,
        "imports stage `publish`",
    );
    is_right("consumer-svc/src/app.rs", text);
    is_right(
        "consumer-svc/src/query/mongo.rs",
        "//! X\nuse super::read;\nuse crate::flow::read;\n",
    );
    is_right("consumer-svc/src/write/mongo.rs", text);
}

#[test]
fn what_is_pure_needs_no_runtime() {
    let text = "//! X\nuse tokio::time::Instant;\n";
    is_wrong(
        "actors/src/batch.rs",
        text,
        2,
        "pure file does not import `tokio`",
    );
    is_wrong("purchases/src/money.rs", text, 2, "pure file");
    is_wrong(
        "actors/src/other.rs",
        "//! Y\n//! Pure: a promise.\nuse ractor::Actor;\n",
        3,
        "pure file",
    );
    is_right("actors/src/other.rs", text);
}

#[test]
fn signals_environment_and_exceptions_have_one_place() {
    let signal = "//! X\nuse tokio::signal::unix::signal;\n";
    is_wrong("producer-svc/src/main.rs", signal, 2, "signals");
    is_right("host/src/signal.rs", signal);
    let env = "//! X\nuse host::env::{self, ProcessEnv};\n";
    is_wrong("producer-svc/src/publish.rs", env, 2, "environment");
    is_right("producer-svc/src/config.rs", env);
    let exception = "//! X\n#![expect(clippy::disallowed_macros, reason = \"x\")]\n";
    is_wrong("producer-svc/src/intake.rs", exception, 2, "exception");
    is_right("producer-svc/src/metrics.rs", exception);
}

#[test]
fn a_service_does_not_know_the_other() {
    is_wrong(
        "producer-svc/src/history.rs",
        "//! X\nuse consumer_svc::query::view;\n",
        2,
        "never in code",
    );
}

#[test]
fn comments_strings_and_tests_name_what_they_like() {
    let text = r##"//! Like rdkafka::x.
/* use rdkafka::a; /* use rdkafka::b; */ */
const A: &str = "use rdkafka::c; \" use rdkafka::d;";
const B: &str = r#"use rdkafka::e; " use rdkafka::f;"#;
const C: [char; 3] = ['"', '\'', '{'];
fn f<'a>(x: &'a str) -> &'a str { x }
#[cfg(test)]
mod tests {
    use rdkafka::g;
    fn f() { if true { } }
}
"##;
    is_right("host/src/env.rs", text);
    is_wrong(
        "host/src/env.rs",
        &format!("{text}use rdkafka::h;\n"),
        12,
        "rdkafka",
    );
}

#[test]
fn nothing_is_left_for_later_and_no_path_is_of_one_machine() {
    let later = format!("//! X\n// {}: y\n", concat!("FIX", "ME"));
    is_wrong("dev/bench/src/lib.rs", &later, 2, "closing note");
    is_right("dev/bench/src/lib.rs", &later.replace("ME:", "MES:"));
    let home = format!("cd {}me/x\n", concat!("/ho", "me/"));
    is_wrong("README.md", &home, 1, "one machine");
}

#[test]
fn a_file_that_a_rule_names_is_there() {
    let found = rules::about_the_tree(&[]);
    assert!(found.iter().any(|one| one.path == "actors/src/track.rs"));
    assert!(
        found
            .iter()
            .any(|one| one.path == "consumer-svc/src/commit.rs")
    );
}

#[test]
fn the_page_about_faults_names_tests_that_are_there() {
    let file = |path: &str, text: &str| File {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let page = "| a fault | `it_is_borne_by_all` |\n| another | `it_is_lost_on_us` |";
    let files = [
        file("docs/faults.md", page),
        file("a/tests/b.rs", "async fn it_is_borne_by_all() {"),
    ];
    let found = rules::about_the_tree(&files);
    let of_page = found.iter().filter(|one| one.path == "docs/faults.md");
    let of_page: Vec<String> = of_page.map(Finding::to_string).collect();
    let [only] = &of_page[..] else {
        panic!("{of_page:?}");
    };
    assert!(
        only.contains(":2") && only.contains("it_is_lost_on_us"),
        "{only}"
    );
}

#[test]
fn this_repository_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let found: Vec<String> = check(&root)
        .unwrap()
        .iter()
        .map(Finding::to_string)
        .collect();
    assert_eq!(
        found,
        Vec::<String>::new(),
        "see dev/xtask/src/tidy/rules.rs"
    );
}
