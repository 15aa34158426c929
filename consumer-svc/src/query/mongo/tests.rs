//! From documents to a history.

use bson::{DateTime, doc};

use super::*;

fn document(id: u8, millis: i64) -> Document {
    doc! {
        "_id": ObjectId::from_bytes([id; 12]), "username": format!("name {id}"), "user_id": "u1", "item_name": "Book",
        "price": 10.25, "timestamp": DateTime::from_millis(millis), "created_at": DateTime::from_millis(millis + 5),
    }
}

fn group(item: &str, count: i32, cents: impl Into<Bson>, first: i64, last: i64) -> Document {
    doc! { "_id": item, "count": count, "cents": cents.into(), "first": DateTime::from_millis(first), "last": DateTime::from_millis(last) }
}

fn user() -> UserId {
    UserId::parse("u1").unwrap()
}

#[test]
fn a_user_without_purchases_has_no_history() {
    let page = PageRequest {
        limit: 10,
        after: None,
    };
    assert!(
        assemble(&user(), &page, vec![], None, &[])
            .unwrap()
            .is_none()
    );
}

#[test]
fn totals_are_exact_whatever_number_type_the_server_sums_in() {
    let totals = [
        group("Laptop", 2, 199_998.0, 5, 9),
        group("Book", 1, 10i64, 1, 1),
        group("Pen", 3, 30, 2, 20),
    ];
    let page = PageRequest {
        limit: 10,
        after: None,
    };
    let history = assemble(&user(), &page, vec![], None, &totals)
        .unwrap()
        .unwrap();
    assert_eq!(history.total_purchases, 6);
    assert_eq!(history.total_spent.to_string(), "2000.38");
    assert_eq!(history.average_price.to_string(), "333.40");
    assert_eq!(
        history
            .items
            .iter()
            .map(|item| item.item_name.as_str())
            .collect::<Vec<_>>(),
        ["Laptop", "Pen", "Book"]
    );
    assert_eq!(
        (
            history.first_purchase_at.as_millis(),
            history.last_purchase_at.as_millis()
        ),
        (1, 20)
    );
}

#[test]
fn a_full_page_ends_with_a_cursor_and_the_last_page_without() {
    let documents = vec![document(3, 30), document(2, 20), document(1, 10)];
    let totals = [group("Book", 3, 3075, 10, 30)];
    let page = PageRequest {
        limit: 2,
        after: None,
    };
    let newest = documents.first().cloned();
    let history = assemble(&user(), &page, documents.clone(), newest.as_ref(), &totals)
        .unwrap()
        .unwrap();
    assert_eq!(history.purchases.len(), 2);
    assert_eq!(history.username, "name 3");
    let cursor = Cursor::decode(&history.next_cursor.unwrap()).unwrap();
    assert_eq!(cursor.timestamp.as_millis(), 20);
    let page = PageRequest {
        limit: 3,
        after: None,
    };
    assert_eq!(
        assemble(&user(), &page, documents, newest.as_ref(), &totals)
            .unwrap()
            .unwrap()
            .next_cursor,
        None
    );
}

#[test]
fn a_sum_that_is_not_whole_cents_is_reported_and_not_rounded_away() {
    let totals = [group("Laptop", 1, 0.5, 1, 1)];
    let page = PageRequest {
        limit: 1,
        after: None,
    };
    let error = assemble(&user(), &page, vec![], None, &totals).unwrap_err();
    assert_eq!(error.field, "cents");
}
