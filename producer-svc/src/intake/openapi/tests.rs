//! The description against itself and against the parser.

use std::collections::BTreeSet;

use host::web::openapi::examples;
use jsonschema::Validator;
use proptest::prelude::*;

use super::*;

fn validator(schema: &Value) -> Validator {
    jsonschema::draft202012::new(schema).unwrap_or_else(|error| panic!("{error} in {schema}"))
}

#[test]
fn the_limit_of_a_head_is_told_as_it_is() {
    let document = document().to_json();
    let about = document["info"]["description"].as_str().unwrap();
    assert!(about.contains("a head of more than 16 KiB"), "{about}");
}

#[test]
fn every_example_conforms_to_its_schema() {
    let examples = examples(&document().to_json());
    assert!(examples.len() > 80, "{}", examples.len());
    for example in examples {
        if let Err(error) = validator(&example.schema).validate(&example.value) {
            panic!("{}: {error} in {}", example.place, example.value);
        }
    }
}

#[test]
fn every_path_that_is_served_is_described_and_the_other_way_round() {
    let document = document().to_json();
    let paths = document["paths"].as_object().unwrap();
    let described: BTreeSet<_> = paths.keys().map(String::as_str).collect();
    let served: BTreeSet<_> = PATHS.iter().map(|(template, _)| template).collect();
    assert_eq!(described, served);
    for (path, item) in paths {
        let methods: Vec<_> = item
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let expected: &[_] = if path == "/buy" {
            &["options", "post"]
        } else {
            &["get", "head", "options"]
        };
        assert_eq!(methods, expected, "{path}");
    }
}

/// The schema of the body as clients see it.
fn body() -> Validator {
    let document = document().to_json();
    let schema =
        &document["paths"]["/buy"]["post"]["requestBody"]["content"]["application/json"]["schema"];
    validator(&json!({ "allOf": [schema], "components": document["components"] }))
}

fn agree(validator: &Validator, body: &Value) {
    let parsed = BuyRequest::parse(body.to_string().as_bytes());
    assert_eq!(
        validator.is_valid(body),
        parsed.is_ok(),
        "{body}: {parsed:?}"
    );
}

#[test]
fn the_schema_of_a_body_takes_what_is_taken() {
    let validator = body();
    let long = |letter: &str, times| letter.repeat(times);
    for name in [
        "a".to_owned(),
        " a ".to_owned(),
        "\t\u{85}a b\u{3000}\n".to_owned(),
        long("ß", 100),
        long("ß", 101),
        long("𝒳", 100),
        long("𝒳", 101),
        format!(" {} ", long("a", 100)),
        format!("a{}b", long(" ", 98)),
        format!("a{}b", long(" ", 99)),
        String::new(),
        " \u{a0}".to_owned(),
        "a\u{0}b".to_owned(),
        "a\u{7f}".to_owned(),
        "\u{85}".to_owned(),
        "a\u{85}b".to_owned(),
        "a\u{2028}b".to_owned(),
        "a\u{2028}".to_owned(),
        "a\u{202e}b".to_owned(),
        "\u{2066}a".to_owned(),
        "a\u{200e}".to_owned(),
        "a\u{feff}".to_owned(),
    ] {
        agree(&validator, &json!({ "username": name, "user_id": "u" }));
        agree(&validator, &json!({ "username": "u", "user_id": name }));
    }
    for body in [
        json!({}),
        json!([]),
        json!(null),
        json!({ "username": 1, "user_id": null }),
        json!({ "username": "a", "user_id": "u", "x": [1] }),
    ] {
        agree(&validator, &body);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_schema_of_a_name_and_its_parser_agree(name in "\\PC{0,3}[\\s\\PC\\p{Cc}\u{2028}\u{202a}\u{2069}]{0,4}\\PC{0,99}") {
        let schema = validator(&inline::<UserId>());
        prop_assert_eq!(schema.is_valid(&name.as_str().into()), UserId::parse(&name).is_ok());
    }

    #[test]
    fn the_pattern_of_keys_and_their_parser_agree(key in "\"?[A-Za-z0-9_\\-]{0,66}[\" a]?\"?") {
        let schema = validator(&json!({ "type": "string", "pattern": KEY_PATTERN }));
        // HTTP itself takes white space off at both ends.
        prop_assume!(key.trim() == key);
        prop_assert_eq!(schema.is_valid(&key.as_str().into()), purchases::IdempotencyKey::parse(&key).is_ok());
    }
}
