//! The description against itself.

use std::collections::BTreeSet;

use host::web::openapi::examples;

use super::*;
use crate::query::cursor::Cursor;
use crate::query::range::Range;

#[test]
fn the_limit_of_a_head_is_told_as_it_is() {
    let document = document("1.2.3").to_json();
    let about = document["info"]["description"].as_str().unwrap();
    assert!(about.contains("a head of more than 40 KiB"), "{about}");
}

#[test]
fn every_example_conforms_to_its_schema() {
    let document = document("1.2.3").to_json();
    let examples = examples(&document);
    assert!(examples.len() > 50, "{}", examples.len());
    for example in examples {
        let validator = jsonschema::draft202012::new(&example.schema)
            .unwrap_or_else(|error| panic!("{}: {error}", example.place));
        if let Err(error) = validator.validate(&example.value) {
            panic!("{}: {error} in {}", example.place, example.value);
        }
    }
}

#[test]
fn every_path_that_is_served_is_described_and_the_other_way_round() {
    let document = document("1.2.3").to_json();
    let described: BTreeSet<_> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let served: BTreeSet<_> = PATHS.iter().map(|(template, _)| template).collect();
    assert_eq!(described, served);
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods: Vec<_> = item
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(methods, ["get", "head", "options"], "{path}");
    }
}

#[test]
fn the_pattern_of_cursors_takes_them_all_and_nothing_else() {
    let schema = json!({ "type": "string", "pattern": CURSOR_PATTERN });
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let edges = [
        // About the years 227 and 9892.
        -55_000_000_000_000_i64,
        -1,
        0,
        1_769_882_400_123,
        250_000_000_000_000,
    ];
    let at = |millis| purchases::Timestamp::from_millis(millis);
    let bounds = || edges.into_iter().map(at).chain([None]);
    let ranges = bounds().flat_map(|since| bounds().map(move |until| Range { since, until }));
    for (millis, range) in edges
        .into_iter()
        .flat_map(|m| ranges.clone().map(move |r| (m, r)))
    {
        let cursor = Cursor {
            timestamp: at(millis).unwrap(),
            id: purchases::PurchaseId::from_bytes([0xFF; 12]),
            range,
        };
        let text = cursor.encode();
        assert!(validator.is_valid(&text.as_str().into()), "{cursor:?}");
        // One more place, or one less.
        for other in [format!("{text}A"), text[1..].to_owned()] {
            assert!(!validator.is_valid(&other.into()), "{cursor:?}");
        }
    }
    for text in [
        "",
        "AQAA",
        "BQAAAZwVxvx7awMuSoVm9OAvtiDy",
        "AgAAAZwVxvx7awMuSoVm9OAvtiDy",
    ] {
        assert!(!validator.is_valid(&text.into()), "{text}");
    }
}
