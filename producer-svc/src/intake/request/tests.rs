//! Which bodies are requests.

use proptest::prelude::*;

use super::*;

fn flaws(body: &str) -> Vec<(&'static str, String)> {
    match BuyRequest::parse(body.as_bytes()) {
        Err(Invalid::Fields(flaws)) => flaws
            .into_iter()
            .map(|flaw| (flaw.pointer, flaw.detail))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_are_trimmed_and_unknown_fields_skipped() {
    let body = r#"{"x": {"y": [1, {"username": 7}]}, "username": " J\u00f6rg ", "user_id": "u1", "z": null}"#;
    let request = BuyRequest::parse(body.as_bytes()).unwrap();
    assert_eq!(
        (request.username.as_str(), request.user_id.as_str()),
        ("Jörg", "u1")
    );
}

#[test]
fn every_flaw_is_told_with_its_pointer() {
    assert_eq!(
        flaws(r#"{"username": "  ", "user_id": 5}"#),
        [
            ("/username", "is empty".to_owned()),
            ("/user_id", "must be a string, not a number".to_owned())
        ]
    );
    assert_eq!(
        flaws("{}"),
        [
            ("/username", "is missing".to_owned()),
            ("/user_id", "is missing".to_owned())
        ]
    );
}

#[test]
fn a_field_that_appears_twice_is_refused_whatever_it_holds() {
    for again in [r#""u2""#, "1", "{}", "null"] {
        let body = format!(r#"{{"username": "a", "user_id": "u1", "user_id": {again}}}"#);
        assert_eq!(
            flaws(&body),
            [("/user_id", "appears more than once".to_owned())]
        );
    }
}

#[test]
fn what_is_not_utf8_is_not_json_wherever_it_stands() {
    for body in [
        &b"{\"username\": \"a\", \"user_id\": \"b\", \"x\": \"\xff\xfe\"}"[..],
        b"{\"username\": \"a\xff\", \"user_id\": \"b\"}",
        b"{\"username\": \"a\", \"user_id\": \"b\"} \xc3",
    ] {
        let parsed = BuyRequest::parse(body);
        assert!(matches!(parsed, Err(Invalid::Malformed(_))), "{parsed:?}");
    }
}

#[test]
fn what_is_not_an_object_is_named() {
    for (body, kind) in [
        ("[]", "an array"),
        ("null", "null"),
        ("1.5", "a number"),
        ("\"a\"", "a string"),
    ] {
        assert_eq!(
            flaws(body),
            [("", format!("must be an object, not {kind}"))]
        );
    }
}

#[test]
fn an_object_in_the_place_of_a_name_is_not_looked_into() {
    let body = r#"{"username": {"username": "a", "user_id": "b"}, "user_id": "u1"}"#;
    assert_eq!(
        flaws(body),
        [("/username", "must be a string, not an object".to_owned())]
    );
}

#[test]
fn what_is_in_unknown_fields_is_not_read_whatever_its_size() {
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    for other in [
        "1e999",
        "-1E+999",
        "[{\"a\": 1e999}]",
        "123456789012345678901234567890",
        "1e-999",
        &deep,
    ] {
        let body = format!(r#"{{"more": {other}, "username": "a", "user_id": "b"}}"#);
        let read = BuyRequest::parse(body.as_bytes());
        assert!(read.is_ok(), "{other:.20}: {read:?}");
    }
}

#[test]
fn what_is_not_json_is_malformed() {
    let deep = "[".repeat(10_000);
    for body in [
        "",
        " ",
        "{",
        "{\"username\": \"a\",}",
        "{} {}",
        "{\"user_id\": \"\\ud800\"}",
        &deep,
    ] {
        assert!(
            matches!(
                BuyRequest::parse(body.as_bytes()),
                Err(Invalid::Malformed(_))
            ),
            "{body:.20}"
        );
    }
    assert!(matches!(
        BuyRequest::parse(b"{\"username\": \"\xff\"}"),
        Err(Invalid::Malformed(_))
    ));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body: Vec<u8>) {
        drop(BuyRequest::parse(&body));
    }

    #[test]
    fn every_pair_of_valid_names_is_read_back(username in "[\\PC&&[^ ]]{1,100}", user_id in "[a-z0-9_\"\\\\]{1,100}") {
        let valid = (Username::parse(&username), UserId::parse(&user_id));
        let body = serde_json::json!({"user_id": user_id, "username": username}).to_string();
        match (BuyRequest::parse(body.as_bytes()), valid) {
            (Ok(read), (Ok(username), Ok(user_id))) => prop_assert_eq!(read, BuyRequest { username, user_id }),
            (Err(Invalid::Fields(_)), (Err(_), _) | (_, Err(_))) => {}
            (read, valid) => prop_assert!(false, "{:?} for {:?}", read, valid),
        }
    }
}
