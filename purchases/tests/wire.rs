//! The wire form: pinned by a golden file, read leniently, refused by name.

use proptest::prelude::*;
use purchases::wire::{self, DecodeError, decode_value, encode_value};
use purchases::{Cents, Event, ItemName, Purchase, PurchaseId, Timestamp, UserId, Username};

const GOLDEN: &str = include_str!("golden/purchase-v1.json");

fn golden() -> Purchase {
    let event = Event {
        username: Username::parse("Zoë \"Z\" O'Neill \\ 张伟").expect("valid"),
        user_id: UserId::parse("user_123").expect("valid"),
        item_name: ItemName::parse("Laptop").expect("valid"),
        price: Cents::parse_decimal("999.99").expect("valid"),
        timestamp: Timestamp::parse("2026-01-31T18:00:00.123Z").expect("valid"),
    };
    Purchase::new(PurchaseId::from_bytes([1; 12]), event)
}

/// A valid value with one field's JSON replaced (or left out, for the empty text).
fn with(field: &str, json: &str) -> String {
    let fields = [
        ("username", "\"john_doe\""),
        ("user_id", "\"user_123\""),
        ("item_name", "\"Laptop\""),
        ("price", "999.99"),
        ("timestamp", "\"2026-01-31T18:00:00Z\""),
    ];
    let written = fields
        .into_iter()
        .map(|(name, usual)| (name, if name == field { json } else { usual }));
    let list: Vec<_> = written
        .filter(|(_, v)| !v.is_empty())
        .map(|(n, v)| format!("{n:?}: {v}"))
        .collect();
    format!("{{ {} }}", list.join(" ,\n"))
}

fn refused(value: &str) -> DecodeError {
    decode_value(value.as_bytes()).expect_err("this value must be refused")
}

#[test]
fn the_wire_form_is_the_golden_file() {
    assert_eq!(
        String::from_utf8(encode_value(&golden())).unwrap(),
        GOLDEN.trim_end()
    );
    assert_eq!(&decode_value(GOLDEN.as_bytes()).unwrap(), golden().event());
}

#[test]
fn a_foreign_writer_may_order_escape_and_add_as_it_likes() {
    let value = r#" {"timestamp":"2026-01-31T19:00:00.123456+01:00","extra":{"deep":[1,{"user_id":2}]},
        "price": 1e2, "item_name":"\u004captop", "note":null, "note":NOTE, "user_id":" user_123 ", "username":"\u5f20\uD83D\uDE00"} "#;
    let event = decode_value(value.replace("NOTE", "1e999").as_bytes()).unwrap();
    assert_eq!(event.username.as_str(), "张😀");
    assert_eq!(event.user_id.as_str(), "user_123");
    assert_eq!(event.item_name.as_str(), "Laptop");
    assert_eq!(event.price.to_string(), "100.00");
    assert_eq!(event.timestamp.to_string(), "2026-01-31T18:00:00.123Z");
}

#[test]
fn a_price_is_read_from_its_digits() {
    let price =
        |json: &str| decode_value(with("price", json).as_bytes()).map(|event| event.price.get());
    assert_eq!(price("25"), Ok(2_500));
    assert_eq!(price("9999999999999.99"), Ok(999_999_999_999_999));
    // As a double this is 0.3: only the digits show that it is finer than a cent.
    assert!(price("0.3000000000000000000001").is_err());
    assert!(price("0.30000000000000000000").is_ok());
}

#[test]
fn a_missing_field_is_named() {
    for field in ["username", "user_id", "item_name", "price", "timestamp"] {
        let error = refused(&with(field, ""));
        assert_eq!(error, DecodeError::Missing(field));
        assert_eq!(error.to_string(), format!("{field}: is missing"));
    }
    assert_eq!(refused("{}"), DecodeError::Missing("username"));
}

