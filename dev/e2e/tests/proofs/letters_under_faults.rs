//! Dead letters that are under way while their consumer dies, is joined, or is told to end: every bad record has
//! its letter, no good one has, none is doubled without a death that explains it, and the partitions move on.

use std::collections::BTreeMap;
use std::time::Duration;

use devstack::process::Signal;
use e2e::ground::Ground;
use e2e::invariants::Invariants;
use e2e::records::{bytes, good_for};
use e2e::service::Service;
use e2e::shop::Shop;
use e2e::topic::NewRecord;
use e2e::{http, until};

const PATIENCE: Duration = Duration::from_secs(60);
/// Records in one go, over all partitions; one in ten is bad.
const BATCH: i32 = 1_500;
const BAD_OF: i32 = 10;

fn records(begin: i32) -> Vec<NewRecord> {
    let one = |number: i32| {
        let record = good_for(number % 3, &format!("user-{}", number % 700));
        match (number / 3) % BAD_OF {
            4 => NewRecord {
                value: bytes(&format!("{{ {number}")),
                ..record
            },
            _ => record,
        }
    };
    (begin..begin + BATCH).map(one).collect()
}

async fn held(service: &Service) -> f64 {
    // It may not listen yet.
    match http::get(service.admin_addr(), "/metrics").await {
        Ok(_) => service.metric("purchases_partitions_assigned", &[]).await,
        Err(_) => 0.0,
    }
}

async fn stored(shop: &Shop, goal: usize) {
    until(&format!("{goal} documents"), PATIENCE, async || {
        (shop.documents.count().await >= goal).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_under_way_meet_a_death_a_rebalance_and_a_drain_and_each_arrives() {
    let shop = Shop::without_topics(Ground::shared().await).await;
    let made = shop.ground.create_topic(&shop.witness.topic, 3).await;
    made.expect("the topic is made");
    let watch = Invariants::watch(&shop).await;
    let often = "KAFKA_CLIENT_TOPIC_METADATA_PROPAGATION_MAX_MS";
    let plan = shop.consumer().env(often, "1000");
    let visits = shop
        .second_consumer()
        .env(often, "1000")
        .env("DRAIN_TIMEOUT", "3s");
    let per_batch = (BATCH - BATCH / BAD_OF) as usize;

    // Nobody can deliver a letter: there is no topic for them. So those of all partitions are under way.
    shop.witness.write(records(0)).await;
    let consumer = plan.ready().await;
    stored(&shop, per_batch).await;
    watch.look().await;
    consumer.kill().await;
    let consumer = plan.ready().await;
    let guest = visits.start();
    until("both have partitions", PATIENCE, async || {
        let (mine, theirs) = tokio::join!(held(&consumer), held(&guest));
        (mine >= 1.0 && theirs >= 1.0 && mine + theirs == 3.0).then_some(())
    })
    .await;
    watch.look().await;
    guest.signal(Signal::Term);
    let code = guest.exit_code(PATIENCE).await;
    assert!([0, 75].contains(&code), "it ends, drained or not: {code}");
    watch.look().await;
    let made = shop.ground.create_topic(&shop.dead_letters(), 1).await;
    made.expect("the topic is made");
    shop.settles(PATIENCE).await;

    // Letters arrive while consumers die and go. What was not committed at a death may be lettered again.
    let mut deaths = Vec::new();
    let mut consumer = consumer;
    for round in 1..=4 {
        let (_, ()) = tokio::join!(
            shop.witness.write(records(BATCH * round)),
            stored(&shop, per_batch * round as usize + per_batch / 3)
        );
        if round % 2 == 0 {
            consumer.drains(PATIENCE).await;
        } else {
            consumer.kill().await;
            deaths.push(shop.witness.committed().await);
        }
        watch.look().await;
        consumer = plan.start();
    }
    shop.settles(PATIENCE).await;
    consumer.becomes_ready().await;
    let documents = watch.hold(&consumer).await;
    assert_eq!(documents.len(), per_batch * 5);

    let mut letters: BTreeMap<(i32, i64), usize> = BTreeMap::new();
    for letter in shop.witness.records_of(&shop.dead_letters()).await {
        let number = |name| {
            letter
                .header(name)
                .and_then(|text| text.parse::<i64>().ok())
        };
        let place = (number("dlq-partition"), number("dlq-offset"));
        let (Some(partition), Some(offset)) = place else {
            panic!("a letter of nothing: {letter:?}")
        };
        *letters.entry((partition as i32, offset)).or_default() += 1;
    }
    let written = shop.witness.records().await;
    let bad = written.iter().filter(|record| record.key.is_some());
    let bad = bad.filter(|record| {
        record
            .value
            .as_deref()
            .is_some_and(|value| value.starts_with(b"{ "))
    });
    let mut count = 0;
    for record in bad {
        let place = (record.partition, record.offset);
        let found = letters.remove(&place).unwrap_or(0);
        let again = deaths.iter().filter(|committed| {
            let next = committed.get(&record.partition).copied().flatten();
            next.unwrap_or(0) <= record.offset
        });
        let most = 1 + again.count();
        assert!(
            (1..=most).contains(&found),
            "{found} letters of {place:?}, at most {most}"
        );
        count += 1;
    }
    assert_eq!(count, (BATCH / BAD_OF) * 5, "bad records");
    assert!(letters.is_empty(), "letters of good records: {letters:?}");
}
