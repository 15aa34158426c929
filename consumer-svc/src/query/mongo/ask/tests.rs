//! What bounds the scan of the index.

use purchases::{PurchaseId, Timestamp};

use super::*;

fn at(millis: i64) -> Option<Timestamp> {
    Timestamp::from_millis(millis)
}

fn filter(since: Option<i64>, until: Option<i64>, after: Option<i64>) -> Document {
    let range = Range {
        since: since.and_then(at),
        until: until.and_then(at),
    };
    let after = after.map(|millis| Cursor {
        timestamp: at(millis).unwrap(),
        id: PurchaseId::from_bytes([1; 12]),
        range,
    });
    let request = PageRequest {
        limit: 2,
        after,
        range,
    };
    let find = page(&UserId::parse("u1").unwrap(), &request);
    assert_eq!(find.limit, 3);
    find.filter
}

fn when(millis: i64) -> bson::DateTime {
    bson::DateTime::from_millis(millis)
}

#[test]
fn a_range_is_half_open() {
    assert_eq!(filter(None, None, None), doc! { "user_id": "u1" });
    assert_eq!(
        filter(Some(5), Some(9), None),
        doc! { "user_id": "u1", "timestamp": { "$gte": when(5), "$lt": when(9) } }
    );
}

#[test]
fn a_cursor_bounds_the_scan_where_it_is_tighter_than_the_range() {
    let place = vec![
        doc! { "timestamp": { "$lt": when(7) } },
        doc! { "_id": { "$lt": ObjectId::from_bytes([1; 12]) } },
    ];
    assert_eq!(
        filter(Some(5), Some(9), Some(7)),
        doc! { "user_id": "u1", "$or": place, "timestamp": { "$lte": when(7), "$gte": when(5) } }
    );
    // Everything in the range is older than the place.
    assert_eq!(
        filter(None, Some(7), Some(7)),
        doc! { "user_id": "u1", "timestamp": { "$lt": when(7) } }
    );
}

#[test]
fn totals_are_of_the_same_range() {
    let range = Range {
        since: at(5),
        until: None,
    };
    let wanted = totals(&UserId::parse("u1").unwrap(), &range).swap_remove(0);
    assert_eq!(
        wanted,
        doc! { "$match": { "user_id": "u1", "timestamp": { "$gte": when(5) } } }
    );
}
