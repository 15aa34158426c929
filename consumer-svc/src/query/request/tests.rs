//! What is taken and what is refused, parameter by parameter.

use purchases::PurchaseId;

use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn page(query: &str) -> PageRequest {
    parse("u1", query).unwrap().1
}

fn refused(query: &str) -> Vec<String> {
    let wrong = parse("u1", query).unwrap_err();
    wrong.into_iter().map(|invalid| invalid.pointer).collect()
}

#[test]
fn a_bound_may_be_written_in_any_zone_and_precision() {
    let moment = at("2026-01-31T17:00:00.123Z");
    for text in [
        "2026-01-31T17:00:00.123Z",
        "2026-01-31T18:00:00.123%2B01:00",
        // A plus that was not encoded.
        "2026-01-31T18:00:00.123+01:00",
        "2026-01-31T16:00:00.1239999-01:00",
        "2026-01-31t17:00:00.123000z",
    ] {
        let range = page(&format!("since={text}")).range;
        assert_eq!(range.since, Some(moment), "{text}");
        assert_eq!(page(&format!("until={text}")).range.until, Some(moment));
    }
}

#[test]
fn what_is_no_moment_is_refused_by_its_name() {
    for text in [
        "",
        "yesterday",
        "2026-01-31",
        "2026-01-31T18:00:00",
        "2026-02-30T18:00:00Z",
        "1769882400",
        "1769882400123",
        "2026-01-31T18:00:00Z[UTC]",
        "9999-06-01T00:00:00Z",
        "2026-01-31T18:00:00 0100",
    ] {
        assert_eq!(refused(&format!("since={text}")), ["/since"], "{text}");
        assert_eq!(refused(&format!("until={text}")), ["/until"], "{text}");
    }
}

#[test]
fn a_range_that_ends_before_it_begins_is_refused_and_not_shown_as_empty() {
    let (early, late) = ("2026-01-31T18:00:00Z", "2026-01-31T18:00:00.001Z");
    let query = |since, until| format!("since={since}&until={until}");
    assert!(!page(&query(early, late)).range.is_empty());
    assert_eq!(refused(&query(late, early)), ["/until"]);
    assert_eq!(refused(&query(early, early)), ["/until"]);
}

#[test]
fn everything_is_told_at_once() {
    let wrong = "limit=0&cursor=zzz&since=x&until=y&limit=1";
    let expected = ["/limit", "/cursor", "/since", "/until"];
    assert_eq!(refused(wrong), expected);
    let wrong = parse(&"x".repeat(101), "limit=1001&until=").unwrap_err();
    let pointers: Vec<_> = wrong.iter().map(|invalid| &*invalid.pointer).collect();
    assert_eq!(pointers, ["/user_id", "/limit", "/until"]);
}

#[test]
fn a_cursor_carries_its_range_and_takes_no_other() {
    let (since, until) = ("2026-01-31T18:00:00Z", "2026-02-01T00:00:00Z");
    let range = Range {
        since: Some(at(since)),
        until: Some(at(until)),
    };
    let cursor = |range| Cursor {
        timestamp: at("2026-01-31T20:00:00Z"),
        id: PurchaseId::from_bytes([1; 12]),
        range,
    };
    let (ranged, whole) = (cursor(range).encode(), cursor(Range::WHOLE).encode());
    for same in [
        "",
        "&since=2026-01-31T19:00:00%2B01:00",
        "&until=2026-02-01T00:00:00Z",
    ] {
        let page = page(&format!("cursor={ranged}{same}"));
        assert_eq!((page.range, page.after), (range, Some(cursor(range))));
    }
    assert_eq!(page(&format!("cursor={whole}")).range, Range::WHOLE);
    let other = format!("cursor={ranged}&since={until}&until={since}");
    assert_eq!(refused(&other), ["/since", "/until", "/until"]);
    assert_eq!(
        refused(&format!("cursor={whole}&since={since}")),
        ["/since"]
    );
}

#[test]
fn parameters_that_are_not_known_change_nothing() {
    assert_eq!(page("x=1&x=2&Limit=7&").limit, PAGE_DEFAULT);
}
