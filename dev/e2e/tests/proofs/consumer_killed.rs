//! The consumer dies ten times under load, five times without a warning: nothing is missing,
//! nothing is there twice, and no offset is ever committed beyond what is stored.

use std::collections::HashSet;
use std::time::Duration;

use e2e::ground::Ground;
use e2e::invariants::Invariants;
use e2e::load::Load;
use e2e::shop::Shop;
use e2e::{check, until};

const PURCHASES: usize = 20_000;
const DEATHS: usize = 10;
/// Purchases that each life of the consumer is given.
const SHARE: usize = PURCHASES / DEATHS;
/// How many of them it may store before it dies; the rest is on its way at that moment.
const BEFORE_DEATH: usize = SHARE / 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_dies_ten_times_loses_nothing_and_repeats_nothing() {
    let shop = Shop::on(Ground::shared().await).await;
    let watch = Invariants::watch(&shop).await;
    let (producer, mut consumer) = shop.open().await;
    let load = Load {
        per_second: Some(2_000),
        allowed: 0,
        ..shop.load(PURCHASES)
    }
    .start();
    for death in 0..DEATHS {
        load.allow(SHARE * (death + 1));
        let goal = SHARE * death + BEFORE_DEATH;
        until(
            &format!("{goal} documents before death {death}"),
            Duration::from_secs(60),
            async || (shop.documents.count().await >= goal).then_some(()),
        )
        .await;
        if death % 2 == 0 {
            consumer.kill().await;
        } else {
            consumer.drains(Duration::from_secs(30)).await;
        }
        watch.look().await;
        consumer = shop.consumer().start();
    }
    let attempts = load.finish(Duration::from_secs(120)).await;
    let accepted = check::all_accepted(&attempts);
    assert_eq!(accepted.len(), PURCHASES);
    shop.settles(Duration::from_secs(60)).await;
    consumer.becomes_ready().await;

    let (records, documents) = tokio::join!(shop.witness.records(), watch.hold(&consumer));
    let ids: HashSet<&str> = accepted
        .iter()
        .map(|answer| answer.purchase_id.as_str())
        .collect();
    assert_eq!(records.len(), PURCHASES, "records in the topic");
    check::answers_are_in_the_topic(&accepted, &records);
    check::documents_are(&ids, &documents);
    check::documents_come_from_the_topic(&documents, &shop.witness.topic, &records);
    drop((producer, consumer));
}
