//! What was refused once and is taken when it is read again: its sale is counted, once, wherever the
//! letter went meanwhile.

use std::time::Duration;

use e2e::ground::Ground;
use e2e::records::{bytes, good};
use e2e::recount::{current, is_a_recount};
use e2e::shop::Shop;
use e2e::topic::NewRecord;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(60);

/// An event of a buyer of this name; on `username`, no two documents may be alike at first.
fn named(number: usize, name: &str) -> NewRecord {
    let event = json!({
        "username": name, "user_id": "u", "item_name": "Pen", "price": 0.1,
        "timestamp": "2026-01-31T18:00:00.123Z",
    });
    NewRecord {
        value: bytes(&event.to_string()),
        headers: vec![("purchase-id".to_owned(), bytes(&format!("{number:024x}")))],
        ..good(0)
    }
}

/// Runs a consumer until it has read everything, and holds its sums against the collection.
async fn counts(shop: &Shop, expected: usize) {
    let consumer = shop.consumer().ready().await;
    shop.settles(PATIENCE).await;
    let documents = shop.documents.all().await;
    assert_eq!(documents.len(), expected);
    is_a_recount(&current(shop, &consumer).await, &documents);
    consumer.drains(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_was_refused_and_is_taken_later_is_counted_once() {
    let shop = Shop::on(Ground::shared().await).await;
    shop.documents.make_unique("username").await;
    // Of those that are alike, the first is stored.
    let names = ["a", "alike", "alike", "alike", "b"];
    let records = names.into_iter().enumerate();
    let records = records.map(|(number, name)| named(number, name));
    shop.witness.write(records.collect()).await;
    counts(&shop, 3).await;
    let letters = shop.witness.records_of(&shop.dead_letters()).await;
    assert_eq!(letters.len(), 2);
    // What refused them is gone, and one of the letters is sent back.
    shop.documents.make_common("username").await;
    shop.witness.write(vec![named(2, "alike")]).await;
    counts(&shop, 4).await;
    // Everything is read again: one of the refused is stored now, the other is known from its return.
    shop.witness.commit_everywhere(0).await;
    counts(&shop, 5).await;
    shop.witness.commit_everywhere(0).await;
    counts(&shop, 5).await;
}
