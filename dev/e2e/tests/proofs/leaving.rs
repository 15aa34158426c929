//! A consumer that is told to end while nobody can say where its partitions are to be read from.

use std::time::Duration;

use devstack::Fault;
use e2e::ground::Ground;
use e2e::records::good;
use e2e::shop::Shop;
use e2e::until;

/// Until an assignment meets the broker that is away.
const ASSIGNED: Duration = Duration::from_secs(20);
/// Less than it would wait for, which is as long as the broker is away.
const DRAIN: Duration = Duration::from_secs(20);
const UNKNOWN: &str = "nobody says where to start";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_leaves_in_time_while_the_offsets_of_its_assignment_cannot_be_learnt() {
    let shop = Shop::on(Ground::cluster().await).await;
    let records = (0..30).map(|number| good(number % 3));
    shop.witness.write(records.collect()).await;
    for broker in 0..shop.ground.brokers() {
        // The others still see it, so that it goes on leading what nobody can ask it about.
        shop.ground.broker_proxy(broker).set(Fault::Blackhole);
        let name = format!("leaving-{broker}");
        let plan = shop.another_consumer(&name);
        let consumer = plan.env("DRAIN_TIMEOUT", "20s").start();
        let says = async || shop.log(&name).contains(UNKNOWN).then_some(());
        let met = tokio::time::timeout(ASSIGNED, until(UNKNOWN, 2 * ASSIGNED, says)).await;
        if met.is_ok() {
            consumer.drains(DRAIN).await;
            return;
        }
        // It is the one that coordinates the group, which assigns nothing then.
        consumer.kill().await;
        shop.ground.broker_proxy(broker).set(Fault::None);
    }
    panic!("no assignment met a broker that was away");
}
