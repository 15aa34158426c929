//! The database is away for 30 seconds, dead or frozen: the consumer lives, its memory stays
//! flat, no history is shown that is not one, and everything is caught up without a hand.

use std::collections::HashSet;
use std::time::Duration;

use e2e::ground::Ground;
use e2e::http;
use e2e::invariants::Invariants;
use e2e::load::Load;
use e2e::memory::{MIB, resident};
use e2e::service::Service;
use e2e::shop::Shop;
use e2e::topic::NewRecord;
use e2e::{check, until};
use tokio::time::{Instant, interval};

const OUTAGE: Duration = Duration::from_secs(30);
/// Events that wait in the topic, each about as large as an event can be: 50 MB that a consumer
/// without bounds would take in.
const BACKLOG: usize = 100_000;
/// What a service may take in under any condition.
const LIMIT: u64 = 100 * MIB;
/// From then on nothing more may be taken in.
const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// What an allocator may do by itself.
const NOISE: u64 = 8 * MIB;

/// How a database goes away.
#[derive(Clone, Copy, Debug)]
enum Outage {
    /// Its connections are refused.
    Killed,
    /// Its connections stay open and say nothing.
    Frozen,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_outlives_a_database_that_was_killed_and_one_that_froze() {
    // Side by side, because an outage is mostly waiting.
    tokio::join!(outlives(Outage::Killed), outlives(Outage::Frozen));
}

async fn outlives(outage: Outage) {
    let shop = Shop::on(Ground::own().await).await;
    let watch = Invariants::watch(&shop).await;
    let (producer, consumer) = shop.open().await;
    let before = check_bought(&shop, 500).await;
    shop.settles(Duration::from_secs(30)).await;
    let database = shop.ground.database();
    match outage {
        Outage::Killed => database.kill(),
        Outage::Frozen => database.freeze(),
    }
    .expect("the database is ours");

    let until_then = Instant::now() + OUTAGE;
    let known = format!("{}-u1", shop.name);
    let services = [&producer, &consumer];
    let (foreign, during, (), ()) = tokio::join!(
        shop.witness.write(backlog(&shop.name)),
        check_bought(&shop, 2_000),
        memory_stays_flat(&consumer, until_then),
        histories_are_not_made_up(&services, &known, until_then),
    );
    match outage {
        Outage::Killed => database.restart().await,
        Outage::Frozen => database.thaw(),
    }
    .expect("the database comes back");

    shop.settles(Duration::from_secs(120)).await;
    assert!(
        resident(consumer.pid()) <= LIMIT,
        "{} MiB after catching up",
        resident(consumer.pid()) / MIB
    );
    let derived = |(partition, offset): &(i32, i64)| {
        purchases::PurchaseId::foreign(&shop.witness.topic, *partition, *offset).to_string()
    };
    let ids: Vec<String> = foreign
        .iter()
        .map(derived)
        .chain(before)
        .chain(during)
        .collect();
    let documents = watch.hold(&consumer).await;
    check::documents_are(
        &ids.iter().map(String::as_str).collect::<HashSet<_>>(),
        &documents,
    );
    let tree = consumer.tree().await.to_string();
    assert!(
        !tree.contains("\"restarts\":1"),
        "nobody had to be restarted: {tree}"
    );
    assert_eq!(
        consumer.get(&format!("/purchases/{known}")).await.status,
        200
    );
    until("healthy again", Duration::from_secs(30), async || {
        (consumer.get("/health").await.status == 200).then_some(())
    })
    .await;
    consumer.drains(Duration::from_secs(30)).await;
}

/// Buys while nobody stores, and tells the ids.
async fn check_bought(shop: &Shop, purchases: usize) -> Vec<String> {
    let load = Load {
        users: 50,
        connections: 16,
        per_second: Some(200),
        ..shop.load(purchases)
    };
    let attempts = load.start().finish(Duration::from_secs(60)).await;
    check::all_accepted(&attempts)
        .iter()
        .map(|answer| answer.purchase_id.clone())
        .collect()
}

fn backlog(name: &str) -> Vec<NewRecord> {
    let (long, price) = ("x".repeat(90), 19.99);
    let one = |number: usize| {
        let event = serde_json::json!({
            "username": long, "user_id": format!("{name}-foreign-{number}"), "item_name": long,
            "price": price, "timestamp": "2026-01-31T18:00:00.000Z",
        });
        NewRecord {
            partition: (number % 3) as i32,
            value: Some(event.to_string().into_bytes()),
            ..NewRecord::default()
        }
    };
    (0..BACKLOG).map(one).collect()
}

/// Samples the process until the end of the outage.
async fn memory_stays_flat(consumer: &Service, until: Instant) {
    let mut samples = Vec::new();
    let mut every = interval(Duration::from_millis(250));
    while Instant::now() < until {
        every.tick().await;
        assert!(
            consumer.process().is_running(),
            "the consumer ended:\n{}",
            consumer.process().log_tail(20)
        );
        samples.push((
            until.duration_since(Instant::now()),
            resident(consumer.pid()),
        ));
    }
    let settled = samples
        .iter()
        .filter(|(left, _)| *left < OUTAGE - SETTLED_AFTER)
        .map(|(_, bytes)| *bytes);
    let (least, most) = (
        settled.clone().min().unwrap_or(0),
        settled.max().unwrap_or(0),
    );
    let peak = samples.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    let told: Vec<u64> = samples
        .iter()
        .step_by(8)
        .map(|(_, bytes)| bytes / MIB)
        .collect();
    assert!(
        peak <= LIMIT,
        "the consumer took {} MiB: {told:?}",
        peak / MIB
    );
    assert!(
        most - least <= NOISE,
        "the consumer's memory is not flat: {told:?}"
    );
    assert_eq!(
        consumer.admin("/livez").await.status,
        200,
        "no reason for a restart"
    );
    let read = consumer.metric("purchases_records_read_total", &[]).await;
    assert!(
        read < BACKLOG as f64 / 2.0,
        "{read} records were taken in although none could be stored"
    );
}

/// Asks both services for a user with purchases and for one without, until the end of the outage:
/// never an empty history, never "unknown", always "not now".
async fn histories_are_not_made_up(services: &[&Service], known: &str, until: Instant) {
    let mut asked = 0;
    while Instant::now() < until {
        for service in services {
            for user in [known, "nobody"] {
                let answer = http::get(service.http(), &format!("/purchases/{user}"))
                    .await
                    .expect("an answer");
                assert_eq!(answer.status, 503, "{}", answer.text());
                assert_eq!(answer.header("content-type"), "application/problem+json");
                assert_eq!(answer.json()["retryable"], true, "{}", answer.text());
                asked += 1;
            }
        }
    }
    assert!(asked >= 4, "asked {asked} times");
    let health = services[1].get("/health").await;
    assert_eq!(
        (health.status, &health.json()["mongodb_connected"]),
        (503, &false.into()),
        "{}",
        health.text()
    );
}