#[test]
fn a_repeated_field_is_refused_even_if_equal() {
    for field in ["username", "user_id", "item_name", "price", "timestamp"] {
        let value = with(
            field,
            &format!(
                "{0},\"{field}\":{0}",
                if field == "price" {
                    "1"
                } else {
                    "\"2026-01-31T18:00:00Z\""
                }
            ),
        );
        assert_eq!(refused(&value), DecodeError::Duplicate(field));
    }
    let escaped = with("price", "1, \"pr\\u0069ce\": 2");
    assert_eq!(refused(&escaped), DecodeError::Duplicate("price"));
}

#[test]
fn every_refused_field_gives_its_name_and_reason() {
    let long = format!("\"{}\"", "x".repeat(101));
    let cases = [
        (
            "username",
            "5",
            "invalid type: integer `5`, expected a string",
        ),
        ("username", "null", "invalid type: null, expected a string"),
        ("username", "\"  \"", "is empty"),
        (
            "username",
            "\"a\\u0000b\"",
            "contains the control character U+0000",
        ),
        (
            "username",
            "\"\\u202Eevil\"",
            "contains the text direction override U+202E",
        ),
        ("username", "\"\\ud800\"", "unexpected end of hex escape"),
        ("user_id", &long, "is longer than 100 characters"),
        (
            "user_id",
            "[\"a\"]",
            "invalid type: sequence, expected a string",
        ),
        (
            "item_name",
            "{\"a\":1}",
            "invalid type: map, expected a string",
        ),
        (
            "item_name",
            "true",
            "invalid type: boolean `true`, expected a string",
        ),
        ("price", "\"999.99\"", "is a string, expected a number"),
        ("price", "null", "is null, expected a number"),
        ("price", "[1]", "is an array, expected a number"),
        ("price", "{}", "is an object, expected a number"),
        ("price", "false", "is a boolean, expected a number"),
        ("price", "-1", "is negative"),
        ("price", "0.001", "has more than 2 decimals"),
        ("price", "1e30", "is larger than 9999999999999.99"),
        ("price", "NaN", "expected value at line 4 column 10"),
        ("price", "Infinity", "expected value"),
        ("price", "01", "invalid number"),
        (
            "timestamp",
            "1769882400",
            "invalid type: integer `1769882400`, expected a string",
        ),
        (
            "timestamp",
            "\"2026-01-31T18:00:00\"",
            "is not an RFC 3339 time with a zone",
        ),
    ];
    for (field, json, reason) in cases {
        let error = refused(&with(field, json));
        assert_eq!(error.field(), field, "{json}: {error}");
        assert_eq!(error.kind(), "invalid", "{json}: {error}");
        assert!(
            error.to_string().starts_with(&format!("{field}: ")),
            "{error}"
        );
        assert!(error.to_string().contains(reason), "{json}: {error}");
    }
}

#[test]
fn what_is_no_object_is_refused_as_a_whole() {
    for value in ["[]", "1", "\"text\"", "null", "true"] {
        assert_eq!(refused(value), DecodeError::NotAnObject, "{value}");
    }
    let twice = GOLDEN.repeat(2);
    let cut = &GOLDEN[..GOLDEN.len() / 2];
    for value in [
        "",
        " ",
        "{",
        "{,}",
        "NaN",
        "\u{FEFF}{}",
        "{\"a\"}",
        "{1:2}",
        "{\"a\":NaN}",
        &twice,
    ] {
        let error = refused(value);
        assert_eq!(
            (error.kind(), error.field()),
            ("not_json", "value"),
            "{value}: {error}"
        );
    }
    assert!(decode_value(cut.as_bytes()).is_err());
    assert!(decode_value(b"{\"username\":\"\xFF\xFE\"}").is_err());
    assert!(decode_value(&[0; 64]).is_err());
}

#[test]
fn deep_nesting_in_an_unknown_field_does_no_harm() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(decode_value(with("price", &format!("1, \"x\": {deep}")).as_bytes()).is_ok());
    assert_eq!(refused(&with("price", &deep)).field(), "price");
}

