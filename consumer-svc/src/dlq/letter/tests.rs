//! Letters as they stand in the topic, and records as they go back.

use super::*;

type Headers = Vec<(String, Option<Vec<u8>>)>;

fn headers(all: &[(&str, &str)]) -> Headers {
    all.iter()
        .map(|(name, value)| ((*name).to_owned(), Some(value.as_bytes().to_vec())))
        .collect()
}

fn as_letter(own: &[(&str, &str)], offset: &str) -> Original {
    let mut all = headers(own);
    all.extend(headers(&[
        ("dlq-reason", "no"),
        ("dlq-topic", "purchases"),
        ("dlq-partition", "2"),
        ("dlq-offset", offset),
        ("dlq-record-time", "2026-01-31T18:00:00.000Z"),
        ("dlq-time", "2026-01-31T18:00:01.000Z"),
    ]));
    Original {
        value: Some(b"{".to_vec()),
        headers: all,
        ..Original::default()
    }
}

fn read(record: Original) -> Letter {
    match Entry::read(record) {
        Entry::Letter(letter) => letter,
        other => panic!("no letter: {other:?}"),
    }
}

#[test]
fn the_record_has_its_own_headers_again_also_those_of_the_same_names() {
    let own = [("trace", "1"), ("dlq-reason", "theirs"), ("trace", "2")];
    let letter = read(as_letter(&own, "42"));
    assert_eq!(letter.original.headers, headers(&own));
    let same = read(as_letter(&[("dlq-reason", "theirs")], "42"));
    assert_eq!(same.original.headers, headers(&[("dlq-reason", "theirs")]));
    assert_eq!(
        (letter.reason.as_str(), letter.truncated_from),
        ("no", None)
    );
    assert_eq!((letter.origin.partition, letter.origin.offset), (2, 42));
}

#[test]
fn the_records_last_header_is_its_own_whatever_its_name() {
    let whole = as_letter(&[("trace", "1"), ("dlq-truncated-from", "7")], "42");
    let letter = read(whole);
    assert_eq!(letter.truncated_from, None);
    let theirs = headers(&[("trace", "1"), ("dlq-truncated-from", "7")]);
    assert_eq!(letter.original.headers, theirs);
    // The log tells no time.
    let own = [("dlq-record-time", "2020-01-31T18:00:00.000Z")];
    let mut untimed = as_letter(&own, "42");
    let ours = untimed
        .headers
        .iter()
        .rposition(|(name, _)| name == "dlq-record-time");
    untimed.headers.remove(ours.unwrap());
    let letter = read(untimed);
    assert_eq!(letter.original.time, None);
    assert_eq!(letter.original.headers, headers(&own));
}

#[test]
fn the_rest_of_a_letter_is_taken_from_its_own_record_only() {
    let mut beginning = as_letter(&[("trace", "1")], "42");
    beginning.key = Some(b"u1".to_vec());
    beginning.value = Some(b"{\"user".to_vec());
    beginning
        .headers
        .push(("dlq-truncated-from".to_owned(), Some(b"12".to_vec())));
    let letter = read(beginning);
    let whole = Original {
        value: Some(b"{\"username\":".to_vec()),
        ..letter.original.clone()
    };
    assert!(letter.is_of(&whole));
    // There was no room for more of it.
    let mut least = letter.clone();
    least.original.headers.clear();
    least.original.key = Some(b"u".to_vec());
    least.original.value = Some(Vec::new());
    assert!(least.is_of(&whole));
    let mut without = least.clone();
    without.original.value = None;
    assert!(!without.is_of(&whole));
    least.original.headers = headers(&[("replay-of", "purchases/2/7")]);
    assert!(!least.is_of(&whole));
    let mut returned = whole.clone();
    returned.headers.extend(least.original.headers.clone());
    assert!(least.is_of(&returned));
    let untimed = Original {
        time: None,
        ..whole.clone()
    };
    assert!(letter.is_of(&untimed));
    let value = |value: &[u8]| Original {
        value: Some(value.to_vec()),
        ..whole.clone()
    };
    for other in [
        value(b"{\"username\": "),
        value(b"{\"usernam\":"),
        value(b"{\"userna_e\":x"),
        value(b"{ \"username\":"),
        Original {
            value: None,
            ..whole.clone()
        },
        Original {
            key: None,
            ..whole.clone()
        },
        Original {
            headers: Vec::new(),
            ..whole.clone()
        },
        Original {
            time: Timestamp::from_millis(7),
            ..whole.clone()
        },
    ] {
        assert!(!letter.is_of(&other), "{other:?}");
    }
}

#[test]
fn a_record_that_comes_back_twice_still_names_where_it_stood_first() {
    let now = Timestamp::from_millis(1).unwrap();
    let first = read(as_letter(&[], "42"));
    let back_once = back(first.original, &first.origin, now);
    let names: Vec<&str> = back_once.headers.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["replay-of", "replayed-at"]);
    // It is refused again, from another offset.
    let mut again = as_letter(&[], "99");
    again.headers = [back_once.headers, again.headers].concat();
    let again = read(again);
    assert_eq!(again.origin.offset, 99);
    assert!(again.is_of_a_return());
    let back_twice = back(again.original, &again.origin, now);
    assert_eq!(
        text(&back_twice.headers, "replay-of"),
        Some("purchases/2/42")
    );
    assert_eq!(back_twice.headers.len(), 2);
}

#[test]
fn a_mark_is_read_as_it_was_written_and_is_no_letter() {
    let fate = Fate::Dropped(Timestamp::from_millis(1_000).unwrap());
    let mark = Original {
        headers: mark_headers(17, &fate),
        ..Original::default()
    };
    assert_eq!(Entry::read(mark), Entry::Mark { of: 17, fate });
    assert_eq!(Entry::read(Original::default()), Entry::Other);
}

#[test]
fn what_will_be_refused_again_is_known_before_it_is_sent() {
    let letter = read(as_letter(&[], "42"));
    let told = unreadable(&letter.original, &letter.origin);
    assert!(told.is_some_and(|reason| !reason.is_empty()));
    let mut good = letter.original;
    good.value = Some(
        br#"{"username":"a","user_id":"u","item_name":"Pen","price":1,"timestamp":"2026-01-31T18:00:00Z"}"#
            .to_vec(),
    );
    assert_eq!(unreadable(&good, &letter.origin), None);
    // It is read as it goes back, with its headers.
    good.headers = headers(&[("schema-version", "99")]);
    assert!(unreadable(&good, &letter.origin).is_some());
}
