//! The broker dies twice under load: no 201 for what is not in the topic, an honest 503 for the
//! rest, and a retry with the same key makes one purchase of it.

use std::collections::HashMap;
use std::time::Duration;

use e2e::ground::Ground;
use e2e::invariants::Invariants;
use e2e::load::{Load, Running};
use e2e::shop::Shop;
use e2e::{check, until};

const PURCHASES: usize = 20_000;
/// 201s at which the broker dies.
const DEATHS: [usize; 2] = [5_000, 12_000];
/// Refusals that each outage lasts for: more than there are connections, so that some are refused
/// before they are sent and some while they are on their way.
const REFUSALS: usize = 150;
/// The producer gives up soon, so that outcomes are unknown while the broker is away.
const DELIVERY: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_dies_twice_makes_no_answer_false_and_every_retry_safe() {
    let shop = Shop::on(Ground::own().await).await;
    let watch = Invariants::watch(&shop).await;
    let delivery = format!("{}ms", DELIVERY.as_millis());
    let plan = shop.producer().env("KAFKA_DELIVERY_TIMEOUT", delivery);
    let (producer, consumer) = tokio::join!(plan.ready(), async { shop.consumer().ready().await });
    let load = Load {
        keyed: true,
        per_second: Some(3_000),
        ..shop.load(PURCHASES)
    };
    let running = load.clone().start();
    for goal in DEATHS {
        the_broker_dies(&shop, &running, goal).await;
        watch.look().await;
    }
    let attempts = running.finish(Duration::from_secs(120)).await;
    assert_eq!(attempts.len(), PURCHASES);
    check::answers_come_in_time(&attempts, DELIVERY);
    let records = shop.witness.records().await;
    check::answers_are_in_the_topic(&check::accepted(&attempts), &records);
    check::no_purchase_is_repeated(&records);
    let refusals = check::refusals_are_honest(&attempts, &records);
    // Those on their way when the broker died: without them the retries would prove little.
    assert!(!refusals.unknown.is_empty(), "no outcome was unknown");
    let refused = refusals.orders().len();
    let enough = refused >= DEATHS.len() * REFUSALS;
    assert!(enough, "{refused} refusals");

    let retried = load.until_accepted_there(&refusals).await;
    shop.settles(Duration::from_secs(60)).await;
    let (records, documents) = tokio::join!(shop.witness.records(), watch.hold(&consumer));
    let (first, second) = (check::accepted(&attempts), check::accepted(&retried));
    check::answers_are_in_the_topic(&first, &records);
    check::answers_are_in_the_topic(&second, &records);
    let promised: Vec<String> = (0..PURCHASES)
        .map(|number| load.order(number).promised_id())
        .collect();
    check::documents_are(&promised.iter().map(String::as_str).collect(), &documents);
    check::documents_come_from_the_topic(&documents, &shop.witness.topic, &records);
    // Whichever attempt was stored: the customer was told the same item at the same price.
    let by_id: HashMap<&str, _> = documents
        .iter()
        .map(|stored| (stored.id.as_str(), stored))
        .collect();
    for answer in first.iter().chain(&second) {
        let stored = &by_id[answer.purchase_id.as_str()].event;
        let (told, kept) = (&answer.purchase, (&stored.item_name, stored.price));
        assert_eq!(
            (&told.item_name, told.price),
            kept,
            "{}",
            answer.purchase_id
        );
    }
    drop((producer, consumer));
}

async fn the_broker_dies(shop: &Shop, running: &Running, goal: usize) {
    let patience = Duration::from_secs(60);
    until(&format!("{goal} accepted"), patience, async || {
        (running.accepted() >= goal).then_some(())
    })
    .await;
    let before = running.refused();
    let broker = shop.ground.broker(0);
    broker.kill().expect("the broker is ours");
    until(&format!("{REFUSALS} refusals"), patience, async || {
        (running.refused() >= before + REFUSALS).then_some(())
    })
    .await;
    broker.restart().await.expect("the broker comes back");
}