#[test]
fn only_the_known_schema_version_is_read() {
    assert_eq!(wire::check_version(None), Ok(()));
    assert_eq!(wire::check_version(Some(b"1")), Ok(()));
    let error = wire::check_version(Some(b"2")).expect_err("version 2 does not exist");
    assert_eq!(error.to_string(), "schema-version: \"2\" is not known here");
    assert!(
        wire::check_version(Some(&[0xFF; 1_000]))
            .expect_err("not a version")
            .to_string()
            .len()
            < 200
    );
}

fn text() -> impl Strategy<Value = String> {
    let usual = "[a-zA-Z0-9 _.\"\\\\/<>&'-]{1,100}";
    prop_oneof![usual.prop_map(String::from), any::<String>()]
        .prop_filter("a valid name", |text| UserId::parse(text).is_ok())
}

prop_compose! {
    fn purchase()(
        id in any::<[u8; 12]>(),
        username in text(),
        user_id in text(),
        item_name in text(),
        price in prop_oneof![0..100_i64, 0..=Cents::MAX_PRICE.get()],
        millis in -62_167_219_200_000..=253_370_764_799_999_i64,
    ) -> Purchase {
        let event = Event {
            username: Username::parse(&username).expect("valid"),
            user_id: UserId::parse(&user_id).expect("valid"),
            item_name: ItemName::parse(&item_name).expect("valid"),
            price: Cents::new(price).expect("valid"),
            timestamp: Timestamp::from_millis(millis).expect("valid"),
        };
        Purchase::new(PurchaseId::from_bytes(id), event)
    }
}

proptest! {
    #[test]
    fn every_purchase_survives_the_wire(purchase in purchase()) {
        let value = encode_value(&purchase);
        prop_assert_eq!(&decode_value(&value).unwrap(), purchase.event());
    }

    #[test]
    fn a_foreign_reader_sees_exactly_the_five_fields(purchase in purchase()) {
        let value: serde_json::Value = serde_json::from_slice(&encode_value(&purchase)).unwrap();
        let expected = serde_json::json!({
            "username": purchase.username().as_str(),
            "user_id": purchase.user_id().as_str(),
            "item_name": purchase.item_name().as_str(),
            "price": purchase.price().as_f64(),
            "timestamp": purchase.timestamp().to_string(),
        });
        prop_assert_eq!(value, expected);
    }

    #[test]
    fn what_a_foreign_writer_prints_is_the_same_purchase(purchase in purchase()) {
        let value = serde_json::json!({
            "timestamp": purchase.timestamp(),
            "price": purchase.price(),
            "item_name": purchase.item_name(),
            "user_id": purchase.user_id(),
            "username": purchase.username(),
        });
        prop_assert_eq!(&decode_value(value.to_string().as_bytes()).unwrap(), purchase.event());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in any::<Vec<u8>>()) {
        prop_assert!(decode_value(&bytes).is_err());
    }

    #[test]
    fn one_changed_byte_is_never_misread(at in 0..GOLDEN.len() - 1, byte in any::<u8>()) {
        let mut bytes = GOLDEN.trim_end().as_bytes().to_vec();
        bytes[at] = byte;
        // Whatever still reads must print as something that reads the same.
        if let Ok(event) = decode_value(&bytes) {
            let again = encode_value(&Purchase::new(PurchaseId::from_bytes([0; 12]), event.clone()));
            prop_assert_eq!(decode_value(&again).unwrap(), event);
        }
    }
}

#[test]
fn a_place_is_read_as_it_was_written_and_nothing_else_is() {
    let word = wire::place("purchases", 2, 1 << 40);
    assert_eq!(word, "purchases/2/1099511627776");
    assert_eq!(
        wire::read_place(word.as_bytes()),
        Some(("purchases", 2, 1 << 40))
    );
    for other in ["", "p/1", "p/1/2/3", "/1/2", "p/01/2", "p/1/+2", "p/1/x"] {
        assert_eq!(wire::read_place(other.as_bytes()), None, "{other}");
    }
}
