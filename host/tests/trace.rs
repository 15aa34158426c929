//! Ids from outside are taken only if they are good; ours are always good.

use std::collections::HashSet;

use host::trace::{Ids, RequestId, TraceParent};
use proptest::prelude::*;

const THEIRS: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_good_traceparent_is_read_and_written_the_same() {
    let parsed = TraceParent::parse(THEIRS).expect("the standard's example");
    assert_eq!(parsed.to_string(), THEIRS);
    assert_eq!(parsed.to_text(), THEIRS.as_bytes());
    assert!(parsed.sampled());
    let later = TraceParent::parse(
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-next",
    );
    assert_eq!(
        later,
        Some(parsed),
        "a later version is read as far as it is known"
    );
}

#[test]
fn a_bad_traceparent_begins_a_new_trace() {
    let wrong = [
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
    ];
    let ids = Ids::new().expect("entropy");
    for header in wrong {
        assert_eq!(TraceParent::parse(header), None, "{header}");
        let fresh = ids.trace(Some(header));
        assert!(!fresh.sampled());
        assert_eq!(TraceParent::parse(&fresh.to_string()), Some(fresh));
    }
}

#[test]
fn our_place_is_in_their_trace_under_a_span_of_our_own() {
    let ids = Ids::new().expect("entropy");
    let (theirs, ours) = (
        TraceParent::parse(THEIRS).expect("good"),
        ids.trace(Some(THEIRS)),
    );
    assert_eq!(ours.trace_id(), theirs.trace_id());
    assert!(ours.sampled());
    assert_ne!(ours, theirs);
}

#[test]
fn a_request_id_is_taken_only_if_it_is_short_and_plain() {
    let ids = Ids::new().expect("entropy");
    for good in [
        "a",
        "8e03978e-40d5-43e8-bc93-6894a57f9324",
        "Root:1.2_3",
        &"x".repeat(64),
    ] {
        assert_eq!(ids.request(Some(good)).to_string(), good);
    }
    for bad in [
        "",
        " ",
        "a b",
        "é",
        "<script>",
        "a\"b",
        "a\nb",
        &"x".repeat(65),
    ] {
        let made = ids.request(Some(bad)).to_string();
        assert_ne!(made, bad);
        assert!(RequestId::parse(&made).is_some(), "{made}");
    }
}

#[test]
fn made_ids_do_not_repeat_within_and_between_processes() {
    let (a, b) = (Ids::new().expect("entropy"), Ids::new().expect("entropy"));
    let made = (0..10_000).flat_map(|_| [a.request(None), b.request(None)]);
    assert_eq!(
        made.map(|id| id.to_string()).collect::<HashSet<_>>().len(),
        20_000
    );
}

proptest! {
    #[test]
    fn no_header_makes_the_parsers_panic(header in "[-0-9a-f]{0,70}|.*") {
        if let Some(parsed) = TraceParent::parse(&header) {
            let trace = format!("{:032x}", parsed.trace_id());
            prop_assert!(header.contains(&trace), "{} in {}", trace, header);
        }
        if let Some(id) = RequestId::parse(&header) {
            prop_assert_eq!(id.to_string(), header);
        }
    }
}
