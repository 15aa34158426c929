//! A database that answers, and not well: a primary that steps down, a write concern that is not
//! satisfied, a write whose answer hangs, a disk that is full, and the largest there is to be written.
//! Everything is stored in the end, once, and nothing is committed before.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::failing::{Failing, fill_the_disk};
use e2e::ground::Ground;
use e2e::invariants::Invariants;
use e2e::records::{bytes, good_for};
use e2e::service::Service;
use e2e::shop::Shop;
use e2e::topic::NewRecord;
use e2e::{until, until_text};

const PATIENCE: Duration = Duration::from_secs(60);

fn events(count: i32) -> Vec<NewRecord> {
    let one = |number: i32| good_for(number % 3, &format!("user-{}", number % 700));
    (0..count).map(one).collect()
}

async fn stores(shop: &Shop, count: usize) {
    until(&format!("{count} documents"), PATIENCE, async || {
        (shop.documents.count().await >= count).then_some(())
    })
    .await;
}

async fn says(service: &Service, shop: &Shop, words: &str) {
    until_text(&format!("it says {words:?}"), PATIENCE, async || {
        let log = shop.log("consumer");
        let said = log.contains(words);
        said.then_some(())
            .ok_or_else(|| service.process().log_tail(5))
    })
    .await;
}

async fn committed(shop: &Shop) -> i64 {
    let offsets: BTreeMap<i32, Option<i64>> = shop.witness.committed().await;
    offsets.values().map(|next| next.unwrap_or(0)).sum()
}

async fn outcome(service: &Service, outcome: &str) -> f64 {
    let label = format!("outcome=\"{outcome}\"");
    service.metric("purchases_records_total", &[&label]).await
}

