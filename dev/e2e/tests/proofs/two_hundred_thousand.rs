//! 200,000 purchases while producer, broker and consumer are told to end and killed, each in turn,
//! all of them under load; every order gets its 201 in the end, and then all is counted.

use std::collections::HashSet;
use std::time::Duration;

use e2e::ground::Ground;
use e2e::invariants::Invariants;
use e2e::load::{Attempt, Load, Order, Outcome, Running};
use e2e::service::Service;
use e2e::shop::Shop;
use e2e::topic::Record;
use e2e::{check, until};

const PURCHASES: usize = 200_000;
/// Purchases between two faults.
const SHARE: usize = PURCHASES / 7;
const PATIENCE: Duration = Duration::from_secs(120);
/// Longer than the defaults of `DRAIN_TIMEOUT`, 25 s and 30 s: who needs more has ended with 75 by then.
const DRAIN: Duration = Duration::from_secs(35);

/// What customers learnt in all rounds, and what they still want.
struct Customers {
    load: Load,
    open: Vec<Order>,
    told: Vec<Attempt>,
    /// What an earlier attempt may have put into the topic.
    unsure: HashSet<Order>,
}

impl Customers {
    fn new(shop: &Shop) -> Self {
        let load = Load {
            keyed: true,
            users: 20_000,
            ..shop.load(PURCHASES)
        };
        let open = (0..PURCHASES).map(|number| load.order(number)).collect();
        let told = Vec::with_capacity(PURCHASES);
        Self {
            load,
            open,
            told,
            unsure: HashSet::new(),
        }
    }

    /// They send what is open, until a share of it is answered; the rest is under way, or follows.
    async fn buy(&self) -> Running {
        let running = self.load.resend(self.open.clone());
        answered(&running, SHARE).await;
        running
    }

    /// They stop, or were stopped, and keep in mind what they have no 201 for. Every refusal is one that may be
    /// repeated, and what is said not to be stored is not in the topic, unless an earlier attempt put it there.
    fn note(&mut self, attempts: Vec<Attempt>, records: &[Record]) {
        let (silent, answered): (Vec<_>, Vec<_>) = attempts
            .into_iter()
            .partition(|attempt| matches!(attempt.outcome, Outcome::Unanswered { .. }));
        let (again, first): (Vec<_>, Vec<_>) = answered
            .into_iter()
            .partition(|attempt| self.unsure.contains(&attempt.order));
        let refusals = check::refusals_are_honest(&first, records)
            .and(check::refusals_are_honest(&again, &[]));
        let unknown = refusals.unknown.iter().copied().cloned();
        let silent = silent.into_iter().map(|attempt| attempt.order);
        self.unsure.extend(unknown.chain(silent));
        let (accepted, _): (Vec<_>, Vec<_>) = first
            .into_iter()
            .chain(again)
            .partition(|attempt| matches!(attempt.outcome, Outcome::Accepted(_)));
        let served: HashSet<&Order> = accepted.iter().map(|attempt| &attempt.order).collect();
        self.open.retain(|order| !served.contains(order));
        self.told.extend(accepted);
    }
}

async fn answered(running: &Running, goal: usize) {
    until(&format!("{goal} answers"), PATIENCE, async || {
        (running.accepted() + running.refused() >= goal).then_some(())
    })
    .await;
}

/// One share more: half of it before what comes next, half during it.
async fn next(running: &Running, share: usize) {
    running.allow(SHARE * (share + 1));
    answered(running, SHARE * share + SHARE / 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_thousand_purchases_outlive_every_end_of_every_part() {
    let shop = Shop::on(Ground::own().await).await;
    let watch = Invariants::watch(&shop).await;
    let plan = shop.producer().env("KAFKA_DELIVERY_TIMEOUT", "3s");
    let (producer, consumer) = tokio::join!(plan.ready(), async { shop.consumer().ready().await });
    let mut customers = Customers::new(&shop);

    // The producer is told to end, and refuses nobody for it.
    let running = customers.buy().await;
    producer.drains(DRAIN).await;
    let attempts = running.finish(PATIENCE).await;
    let refused = |attempt: &&Attempt| matches!(attempt.outcome, Outcome::Refused(_));
    let refused = attempts.iter().find(refused);
    assert!(refused.is_none(), "{refused:?}");
    customers.note(attempts, &shop.witness.records().await);

    // It dies.
    let producer = plan.ready().await;
    let running = customers.buy().await;
    producer.kill().await;
    let attempts = running.finish(PATIENCE).await;
    customers.note(attempts, &shop.witness.records().await);

    // The broker dies; both services see to it that it does not matter in the end.
    let producer = plan.ready().await;
    customers.load.allowed = 0;
    let running = customers.load.resend(customers.open.clone());
    next(&running, 0).await;
    let broker = shop.ground.broker(0);
    broker.kill().expect("the broker is ours");
    until("it is missed", PATIENCE, async || {
        (running.refused() >= 150).then_some(())
    })
    .await;
    broker.restart().await.expect("the broker comes back");

    // The consumer dies, and another is told to end, while customers buy on.
    next(&running, 1).await;
    let consumer = follows(&watch, &shop, consumer, async |consumer| {
        consumer.kill().await
    })
    .await;
    next(&running, 2).await;
    let drain = async |consumer: Service| drop(consumer.drains(DRAIN).await);
    let consumer = follows(&watch, &shop, consumer, drain).await;
    running.allow(PURCHASES);
    let attempts = running.finish(PATIENCE).await;
    customers.note(attempts, &shop.witness.records().await);
    let orders = std::mem::take(&mut customers.open);
    let rest = customers.load.until_accepted(orders).await;
    customers.note(rest, &[]);

    assert_eq!(customers.told.len(), PURCHASES, "every order has its 201");
    shop.settles(PATIENCE).await;
    consumer.becomes_ready().await;
    let (records, documents) = tokio::join!(shop.witness.records(), watch.hold(&consumer));
    check::answers_are_in_the_topic(&check::accepted(&customers.told), &records);
    let promised: Vec<String> = (0..PURCHASES)
        .map(|number| customers.load.order(number).promised_id())
        .collect();
    check::documents_are(&promised.iter().map(String::as_str).collect(), &documents);
    check::documents_come_from_the_topic(&documents, &shop.witness.topic, &records);
    let letters = shop.witness.records_of(&shop.dead_letters()).await;
    assert_eq!(letters.len(), 0, "all of them were good");
    drop(producer);
}

/// One consumer ends, this way, and the next begins. What is committed in between is stored.
async fn follows(
    watch: &Invariants<'_>,
    shop: &Shop,
    consumer: Service,
    end: impl AsyncFn(Service),
) -> Service {
    end(consumer).await;
    watch.look().await;
    let committed = shop.witness.committed().await;
    let committed: i64 = committed.values().map(|next| next.unwrap_or(0)).sum();
    assert!(committed > 0, "it committed something");
    shop.consumer().start()
}
