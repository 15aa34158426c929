//! What is sent back from the dead letters harms nobody, by however many, however often, and whether it is
//! ended half way or not.

use std::collections::HashSet;

use e2e::check;
use e2e::ground::Ground;
use e2e::records::{bytes, good_for};
use e2e::shop::Shop;
use e2e::topic::NewRecord;
use e2e::until;
use futures_util::future::join_all;
use purchases::PurchaseId;

use crate::dead_letters::{PATIENCE, json};

/// Fewer than `BAD_RUN_LIMIT`, and twice as many are more.
const LETTERS: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_back_in_vain_stops_no_partition_and_does_not_go_round() {
    let shop = Shop::on(Ground::shared().await).await;
    let bad = |_| NewRecord {
        value: bytes("{"),
        ..good_for(0, "u1")
    };
    shop.witness.write((0..LETTERS).map(bad).collect()).await;
    let consumer = shop.consumer().ready().await;
    shop.settles(PATIENCE).await;

    // Three people at the same time.
    let all = ["dlq", "replay", "--all", "--json"];
    let back: usize = join_all([(); 3].map(|()| json(&shop, &all)))
        .await
        .iter()
        .map(Vec::len)
        .sum();
    assert!(back >= LETTERS, "{back}");
    let (_, good) = shop.witness.write(vec![good_for(0, "u1")]).await[0];
    shop.settles(PATIENCE).await;
    let documents = shop.documents.all().await;
    let stored = PurchaseId::foreign(&shop.witness.topic, 0, good).to_string();
    let stored = HashSet::from([stored.as_str()]);
    check::documents_are(&stored, &documents);
    let stopped = consumer
        .metric("purchases_partition_stopped", &["partition=\"0\""])
        .await;
    assert_eq!(stopped, 0.0);

    // Each of them is in the dead letters again, and says so; who repeats himself sends nothing.
    let open = json(&shop, &["dlq", "list", "--json"]).await;
    assert_eq!(open.len(), back);
    assert!(
        open.iter().all(|letter| letter["again"] == true),
        "{open:#?}"
    );
    assert_eq!(json(&shop, &all).await.len(), 0);
    let told = ["dlq", "replay", "--all", "--again", "--dry-run", "--json"];
    let told = json(&shop, &told).await;
    assert_eq!(told.len(), back);
    for letter in told {
        let reason = letter["refused_again"].as_str().unwrap_or_default();
        assert!(
            reason.contains("JSON") || reason.contains("EOF"),
            "{letter}"
        );
    }
    assert_eq!(shop.witness.ends().await[&0], good + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_is_killed_half_way_is_repeated_and_everything_is_stored_once() {
    let shop = Shop::on(Ground::shared().await).await;
    shop.documents.make_unique("username").await;
    let records = (0..=LETTERS).map(|_| good_for(0, "u1")).collect();
    let written = shop.witness.write(records).await;
    let _consumer = shop.consumer().ready().await;
    shop.settles(PATIENCE).await;
    assert_eq!(shop.documents.count().await, 1);
    shop.documents.make_common("username").await;

    let before = shop.witness.ends().await[&0];
    let replay = shop.command(&["dlq", "replay", "--all"]).start();
    until("something is sent back", PATIENCE, async || {
        (shop.witness.ends().await[&0] > before).then_some(())
    })
    .await;
    replay.kill().await;
    let left = json(&shop, &["dlq", "list", "--json"]).await.len();
    assert!(left > 0, "it was killed too late to show anything");
    let again = json(&shop, &["dlq", "replay", "--all", "--json"]).await;
    assert_eq!(again.len(), left);
    shop.settles(PATIENCE).await;
    assert_eq!(json(&shop, &["dlq", "list", "--json"]).await.len(), 0);
    let ids: Vec<String> = written
        .iter()
        .map(|(partition, offset)| {
            PurchaseId::foreign(&shop.witness.topic, *partition, *offset).to_string()
        })
        .collect();
    let ids: HashSet<&str> = ids.iter().map(String::as_str).collect();
    check::documents_are(&ids, &shop.documents.all().await);
}
