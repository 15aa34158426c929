//! A broker that is not dead, but cut off, frozen or slow: every answer is true, those who can be
//! served are, and nobody has to be restarted.

use std::time::Duration;

use devstack::Fault;
use e2e::ground::Ground;
use e2e::load::Load;
use e2e::memory::{MIB, resident};
use e2e::service::Service;
use e2e::shop::Shop;
use e2e::trial::Trial;
use e2e::{check, until_text};

const PATIENCE: Duration = Duration::from_secs(60);
/// A broker that leads one of the partitions; the witnesses ask the first one first.
const FAULTED: usize = 1;
/// How long a purchase is waited for where that is compared with how slow brokers are. A machine that is
/// busy makes them slower by tenths of a second, which is to be little beside it.
const DELIVERY: Duration = Duration::from_secs(5);
/// What a service may take in under any condition.
const LIMIT: u64 = 100 * MIB;
/// What an allocator may do by itself.
const NOISE: u64 = 8 * MIB;

fn every_broker(shop: &Shop, fault: Fault) {
    let brokers = 0..shop.ground.brokers();
    brokers.for_each(|index| shop.ground.broker_proxy(index).set(fault));
}

async fn nobody_was_restarted(producer: &Service) {
    let restarts = producer.metric("actors_restarts_total", &[]).await;
    assert_eq!(restarts, 0.0, "restarts: {}", producer.tree().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_cut_off_costs_its_own_partition_only() {
    let shop = Shop::on(Ground::cluster().await).await;
    let trial = Trial::begin(&shop, 500).await;
    // The other brokers still see it, so that it goes on leading what nobody can write to.
    shop.ground.broker_proxy(FAULTED).set(Fault::Blackhole);
    trial.refuses(50).await;
    trial.sells(300).await;
    trial.refuses(50).await;
    shop.ground.broker_proxy(FAULTED).set(Fault::None);
    trial.sells(500).await;
    nobody_was_restarted(&trial.producer).await;
    let told = trial.ends_well().await;
    assert!(told.unknown > 0, "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_broker_is_replaced_as_leader_and_changes_nothing_when_it_goes_on() {
    let shop = Shop::on(Ground::cluster().await).await;
    let trial = Trial::begin(&shop, 500).await;
    let broker = shop.ground.broker(FAULTED);
    broker.freeze().expect("the broker is ours");
    until_text("others lead", PATIENCE, async || {
        let leading = shop.ground.leading(&shop.witness.topic).await;
        match leading.map_err(|error| error.to_string())? {
            leading if leading.contains(&Some(FAULTED)) => Err(format!("{leading:?}")),
            _ => Ok(()),
        }
    })
    .await;
    trial.sells(500).await;
    // It believes to lead still, and finds in its sockets what was sent to it.
    broker.thaw().expect("the broker is ours");
    trial.sells(500).await;
    nobody_was_restarted(&trial.producer).await;
    trial.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_brokers_are_waited_for_and_too_slow_ones_make_outcomes_unknown() {
    let shop = Shop::on(Ground::cluster().await).await;
    let trial = Trial::begin_within(&shop, 200, DELIVERY).await;
    let all = |fault| every_broker(&shop, fault);
    // The client has to introduce itself first, and a coordinator that is just loading makes it ask again.
    trial.sells(100).await;
    let before = trial.running().refused();
    all(Fault::Latency(DELIVERY / 30));
    trial.sells(300).await;
    assert_eq!(trial.running().refused(), before, "they answered in time");
    // There and back takes longer than a purchase is waited for: it is stored, and nobody knows.
    all(Fault::Latency(DELIVERY / 2));
    trial.refuses(150).await;
    all(Fault::None);
    trial.sells(300).await;
    nobody_was_restarted(&trial.producer).await;
    let told = trial.ends_well().await;
    assert!(told.unknown > 0, "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_are_away_for_long_cost_no_memory_however_many_want_to_buy() {
    let shop = Shop::on(Ground::cluster().await).await;
    let plan = shop.producer().env("KAFKA_DELIVERY_TIMEOUT", "2s");
    let producer = plan.ready().await;
    // Each comes again after the second that a refusal asks for.
    let load = Load {
        connections: 1_000,
        ..shop.load(1_000_000)
    };
    let running = load.start();
    let refuses = async |more: usize| {
        let goal = running.refused() + more;
        until_text(&format!("{goal} refusals"), PATIENCE, async || {
            let refused = running.refused();
            (refused >= goal).then_some(()).ok_or(refused.to_string())
        })
        .await;
    };
    until_text("they buy", PATIENCE, async || {
        let accepted = running.accepted();
        (accepted >= 2_000)
            .then_some(())
            .ok_or(accepted.to_string())
    })
    .await;
    every_broker(&shop, Fault::Blackhole);
    // What was on its way, and everybody once at a closed door.
    refuses(2_000).await;
    let mut samples = vec![resident(producer.pid())];
    for _ in 0..8 {
        refuses(800).await;
        samples.push(resident(producer.pid()));
    }
    let told: Vec<u64> = samples.iter().map(|bytes| bytes / MIB).collect();
    let (first, most) = (samples[0], samples.iter().copied().max().unwrap_or(0));
    assert!(most <= LIMIT, "{told:?} MiB");
    assert!(most - first <= NOISE, "it is not flat: {told:?} MiB");
    assert_eq!(producer.admin("/livez").await.status, 200);

    every_broker(&shop, Fault::None);
    let goal = running.accepted() + 2_000;
    until_text("they buy again", PATIENCE, async || {
        let accepted = running.accepted();
        (accepted >= goal).then_some(()).ok_or(accepted.to_string())
    })
    .await;
    nobody_was_restarted(&producer).await;
    let attempts = running.stop(PATIENCE).await;
    check::answers_come_in_time(&attempts, Duration::from_secs(2));
    let records = shop.witness.records().await;
    check::answers_are_in_the_topic(&check::accepted(&attempts), &records);
    check::no_purchase_is_repeated(&records);
}