async fn nobody_was_restarted(service: &Service) {
    let restarts = service.metric("actors_restarts_total", &[]).await;
    assert_eq!(restarts, 0.0, "restarts: {}", service.tree().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_primary_steps_down_nothing_is_lost_or_put_aside() {
    let shop = Shop::on(Ground::cluster().await).await;
    let watch = Invariants::watch(&shop).await;
    let consumer = shop.consumer().ready().await;
    shop.witness.write(events(300)).await;
    stores(&shop, 300).await;
    // PrimarySteppedDown; the client's own repetition meets it, too.
    shop.documents
        .fail_inserts(Failing::Refused(189), None)
        .await;
    shop.witness.write(events(900)).await;
    says(
        &consumer,
        &shop,
        "write failed, will be retried with the same ids",
    )
    .await;
    assert_eq!(shop.documents.count().await, 300);
    watch.look().await;
    shop.documents.heal().await;
    assert_eq!(watch.adds_up(&consumer).await.len(), 1_200);
    assert_eq!(outcome(&consumer, "known").await, 0.0);
    nobody_was_restarted(&consumer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_and_not_confirmed_is_not_committed_until_it_is() {
    let shop = Shop::on(Ground::cluster().await).await;
    let watch = Invariants::watch(&shop).await;
    let consumer = shop.consumer().ready().await;
    shop.witness.write(events(300)).await;
    shop.settles(PATIENCE).await;
    shop.documents
        .fail_inserts(Failing::Unconfirmed, None)
        .await;
    shop.witness.write(events(900)).await;
    stores(&shop, 1_200).await;
    says(
        &consumer,
        &shop,
        "write concern: waiting for replication timed out",
    )
    .await;
    // Again and again, and it is there each time.
    until("it is tried again", PATIENCE, async || {
        let again = consumer.metric("purchases_write_retries_total", &[]).await;
        (again >= 2_700.0).then_some(())
    })
    .await;
    assert_eq!(committed(&shop).await, 300);
    assert_eq!(outcome(&consumer, "stored").await, 300.0);
    watch.look().await;
    shop.documents.heal().await;
    assert_eq!(watch.adds_up(&consumer).await.len(), 1_200);
    assert_eq!(outcome(&consumer, "known").await, 900.0);
    nobody_was_restarted(&consumer).await;
}

/// Longer than a session, longer than the client lets a member go without polling, and longer than a
/// write is waited for: who polls for the group does not wait for any of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_hang_longer_than_any_limit_of_the_group_cost_no_partition() {
    let shop = Shop::on(Ground::cluster().await).await;
    let watch = Invariants::watch(&shop).await;
    let plan = shop
        .consumer()
        .env("KAFKA_CLIENT_MAX_POLL_INTERVAL_MS", "6000")
        .env("IN_FLIGHT_MAX_RECORDS", "500")
        .env("WRITE_TIMEOUT", "3s")
        .env("STALL_TIMEOUT", "20s");
    let consumer = plan.ready().await;
    shop.witness.write(events(300)).await;
    stores(&shop, 300).await;
    let rebalances = consumer.metric("purchases_rebalances_total", &[]).await;
    let hanging = Failing::Hanging(12_000);
    shop.documents.fail_inserts(hanging, Some(3)).await;
    // More than there are credits for: the readers wait, too.
    shop.witness.write(events(3_000)).await;
    says(&consumer, &shop, "no answer within 3s").await;
    watch.look().await;
    assert_eq!(watch.adds_up(&consumer).await.len(), 3_300);
    let now = consumer.metric("purchases_rebalances_total", &[]).await;
    assert_eq!(now, rebalances, "the group let it go");
    nobody_was_restarted(&consumer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_whose_disk_is_full_is_waited_for_and_nothing_is_put_aside() {
    let shop = Shop::on(Ground::own().await).await;
    let watch = Invariants::watch(&shop).await;
    let consumer = shop.consumer().ready().await;
    shop.witness.write(events(300)).await;
    shop.settles(PATIENCE).await;
    // Of a full disk nothing can be read; what is committed by now is looked for before.
    watch.look().await;
    fill_the_disk(&shop).await;
    shop.witness.write(events(3_000)).await;
    says(
        &consumer,
        &shop,
        "write failed, will be retried with the same ids",
    )
    .await;
    // It cannot be read either, and that is not shown as an empty history.
    until("histories are refused", PATIENCE, async || {
        (consumer.get("/purchases/user-1").await.status == 503).then_some(())
    })
    .await;
    assert_eq!(committed(&shop).await, 300);
    watch.look().await;
    assert_eq!(consumer.admin("/livez").await.status, 200);
    // Somebody makes room.
    shop.ground.database().kill().expect("the database is ours");
    let restarted = shop.ground.database().restart().await;
    restarted.expect("it comes back with what it had");
    assert_eq!(watch.adds_up(&consumer).await.len(), 3_300);
    nobody_was_restarted(&consumer).await;
}

/// As large as names may be, of characters that take four bytes each, in batches as large as they may
/// be set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_purchases_in_the_largest_batches_are_stored() {
    const RECORDS: i32 = 15_000;
    let shop = Shop::on(Ground::shared().await).await;
    let watch = Invariants::watch(&shop).await;
    let long = "\u{1F6D2}".repeat(100);
    let record = |number: i32| {
        let event = serde_json::json!({
            "username": &long, "user_id": &long, "item_name": &long, "price": 999.99,
            "timestamp": "2026-01-31T18:00:00.123Z",
        });
        NewRecord {
            value: bytes(&event.to_string()),
            ..good_for(number % 3, "")
        }
    };
    shop.witness.write((0..RECORDS).map(record).collect()).await;
    let plan = shop
        .consumer()
        .env("BATCH_MAX_RECORDS", "100000")
        .env("BATCH_MAX_BYTES", "16MiB")
        .env("BATCH_MAX_AGE", "2s")
        .env("IN_FLIGHT_MAX_RECORDS", "100000")
        .env("IN_FLIGHT_MAX_BYTES", "256MiB");
    let consumer = plan.ready().await;
    assert_eq!(watch.adds_up(&consumer).await.len(), RECORDS as usize);
    let retried = consumer.metric("purchases_write_retries_total", &[]).await;
    assert_eq!(retried, 0.0);
}
