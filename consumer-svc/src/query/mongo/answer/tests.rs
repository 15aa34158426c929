//! From documents to totals and purchases.

use bson::oid::ObjectId;
use bson::{DateTime, doc};

use super::*;

fn group(item: &str, count: i32, cents: impl Into<Bson>, first: i64, last: i64) -> Document {
    doc! { "_id": item, "count": count, "cents": cents.into(), "first": DateTime::from_millis(first), "last": DateTime::from_millis(last) }
}

fn totals(groups: &[Document]) -> Result<Totals, Unsummed> {
    let mut sum = Adding::default();
    groups.iter().for_each(|group| sum.add(group));
    sum.done()
}

#[test]
fn nothing_adds_up_to_nothing() {
    let none = totals(&[]).unwrap();
    assert_eq!(none, Totals::default());
    assert_eq!((none.count, none.first, none.last), (0, None, None));
}

#[test]
fn totals_are_exact_whatever_number_type_the_server_sums_in() {
    let groups = [
        group("Laptop", 2, 199_998.0, 5, 9),
        group("Book", 1, 10i64, 1, 1),
        group("Pen", 3, 30, 2, 20),
    ];
    let totals = totals(&groups).unwrap();
    assert_eq!(totals.count, 6);
    assert_eq!(totals.spent.to_string(), "2000.38");
    let items: Vec<_> = totals.items.iter().map(|item| &*item.item_name).collect();
    assert_eq!(items, ["Laptop", "Pen", "Book"]);
    let moments = [totals.first, totals.last].map(|moment| moment.unwrap().as_millis());
    assert_eq!(moments, [1, 20]);
}

#[test]
fn a_sum_that_is_not_whole_cents_is_reported_and_not_rounded_away() {
    let groups = [group("Laptop", 1, 0.5, 1, 1)];
    let why = totals(&groups).unwrap_err();
    assert!(
        matches!(why, Unsummed::Malformed(Malformed { field: "cents", .. })),
        "{why}"
    );
}

#[test]
fn ten_of_the_largest_prices_add_up_to_the_cent_and_what_cannot_be_counted_blames_no_document() {
    let price = Cents::MAX_PRICE.get();
    let ten = totals(&[group("Yacht", 10, 10 * price, 1, 2)]).unwrap();
    assert_eq!(ten.spent.get(), 10 * price);
    let beyond = [
        vec![group("Yacht", 9_300, 9_300.0 * price as f64, 1, 2)],
        vec![group("Pen", 1, i64::MAX, 1, 2), group("Yacht", 1, 1, 1, 2)],
    ];
    for groups in beyond {
        let why = totals(&groups).unwrap_err().to_string();
        assert!(why.contains("Yacht") && !why.contains("document"), "{why}");
    }
}

#[test]
fn a_purchase_is_shown_as_it_is_stored_and_a_field_that_is_not_is_named() {
    let stored = doc! {
        "_id": ObjectId::from_bytes([3; 12]), "username": "n", "user_id": "u1", "item_name": "Book",
        "price": 10.25, "timestamp": DateTime::from_millis(7), "created_at": DateTime::from_millis(12),
    };
    let shown = view(&stored).unwrap();
    assert_eq!((shown.price, shown.timestamp.as_millis()), (10.25, 7));
    for field in [
        "_id",
        "username",
        "item_name",
        "price",
        "timestamp",
        "created_at",
    ] {
        let mut stored = stored.clone();
        stored.insert(field, 1);
        assert_eq!(view(&stored).unwrap_err().field, field);
    }
}

#[test]
fn of_any_number_of_items_those_that_cost_most_are_named_and_the_rest_is_summed_up() {
    // In an order of its own: 7919 is prime to the number of items.
    let all = 5_000;
    let groups: Vec<Document> = (0..all)
        .map(|number| (number * 7_919) % all)
        .map(|number| group(&format!("item {number}"), 2, 2 * number, 1, 2))
        .collect();
    let totals = totals(&groups).unwrap();
    assert_eq!(totals.count, 10_000);
    assert_eq!(totals.items.len(), ITEMS_MAX);
    let spent: Vec<i64> = totals.items.iter().map(|item| item.spent.get()).collect();
    let most: Vec<i64> = (4_000..5_000).rev().map(|number| 2 * number).collect();
    assert_eq!(spent, most);
    assert_eq!((totals.other.items, totals.other.count), (4_000, 8_000));
    let named: i64 = spent.iter().sum();
    assert_eq!(totals.spent.get(), named + totals.other.spent.get());
}
