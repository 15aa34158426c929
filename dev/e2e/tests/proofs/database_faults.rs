//! A database that is late, slow, or reached by connections on which nothing passes: everything is
//! stored in the end, once, nobody is restarted for it, and the group keeps its members.

use std::time::Duration;

use devstack::Fault;
use e2e::ground::Ground;
use e2e::invariants::Invariants;
use e2e::memory::{MIB, resident};
use e2e::records::good_for;
use e2e::service::{Plan, Service};
use e2e::shop::Shop;
use e2e::topic::NewRecord;
use e2e::{http, until};

const PATIENCE: Duration = Duration::from_secs(60);
/// Of the promise about memory under any load.
const LIMIT: u64 = 100 * MIB;

fn events(count: i32) -> Vec<NewRecord> {
    let one = |number: i32| good_for(number % 3, &format!("user-{}", number % 700));
    (0..count).map(one).collect()
}

async fn held(service: &Service) -> f64 {
    service.metric("purchases_partitions_assigned", &[]).await
}

async fn stores(shop: &Shop, count: usize) {
    until(&format!("{count} documents"), PATIENCE, async || {
        (shop.documents.count().await >= count).then_some(())
    })
    .await;
}

async fn nobody_was_restarted(service: &Service) {
    let restarts = service.metric("actors_restarts_total", &[]).await;
    assert_eq!(restarts, 0.0, "restarts: {}", service.tree().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_comes_late_is_waited_for_without_a_restart() {
    let shop = Shop::on(Ground::cluster().await).await;
    let watch = Invariants::watch(&shop).await;
    let database = shop.ground.database_proxy();
    database.set(Fault::Refuse);
    shop.witness.write(events(900)).await;
    let consumer = shop.consumer().start();
    until("it serves", PATIENCE, async || {
        let ready = http::get(consumer.admin_addr(), "/readyz").await.ok()?;
        (ready.status == 503 && ready.text().contains("mongodb")).then_some(())
    })
    .await;
    assert_eq!(consumer.admin("/livez").await.status, 200);
    assert_eq!(consumer.get("/purchases/user-1").await.status, 503);
    watch.look().await;

    database.set(Fault::None);
    consumer.becomes_ready().await;
    assert_eq!(watch.adds_up(&consumer).await.len(), 900);
    nobody_was_restarted(&consumer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_database_costs_time_and_neither_memory_nor_partitions() {
    let shop = Shop::on(Ground::cluster().await).await;
    let watch = Invariants::watch(&shop).await;
    let consumer = shop.consumer().ready().await;
    shop.witness.write(events(300)).await;
    stores(&shop, 300).await;
    let rebalances = consumer.metric("purchases_rebalances_total", &[]).await;
    // An answer takes two seconds, as long as a session; each write is one, each save another.
    let slow = Fault::Latency(Duration::from_secs(1));
    shop.ground.database_proxy().set(slow);
    shop.witness.write(events(12_000)).await;
    stores(&shop, 12_300).await;
    watch.look().await;
    assert!(resident(consumer.pid()) < LIMIT);
    assert_eq!(held(&consumer).await, 3.0);
    let now = consumer.metric("purchases_rebalances_total", &[]).await;
    assert_eq!(now, rebalances, "the group let it go");
    shop.ground.database_proxy().set(Fault::None);
    assert_eq!(watch.adds_up(&consumer).await.len(), 12_300);
    nobody_was_restarted(&consumer).await;
}

/// The classic assignors take every partition from every member in each rebalance, while writes
/// hang; the partitions come back to the member whose writes these are, and go again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_go_and_come_back_under_hanging_writes_are_stored_once() {
    let shop = Shop::on(Ground::cluster().await).await;
    let watch = Invariants::watch(&shop).await;
    let plan = |plan: Plan| {
        plan.env("KAFKA_PARTITION_ASSIGNMENT_STRATEGY", "range")
            .env("WRITE_TIMEOUT", "5s")
            .env("STALL_TIMEOUT", "20s")
    };
    let stays = plan(shop.consumer()).ready().await;
    let visits = plan(shop.second_consumer());
    shop.witness.write(events(300)).await;
    stores(&shop, 300).await;

    // Connections stay open and say nothing: what was written hangs, and what comes piles up.
    shop.ground.database_proxy().set(Fault::Blackhole);
    shop.witness.write(events(3_000)).await;
    until("writes hang", PATIENCE, async || {
        (stays.metric("purchases_read_ahead_records", &[]).await >= 3_000.0).then_some(())
    })
    .await;
    let guest = visits.start();
    until("the guest has a share", PATIENCE, async || {
        let theirs = http::get(guest.admin_addr(), "/metrics").await.is_ok();
        (theirs && held(&guest).await >= 1.0).then_some(())
    })
    .await;
    watch.look().await;
    guest.kill().await;
    until("all partitions are back", PATIENCE, async || {
        (held(&stays).await == 3.0).then_some(())
    })
    .await;
    watch.look().await;
    let committed = shop.witness.committed().await;
    let all: i64 = committed.values().map(|next| next.unwrap_or(0)).sum();
    assert!(
        all <= 300,
        "committed what nobody knows to be stored: {committed:?}"
    );

    shop.ground.database_proxy().set(Fault::None);
    assert_eq!(watch.adds_up(&stays).await.len(), 3_300);
    // What was read under an earlier assignment came to its end under a later one, and was told
    // apart.
    let log = shop.log("consumer");
    assert!(
        log.contains("given back with work left"),
        "nothing hung at all"
    );
    let fenced = "purchases_settlements_fenced_total";
    let late = stays.metric(fenced, &[]).await;
    assert!(late >= 1.0, "{late} settlements came too late");
    stays.drains(PATIENCE).await;
}
