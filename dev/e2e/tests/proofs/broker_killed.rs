//! The broker dies twice under load: no 201 for what is not in the topic, an honest 503 for the
//! rest, and a retry with the same key makes one purchase of it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use e2e::ground::Ground;
use e2e::load::{Attempt, Load, Order, Outcome, Running};
use e2e::shop::Shop;
use e2e::topic::Record;
use e2e::{check, until};

const PURCHASES: usize = 20_000;
/// 201s at which the broker dies.
const DEATHS: [usize; 2] = [5_000, 12_000];
/// Refusals that each outage lasts for: more than there are connections, so that some are refused
/// before they are sent and some while they are on their way.
const REFUSALS: usize = 150;
/// An answer that says that nothing was stored.
const NOTHING_STORED: [&str; 2] = ["/problems/kafka-unavailable", "/problems/overloaded"];
/// An answer that says that nobody knows.
const UNKNOWN: &str = "/problems/outcome-unknown";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_dies_twice_makes_no_answer_false_and_every_retry_safe() {
    let shop = Shop::on(Ground::own().await).await;
    let plan = shop.producer().env("KAFKA_DELIVERY_TIMEOUT", "2s");
    let (producer, consumer) = tokio::join!(plan.ready(), async { shop.consumer().ready().await });
    let load = Load {
        keyed: true,
        per_second: Some(3_000),
        ..shop.load(PURCHASES)
    };
    let running = load.clone().start();
    for goal in DEATHS {
        the_broker_dies(&shop, &running, goal).await;
    }
    let attempts = running.finish(Duration::from_secs(120)).await;
    assert_eq!(attempts.len(), PURCHASES);
    let records = shop.witness.records().await;
    let refused = every_answer_is_honest(&attempts, &records);
    assert!(
        refused.len() >= DEATHS.len() * REFUSALS,
        "{} refusals",
        refused.len()
    );

    let retried = retried_until_accepted(&load, refused).await;
    shop.settles(Duration::from_secs(60)).await;
    let (records, documents) = tokio::join!(shop.witness.records(), shop.documents.all());
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

/// Every order was answered: with a 201 that is true, or with a 503 that may be retried and that
/// claims nothing false. Tells the refused ones.
fn every_answer_is_honest(attempts: &[Attempt], records: &[Record]) -> Vec<Order> {
    check::answers_are_in_the_topic(&check::accepted(attempts), records);
    let in_topic: HashSet<&str> = records
        .iter()
        .filter_map(|record| record.header("purchase-id"))
        .collect();
    let (mut again, mut unknown) = (Vec::new(), 0);
    for Attempt { order, outcome } in attempts {
        match outcome {
            Outcome::Accepted(answer) => assert_eq!(answer.purchase_id, order.promised_id()),
            Outcome::Refused(refused) => {
                assert_eq!(refused.status, 503, "{refused:?}");
                assert_eq!(
                    refused.media_type, "application/problem+json",
                    "{refused:?}"
                );
                assert!(
                    refused.retryable && refused.retry_after.is_some(),
                    "{refused:?}"
                );
                assert!(
                    refused.has_request_id && !refused.detail.is_empty(),
                    "{refused:?}"
                );
                if NOTHING_STORED.contains(&refused.kind.as_str()) {
                    let there = in_topic.contains(order.promised_id().as_str());
                    assert!(
                        !there,
                        "in the topic, and the answer says that nothing was stored: {order:?}"
                    );
                } else {
                    assert_eq!(refused.kind, UNKNOWN, "{refused:?}");
                    unknown += 1;
                }
                again.push(order.clone());
            }
            Outcome::Unanswered { .. } => panic!("no answer to {order:?}: {outcome:?}"),
        }
    }
    // Those on their way when the broker died: without them the retries would prove little.
    assert!(unknown > 0, "no outcome was unknown");
    again
}

/// Does what the answers ask for, until every order has its 201.
async fn retried_until_accepted(load: &Load, mut orders: Vec<Order>) -> Vec<Attempt> {
    let mut accepted = Vec::new();
    for _ in 0..10 {
        let attempts = load
            .resend(std::mem::take(&mut orders))
            .finish(Duration::from_secs(60))
            .await;
        for attempt in attempts {
            match &attempt.outcome {
                Outcome::Accepted(answer) => {
                    assert_eq!(answer.purchase_id, attempt.order.promised_id());
                    accepted.push(attempt);
                }
                Outcome::Refused(refused) if refused.retryable => orders.push(attempt.order),
                other => panic!("a retry of {:?}: {other:?}", attempt.order),
            }
        }
        if orders.is_empty() {
            return accepted;
        }
    }
    panic!(
        "{} orders are still refused after ten retries",
        orders.len()
    );
}
