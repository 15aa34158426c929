//! What the real database refuses of a batch: each document has its own outcome, and partitions that are
//! stopped for it cost the others nothing.

use std::time::Duration;

use e2e::ground::Ground;
use e2e::invariants::Invariants;
use e2e::records::{bytes, good};
use e2e::shop::Shop;
use e2e::topic::NewRecord;
use e2e::{until, until_text};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(60);

/// An event of a buyer of this name; on `username`, no two documents may be alike here.
fn named(partition: i32, name: &str) -> NewRecord {
    let event = json!({
        "username": name, "user_id": "u", "item_name": "Pen", "price": 0.1,
        "timestamp": "2026-01-31T18:00:00.123Z",
    });
    NewRecord {
        value: bytes(&event.to_string()),
        ..good(partition)
    }
}

/// The database quotes the name in its refusal, where it reads as if the purchase were known.
const REFUSED: &str = "refused index: _id_ dup key: { _id: 1 }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_real_batch_that_fails_in_part_each_document_has_its_own_outcome() {
    let shop = Shop::on(Ground::shared().await).await;
    let watch = Invariants::watch(&shop).await;
    shop.documents.make_unique("username").await;
    let id = |number: usize| vec![("purchase-id".to_owned(), bytes(&format!("{number:024x}")))];
    let records = (0..100).flat_map(|number| {
        let stored = NewRecord {
            headers: id(number),
            ..named(0, &format!("stored {number}"))
        };
        let known = NewRecord {
            headers: id(number),
            ..named(0, &format!("known {number}"))
        };
        // The first of them is stored.
        [stored, known, named(0, REFUSED)]
    });
    let written = shop.witness.write(records.collect()).await;
    assert_eq!(written.len(), 300);
    // Long enough that all of them wait for one batch.
    let consumer = shop.consumer().env("BATCH_MAX_AGE", "1s").ready().await;
    shop.settles(PATIENCE).await;
    let documents = watch.hold(&consumer).await.into_iter();
    let mut names: Vec<String> = documents.map(|stored| stored.event.username).collect();
    names.sort();
    let mut expected: Vec<String> = (0..100).map(|number| format!("stored {number}")).collect();
    expected.push(REFUSED.to_owned());
    expected.sort();
    assert_eq!(names, expected);
    let outcome = async |outcome: &str| {
        let label = format!("outcome=\"{outcome}\"");
        consumer.metric("purchases_records_total", &[&label]).await
    };
    assert_eq!(outcome("stored").await, 101.0);
    assert_eq!(outcome("known").await, 100.0);
    assert_eq!(outcome("dead_lettered").await, 99.0);
    assert_eq!(
        consumer.metric("purchases_batch_records_count", &[]).await,
        1.0
    );
    assert_eq!(
        consumer.metric("purchases_write_retries_total", &[]).await,
        0.0
    );
    let letters = shop.witness.records_of(&shop.dead_letters()).await;
    assert_eq!(letters.len(), 99);
    consumer.drains(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_partitions_that_the_database_stops_neither_end_the_process_nor_hold_up_the_ninth() {
    let shop = Shop::without_topics(Ground::shared().await).await;
    for (topic, partitions) in [(shop.witness.topic.clone(), 9), (shop.dead_letters(), 1)] {
        let made = shop.ground.create_topic(&topic, partitions).await;
        made.expect("the topic is made");
    }
    let watch = Invariants::watch(&shop).await;
    shop.documents.make_unique("username").await;
    let ours = |number: usize| named(8, &format!("good {number}"));
    let mut records: Vec<NewRecord> = (0..8)
        .flat_map(|partition| (0..5).map(move |_| named(partition, "refused")))
        .collect();
    records.extend((0..50).map(ours));
    shop.witness.write(records).await;
    let plan = shop.consumer().env("BAD_RUN_LIMIT", "2");
    let consumer = plan.start();
    until_text("eight are stopped", PATIENCE, async || {
        // It may not listen yet.
        let asked = e2e::http::get(consumer.admin_addr(), "/metrics").await;
        asked.map_err(|error| format!("{error:?}"))?;
        match consumer.metric("purchases_partition_stopped", &[]).await {
            8.0 => Ok(()),
            stopped => Err(format!("{stopped}")),
        }
    })
    .await;
    shop.witness.write((50..100).map(ours).collect()).await;
    until("the ninth goes on", PATIENCE, async || {
        (shop.witness.committed().await[&8] == Some(100)).then_some(())
    })
    .await;
    assert_eq!(
        watch.hold(&consumer).await.len(),
        101,
        "one of the eight, all of ours"
    );
    assert_eq!(consumer.metric("actors_restarts_total", &[]).await, 0.0);
    assert_eq!(consumer.admin("/livez").await.status, 200);
    assert_eq!(consumer.admin("/readyz").await.status, 503);
    consumer.drains(PATIENCE).await;
}
