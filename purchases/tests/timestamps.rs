//! Timestamps: any zone in, one form out.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use purchases::{TimeError, Timestamp};

#[test]
fn any_zone_and_precision_is_understood() {
    let same = [
        "2026-01-31T18:00:00.123Z",
        "2026-01-31t18:00:00.123z",
        "2026-01-31 18:00:00.123Z",
        "2026-01-31T18:00:00.123+00:00",
        "2026-01-31T19:30:00.123+01:30",
        "2026-01-31T10:00:00.123-08:00",
        "2026-01-31T18:00:00.123999999Z",
        "2026-02-01T08:00:00.1231+14:00",
    ];
    for text in same {
        assert_eq!(
            Timestamp::parse(text).unwrap().to_string(),
            "2026-01-31T18:00:00.123Z",
            "{text}"
        );
    }
    assert_eq!(
        Timestamp::parse("2026-01-31T18:00:00Z")
            .unwrap()
            .to_string(),
        "2026-01-31T18:00:00.000Z"
    );
}

#[test]
fn what_names_no_single_moment_is_refused() {
    let wrong = [
        "",
        "2026-01-31",
        "2026-01-31T18:00:00",
        "2026-01-31T18:00:00.123",
        "2026-02-30T18:00:00Z",
        "2026-01-31T25:00:00Z",
        "2026-01-31T18:00:00[UTC]",
        "2026-01-31T18:00:00+01:00[Europe/London]",
        "1769882400123",
        "yesterday at about teatime",
        "2026-01-31T18:00:00Z and more",
    ];
    for text in wrong {
        assert_eq!(Timestamp::parse(text), Err(TimeError::Malformed), "{text}");
    }
    assert_eq!(
        Timestamp::parse("0000-01-01T00:00:00+01:00"),
        Err(TimeError::OutOfRange)
    );
    assert_eq!(
        Timestamp::parse("9998-12-31T23:59:59-01:00"),
        Err(TimeError::OutOfRange)
    );
    // What is written for "no end", beyond what the library reads.
    assert_eq!(
        Timestamp::parse("9999-12-31T23:59:59Z"),
        Err(TimeError::OutOfRange)
    );
    assert_eq!(
        Timestamp::parse("9999-13-31T23:59:59Z"),
        Err(TimeError::Malformed)
    );
}

#[test]
fn the_range_ends_with_the_year_9998() {
    let first = Timestamp::parse("0000-01-01T00:00:00.000Z").unwrap();
    let last = Timestamp::parse("9998-12-31T23:59:59.999Z").unwrap();
    assert_eq!(Timestamp::from_millis(first.as_millis() - 1), None);
    assert_eq!(Timestamp::from_millis(last.as_millis() + 1), None);
    assert_eq!(first.to_string(), "0000-01-01T00:00:00.000Z");
    assert_eq!(last.to_string(), "9998-12-31T23:59:59.999Z");
}

#[test]
fn a_clock_reads_in_milliseconds_and_never_out_of_range() {
    let clock = UNIX_EPOCH + Duration::from_micros(1_769_882_400_123_999);
    assert_eq!(
        Timestamp::from(clock).to_string(),
        "2026-01-31T18:00:00.123Z"
    );
    let far = UNIX_EPOCH + Duration::from_secs(300_000_000_000);
    assert_eq!(Timestamp::from(far).to_string(), "9998-12-31T23:59:59.999Z");
    assert_eq!(
        Timestamp::from(UNIX_EPOCH - Duration::from_secs(1)).as_millis(),
        -1_000
    );
    assert!(Timestamp::from(SystemTime::now()).as_millis() > 1_700_000_000_000);
}

proptest! {
    #[test]
    fn every_moment_survives_its_text(millis in -62_167_219_200_000..=253_370_764_799_999_i64) {
        let moment = Timestamp::from_millis(millis).unwrap();
        prop_assert_eq!(moment.to_string().parse(), Ok(moment));
        prop_assert_eq!(String::from_utf8(moment.to_text().to_vec()).unwrap(), moment.to_string());
    }

    #[test]
    fn the_calendar_agrees_with_the_library(millis in -62_167_219_200_000..=253_370_764_799_999_i64) {
        let ours = Timestamp::from_millis(millis).unwrap().to_string();
        let theirs = jiff::Timestamp::from_millisecond(millis).unwrap();
        prop_assert_eq!(ours, format!("{theirs:.3}"));
    }

    #[test]
    fn the_order_of_texts_is_the_order_of_moments(a in 0..253_370_764_799_999_i64, b in 0..253_370_764_799_999_i64) {
        let (a, b) = (Timestamp::from_millis(a).unwrap(), Timestamp::from_millis(b).unwrap());
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[-+0-9TZ:. ]{0,70}|.*") {
        if let Ok(moment) = Timestamp::parse(&text) {
            prop_assert!(Timestamp::from_millis(moment.as_millis()).is_some());
        }
    }
}
