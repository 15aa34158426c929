//! What is a catalog, what is none, and everything that is wrong with it.

use std::path::Path;

use purchases::{IdSource, Timestamp};

use super::*;

fn flaws(json: &str) -> Vec<String> {
    let error = Catalog::parse(json.as_bytes()).unwrap_err();
    error.flaws().iter().map(Flaw::to_string).collect()
}

#[test]
fn the_built_in_catalog_has_fifteen_items_and_starts_with_the_laptop() {
    let catalog = Catalog::built_in();
    assert!(catalog.items().len() >= 15);
    assert_eq!(catalog.items()[0].name.as_str(), "Laptop");
    assert_eq!(catalog.items()[0].price, Cents::new(99_999).unwrap());
}

#[test]
fn all_errors_of_a_file_are_told_at_once_by_their_place() {
    let found = flaws(
        r#"[{"name": "A", "price": 1, "weight": 1}, {"name": "", "price": -1, "weight": 0}, {"price": "x", "weight": "1"}, 7,
            {"name": "B", "price": 1.001}, {"name": " A ", "price": 0, "weight": 1e999},
            {"name": 5, "price": 1, "price": 2, "weight": -1e-300}, {"name": "C\u202e", "price": 1e2, "weight": null}]"#,
    );
    let expected = [
        "/1/name is empty",
        "/1/price is negative",
        "/1/weight is not more than 0",
        "/2/name is missing",
        "/2/price is not a decimal number",
        "/2/weight is not a finite number",
        "/3 is not an object",
        "/4/price has more than 2 decimals",
        "/4/weight is missing, but other items have one",
        "/5/name is the name of /0 already",
        "/5/price is not more than 0",
        "/5/weight is not a finite number",
        "/6/name is not a string",
        "/6/price appears more than once",
        "/6/weight is not more than 0",
        "/7/name contains the text direction override U+202E",
        "/7/weight is not a finite number",
    ];
    assert_eq!(found, expected);
}

#[test]
fn prices_are_exact_to_the_cent() {
    let catalog =
        Catalog::parse(br#"[{"name": "A", "price": 0.07}, {"name": "B", "price": 1e2}]"#).unwrap();
    let cents: Vec<_> = catalog
        .items()
        .iter()
        .map(|item| item.price.get())
        .collect();
    assert_eq!(cents, [7, 10_000]);
}

#[test]
fn what_is_not_a_list_of_items_is_refused() {
    for json in ["", "{}", "[]", "[1", "null", "[] []", "[{\"name\": \"A\"]"] {
        let found = flaws(json);
        assert_eq!(found.len(), 1, "{json}: {found:?}");
    }
}

#[test]
fn ten_thousand_items_are_a_catalog_and_one_more_is_said_to_be_too_many() {
    let line = |number| format!(r#"{{"name": "Item {number}", "price": 1}}"#);
    let lines = |count| (0..count).map(line).collect::<Vec<_>>().join(",");
    let most = Catalog::parse(format!("[{}]", lines(MAX_ITEMS)).as_bytes()).unwrap();
    assert_eq!(most.items().len(), MAX_ITEMS);
    let found = flaws(&format!("[{},7,8]", lines(MAX_ITEMS)));
    assert_eq!(found, ["has 10002 items; at most 10000 are allowed"]);
}

#[test]
fn names_are_counted_in_characters_and_unknown_fields_are_skipped() {
    let json = |length: usize| {
        format!(
            r#"[{{"name": "{}", "price": 1, "sku": {{"price": 2}}}}]"#,
            "ß".repeat(length)
        )
    };
    assert_eq!(
        Catalog::parse(json(100).as_bytes()).unwrap().items().len(),
        1
    );
    assert_eq!(flaws(&json(101)), ["/0/name is longer than 100 characters"]);
}

#[test]
fn weights_that_would_never_be_chosen_are_refused() {
    let json = r#"[{"name": "A", "price": 1, "weight": 1e300}, {"name": "B", "price": 1, "weight": 1e-300}]"#;
    let found = flaws(json);
    assert!(found[0].starts_with("/1/weight "), "{found:?}");
    let json = r#"[{"name": "A", "price": 1, "weight": 1e308}, {"name": "B", "price": 1, "weight": 1e308}]"#;
    assert_eq!(flaws(json).len(), 1);
}

#[test]
fn weights_are_judged_whatever_else_is_wrong_and_told_in_their_place() {
    let found = flaws(
        r#"[{"name": "", "price": 1, "weight": 1e300}, {"name": "B", "price": 1, "weight": 1e-300}, 7,
            {"name": "D", "price": 1, "weight": 1e-300}, {"name": "E", "price": 0, "weight": 0}]"#,
    );
    let expected = [
        "/0/name is empty",
        "/1/weight is less than a billionth of all weights together",
        "/2 is not an object",
        "/3/weight is less than a billionth of all weights together",
        "/4/price is not more than 0",
        "/4/weight is not more than 0",
    ];
    assert_eq!(found, expected);
    let found = flaws(
        r#"[{"name": "A", "price": 1, "weight": 1e308}, {"name": "B", "price": 0, "weight": 1e308}]"#,
    );
    let expected = [
        "has weights whose sum is too large",
        "/1/price is not more than 0",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_weight_counts_and_is_not_shown() {
    let catalog = Catalog::parse(
        br#"[{"name": "Rare", "price": 1, "weight": 1}, {"name": "Common", "price": 1, "weight": 9}]"#,
    )
    .unwrap();
    let source = IdSource::new([1, 2, 3, 4, 5], 0);
    let now = Timestamp::from_millis(1_700_000_000_000).unwrap();
    let rare = (0..10_000)
        .filter(|_| catalog.choose(source.fresh(now)).name.as_str() == "Rare")
        .count();
    // 1,000 are expected, with a standard deviation of 30.
    assert!((850..1_150).contains(&rare), "{rare}");
    let shown: serde_json::Value = serde_json::from_slice(&catalog.listing().body()).unwrap();
    let item = |name| serde_json::json!({"name": name, "price": 1.0});
    assert_eq!(shown, serde_json::json!([item("Rare"), item("Common")]));
}

#[test]
fn many_errors_are_all_told_at_the_start_and_counted_in_the_log() {
    let json = format!("[{}]", vec!["7"; 30].join(","));
    let error = Catalog::parse(json.as_bytes()).unwrap_err();
    assert_eq!(error.in_lines().lines().count(), 31);
    assert!(
        error
            .to_string()
            .ends_with("/19 is not an object; and 10 more")
    );
}

#[test]
fn what_is_no_file_or_too_large_a_one_is_not_read() {
    let dir = std::env::temp_dir();
    let error = Catalog::load(&dir).unwrap_err().to_string();
    assert_eq!(error, "is not a file");
    let error = Catalog::load(&dir.join("nowhere/catalog.json")).unwrap_err();
    assert!(error.to_string().starts_with("cannot be read"), "{error}");
    assert_eq!(
        Catalog::load(Path::new("/dev/zero"))
            .unwrap_err()
            .to_string(),
        "is not a file"
    );
    let large = tempfile::NamedTempFile::new().unwrap();
    large.as_file().set_len((16 << 20) + 1).unwrap();
    let error = Catalog::load(large.path()).unwrap_err().to_string();
    assert!(error.starts_with("is larger than"), "{error}");
}
