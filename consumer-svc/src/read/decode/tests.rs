//! What a record is.

use std::sync::Arc;

use super::*;

const GOOD: &[u8] = br#"{"username":"john","user_id":"u1","item_name":"Laptop","price":999.99,"timestamp":"2026-01-31T18:00:00.123Z"}"#;

fn origin() -> Origin {
    Origin {
        topic: Arc::from("purchases"),
        partition: 2,
        offset: 42,
    }
}

fn raw<'r>(value: Option<&'r [u8]>, headers: Vec<(&'r str, Option<&'r [u8]>)>) -> Raw<'r> {
    Raw {
        key: Some(b"u1"),
        value,
        headers,
    }
}

fn purchase(decoded: Decoded) -> Purchase {
    match decoded {
        Decoded::Purchase(incoming) => incoming.purchase,
        other => panic!("not a purchase: {other:?}"),
    }
}

fn reason(decoded: Decoded) -> String {
    match decoded {
        Decoded::Bad(record) => record.reason,
        other => panic!("not bad: {other:?}"),
    }
}

#[test]
fn the_id_is_the_one_of_the_header() {
    let headers = vec![(wire::PURCHASE_ID, Some(&b"0123456789abcdef01234567"[..]))];
    let purchase = purchase(decode(&raw(Some(GOOD), headers), origin()));
    assert_eq!(purchase.id().to_string(), "0123456789abcdef01234567");
}

#[test]
fn a_foreign_event_gets_the_same_id_each_time_it_is_delivered() {
    let first = purchase(decode(&raw(Some(GOOD), vec![]), origin()));
    let again = purchase(decode(&raw(Some(GOOD), vec![]), origin()));
    let other = purchase(decode(
        &raw(Some(GOOD), vec![]),
        Origin {
            offset: 43,
            ..origin()
        },
    ));
    assert_eq!(first.id(), again.id());
    assert_ne!(first.id(), other.id());
}

#[test]
fn a_malformed_id_is_bad_and_not_replaced_by_another() {
    for header in [Some(&b"xyz"[..]), Some(&b""[..]), None] {
        let reason = reason(decode(
            &raw(Some(GOOD), vec![(wire::PURCHASE_ID, header)]),
            origin(),
        ));
        assert!(reason.contains("purchase-id"), "{reason}");
    }
}

#[test]
fn a_record_without_a_value_is_a_tombstone() {
    assert!(matches!(
        decode(&raw(None, vec![]), origin()),
        Decoded::Tombstone
    ));
}

#[test]
fn a_bad_record_is_kept_whole_and_says_why() {
    let headers = vec![("a", Some(&b"1"[..])), ("b", None)];
    let Decoded::Bad(record) = decode(&raw(Some(b"{\"username\":1}"), headers), origin()) else {
        panic!("accepted")
    };
    assert_eq!(
        record.original.value.as_deref(),
        Some(&b"{\"username\":1}"[..])
    );
    assert_eq!(record.original.key.as_deref(), Some(&b"u1"[..]));
    assert_eq!(
        record.original.headers,
        vec![
            ("a".to_owned(), Some(b"1".to_vec())),
            ("b".to_owned(), None)
        ]
    );
    assert!(record.reason.contains("username"), "{}", record.reason);
    assert_eq!(record.origin, origin());
}

#[test]
fn an_event_of_a_later_version_is_not_guessed_at() {
    let headers = vec![(wire::SCHEMA_VERSION, Some(&b"99"[..]))];
    assert!(reason(decode(&raw(Some(GOOD), headers), origin())).contains("schema-version"));
}

#[test]
fn a_foreign_event_that_comes_back_from_the_dead_letters_keeps_its_id() {
    let first = purchase(decode(&raw(Some(GOOD), vec![]), origin()));
    let place = wire::place("purchases", 2, 42);
    let headers = vec![(wire::REPLAY_OF, Some(place.as_bytes()))];
    let elsewhere = Origin {
        offset: 1_000,
        ..origin()
    };
    let back = purchase(decode(&raw(Some(GOOD), headers), elsewhere.clone()));
    assert_eq!(back.id(), first.id());
    let lie = vec![(wire::REPLAY_OF, Some(&b"purchases/2"[..]))];
    let told = reason(decode(&raw(Some(GOOD), lie), elsewhere));
    assert!(told.contains("replay-of"), "{told}");
}

#[test]
fn a_record_came_back_only_if_it_stood_further_ahead_in_its_own_partition() {
    let of = |place: &str| {
        let headers = vec![(wire::REPLAY_OF, Some(place.as_bytes()))];
        match decode(&raw(Some(b"{"), headers.clone()), origin()) {
            Decoded::Bad(bad) => {
                // Whether it can be read or not.
                match decode(&raw(Some(GOOD), headers), origin()) {
                    Decoded::Purchase(good) => assert_eq!(good.came_back, bad.came_back, "{place}"),
                    other => assert!(matches!(other, Decoded::Bad(_)), "{place}"),
                }
                bad.came_back
            }
            other => panic!("not bad: {other:?}"),
        }
    };
    assert!(of("purchases/2/41"));
    for other in [
        "purchases/2/42",
        "purchases/2/43",
        "purchases/1/7",
        "orders/2/7",
        "then",
        "",
    ] {
        assert!(!of(other), "{other}");
    }
}

#[test]
fn a_bad_record_weighs_what_is_kept_of_it() {
    let large = vec![b'x'; 60_000];
    let headers = vec![
        ("one", Some(&large[..])),
        ("none", None),
        ("two", Some(&large[..])),
    ];
    let Decoded::Bad(record) = decode(&raw(Some(b"?"), headers), origin()) else {
        panic!("it is no purchase");
    };
    assert!(
        (120_000..121_000).contains(&record.weight()),
        "{}",
        record.weight()
    );
    let Decoded::Bad(plain) = decode(&raw(Some(b"?"), vec![]), origin()) else {
        panic!("it is no purchase");
    };
    assert!(plain.weight() < 1_000, "{}", plain.weight());
}
