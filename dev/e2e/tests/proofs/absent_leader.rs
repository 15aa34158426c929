//! A partition whose leader nobody reaches is its own trouble: the others are read, whoever joins or leaves
//! meanwhile, and it is read once its leader is back: from where the group stood, and nothing twice.

use std::collections::BTreeSet;
use std::time::Duration;

use devstack::Fault;
use e2e::ground::Ground;
use e2e::records::good;
use e2e::service::Service;
use e2e::shop::Shop;
use e2e::{until, until_text};

/// For what is not held up by anything.
const SOON: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(60);
/// Records of each partition, each time.
const EACH: usize = 50;

/// Writes to these partitions, and tells where that stands.
async fn write(shop: &Shop, partitions: &[i32]) -> Vec<(i32, i64)> {
    let records = partitions
        .iter()
        .flat_map(|one| (0..EACH).map(|_| good(*one)));
    shop.witness.write(records.collect()).await
}

async fn stores(shop: &Shop, count: usize) {
    until_text(&format!("{count} are stored"), SOON, async || {
        match shop.documents.count().await {
            stored if stored == count => Ok(()),
            stored => Err(format!("{stored}")),
        }
    })
    .await;
}

/// In which partition of theirs the brokers keep a group: as Java hashes a text, without the sign.
fn place(group: &str, partitions: usize) -> usize {
    let hash = group.bytes().fold(0_i32, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(i32::from(byte))
    });
    // Of the smallest number Java has no amount.
    hash.checked_abs().unwrap_or(0).unsigned_abs() as usize % partitions
}

/// The broker through which the group joins and commits: who leads that partition.
async fn coordinator(shop: &Shop) -> usize {
    shop.witness.committed().await;
    let led = shop
        .ground
        .leading("__consumer_offsets")
        .await
        .expect("led");
    led[place(&shop.witness.group, led.len())].expect("the group has a coordinator")
}

/// The brokers said so.
#[test]
fn a_group_whose_hash_is_negative_is_found_where_the_brokers_keep_it() {
    assert_eq!(place("e2e-1a20b44f5c7-0-group", 4), 1);
    assert_eq!(place("e2e-1a20b3a591f-0-group", 4), 1);
}

/// Records that it read of this partition.
async fn read(consumer: &Service, partition: i32) -> f64 {
    let partition = format!("partition=\"{partition}\"");
    let name = "purchases_records_read_total";
    consumer.metric(name, &[&partition]).await
}

async fn assigned(consumer: &Service) -> f64 {
    consumer.metric("purchases_partitions_assigned", &[]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_whose_leader_is_away_keeps_no_other_from_being_read() {
    let shop = Shop::on(Ground::cluster().await).await;
    let mut written = write(&shop, &[0, 1, 2]).await;
    let coordinator = coordinator(&shop).await;
    let leading = shop.ground.leading(&shop.witness.topic).await.expect("led");
    let lost = leading.iter().position(|one| *one != Some(coordinator));
    let lost = lost.expect("not all are led by one");
    let broker = leading[lost].expect("it is led");
    let away = lost as i32;
    let others: Vec<i32> = (0..3)
        .filter(|one| leading[*one as usize] != Some(broker))
        .collect();

    // All of it is stored and committed before, and more is written.
    let before = shop.consumer().start();
    stores(&shop, 3 * EACH).await;
    before.drains(SOON).await;
    written.extend(write(&shop, &[0, 1, 2]).await);

    // The other brokers still see it, so that it goes on leading what nobody can ask it about.
    shop.ground.broker_proxy(broker).set(Fault::Refuse);
    let first = shop.consumer().start();
    stores(&shop, (3 + others.len()) * EACH).await;
    let lag = |stats: &serde_json::Value, partition: i32| {
        let partitions = stats["partitions"].as_array().expect("partitions");
        let one = partitions.iter().find(|one| one["partition"] == partition);
        one.map(|one| one["lag"].clone())
    };
    until_text("what is known is shown", SOON, async || {
        let stats = first.get("/stats").await.json();
        let known = others.iter().all(|one| lag(&stats, *one) == Some(0.into()));
        let unknown = lag(&stats, away) == Some(serde_json::Value::Null);
        match known && unknown && stats["backlog"].is_null() {
            true => Ok(()),
            false => Err(stats.to_string()),
        }
    })
    .await;
    let words = format!("partition {away} stopped: nobody says where to start");
    until_text("it is said why", PATIENCE, async || {
        match first.admin("/readyz").await {
            answer if answer.status == 503 && answer.text().contains(&words) => Ok(()),
            answer => Err(answer.text()),
        }
    })
    .await;
    let stopped = format!("partition=\"{away}\"");
    let stopped = first
        .metric("purchases_partition_stopped", &[&stopped])
        .await;
    assert_eq!(stopped, 1.0);

    // Whoever joins and leaves then holds up nothing either.
    let second = shop.second_consumer().start();
    until("both have some", SOON, async || {
        e2e::http::get(second.admin_addr(), "/metrics").await.ok()?;
        let (one, other) = (assigned(&first).await, assigned(&second).await);
        (one > 0.0 && other > 0.0 && one + other == 3.0).then_some(())
    })
    .await;
    written.extend(write(&shop, &others).await);
    stores(&shop, (3 + 2 * others.len()) * EACH).await;
    second.drains(SOON).await;
    written.extend(write(&shop, &others).await);
    stores(&shop, (3 + 3 * others.len()) * EACH).await;

    shop.ground.broker_proxy(broker).set(Fault::None);
    shop.settles(PATIENCE).await;
    first.becomes_ready().await;
    assert_eq!(read(&first, away).await, EACH as f64, "nothing twice");
    let fenced = "purchases_settlements_fenced_total";
    assert_eq!(first.metric(fenced, &[]).await, 0.0);
    let documents = shop.documents.all().await;
    let stored: BTreeSet<(i32, i64)> = documents
        .iter()
        .map(|document| (document.partition, document.offset))
        .collect();
    assert_eq!(documents.len(), written.len(), "each of them once");
    assert_eq!(stored, written.into_iter().collect());
    first.drains(SOON).await;
}
