//! A user who may write loses that permission under load and has it back: nothing is promised meanwhile,
//! it is said why, and sales come back by themselves.

use std::time::Duration;

use devstack::Listener;
use e2e::ground::Ground;
use e2e::load::Load;
use e2e::shop::Shop;
use e2e::{check, permissions, until_text};

use super::secured::{SECRET, by, complaints, user};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_that_may_not_write_any_more_says_so_and_sells_again_when_it_may() {
    let shop = Shop::on(Ground::secured().await).await;
    let (name, topic) = (format!("{}-writer", shop.name), &shop.witness.topic);
    let made = shop
        .ground
        .secured()
        .create_user("SCRAM-SHA-512", &name, SECRET);
    made.await.unwrap_or_else(|error| panic!("{error}"));
    let plan = by(&shop, shop.producer(), Listener::Sasl);
    let producer = user(plan, "SCRAM-SHA-512", &name, SECRET).ready().await;
    let load = Load {
        keyed: true,
        per_second: Some(200),
        connections: 8,
        ..shop.load(100_000)
    };
    let running = load.clone().start();
    let counts = async |what: &str, goal: usize, count: &dyn Fn() -> usize| {
        let enough = || (count() >= goal).then_some(()).ok_or(count().to_string());
        until_text(&format!("{goal} {what}"), PATIENCE, async || enough()).await;
    };
    let (accepted, refused) = (&|| running.accepted(), &|| running.refused());
    counts("201s", 50, accepted).await;
    let broker = shop.ground.bootstrap_servers();
    permissions::forbid_writing(&broker, &name, topic).await;
    counts("refusals", 16, refused).await;
    // The broker may need a moment until all of it knows.
    let sold = accepted();
    counts("refusals", refused() + 16, refused).await;
    let log = shop.log("producer");
    assert!(complaints(&log, "uthorization failed") > 0, "{log}");
    assert!(accepted() - sold < 50, "it still sells");
    permissions::permit_writing(&broker, &name, topic).await;
    counts("201s", accepted() + 100, accepted).await;
    assert_eq!(producer.metric("actors_restarts_total", &[]).await, 0.0);
    producer.becomes_ready().await;

    let attempts = running.stop(PATIENCE).await;
    let records = shop.witness.records().await;
    check::answers_are_in_the_topic(&check::accepted(&attempts), &records);
    check::no_purchase_is_repeated(&records);
    let refusals = check::refusals_are_honest(&attempts, &records);
    let retried = load.until_accepted_there(&refusals).await;
    let records = shop.witness.records().await;
    check::answers_are_in_the_topic(&check::accepted(&retried), &records);
}
