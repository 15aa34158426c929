//! The producer dies under load: what it answered stands, and a retry with the same key makes one
//! purchase, the same one, before and after its restart.

use std::collections::HashMap;
use std::time::Duration;

use e2e::answer::Accepted;
use e2e::ground::Ground;
use e2e::http::Unanswered;
use e2e::load::{Load, Order, Outcome};
use e2e::shop::Shop;
use e2e::{check, until};

const PURCHASES: usize = 6_000;
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_that_dies_breaks_no_promise_and_every_retry_is_safe() {
    let shop = Shop::on(Ground::shared().await).await;
    let (producer, consumer) = shop.open().await;
    let load = Load {
        keyed: true,
        ..shop.load(PURCHASES)
    };
    let running = load.clone().start();
    until("half is accepted", PATIENCE, async || {
        (running.accepted() >= PURCHASES / 2).then_some(())
    })
    .await;
    producer.kill().await;
    let first = running.finish(PATIENCE).await;
    // Nobody listens any more, so customers give up: some heard nothing of what they had sent.
    let silent = |outcome: &Outcome| {
        matches!(
            outcome,
            Outcome::Unanswered {
                how: Unanswered::Silence(_),
                ..
            }
        )
    };
    assert!(
        first.iter().any(|attempt| silent(&attempt.outcome)),
        "it died with nothing under way"
    );
    let told = check::accepted(&first);
    check::answers_are_in_the_topic(&told, &shop.witness.records().await);

    // Everybody tries everything again, those with a 201 too.
    let producer = shop.producer().ready().await;
    let orders: Vec<Order> = (0..PURCHASES).map(|number| load.order(number)).collect();
    let second = load.resend(orders.clone()).finish(PATIENCE).await;
    let again = check::all_accepted(&second);
    shop.settles(PATIENCE).await;

    let (records, documents) = tokio::join!(shop.witness.records(), shop.documents.all());
    check::answers_are_in_the_topic(&again, &records);
    let promised: Vec<String> = orders.iter().map(Order::promised_id).collect();
    check::documents_are(&promised.iter().map(String::as_str).collect(), &documents);
    check::documents_come_from_the_topic(&documents, &shop.witness.topic, &records);
    let again: HashMap<&str, &Accepted> = again
        .into_iter()
        .map(|answer| (answer.purchase_id.as_str(), answer))
        .collect();
    for before in told {
        let after = &again[before.purchase_id.as_str()].purchase;
        let same = (&before.purchase.item_name, before.purchase.price);
        assert_eq!(
            same,
            (&after.item_name, after.price),
            "{}",
            before.purchase_id
        );
    }
    drop((producer, consumer));
}
