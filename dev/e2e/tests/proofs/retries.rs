//! The same key again: on the same replica it gets the first answer; on another one, and after a
//! restart, the same purchase; and however often, one document.

use std::time::Duration;

use e2e::answer::{self, Accepted};
use e2e::check;
use e2e::ground::Ground;
use e2e::http::{Answer, Connection};
use e2e::load::Order;
use e2e::service::Service;
use e2e::shop::Shop;

const PATIENCE: Duration = Duration::from_secs(60);
const ORDERS: usize = 20;

async fn send(replica: &Service, orders: &[Order]) -> Vec<Answer> {
    let mut connection = Connection::open(replica.http()).await.expect("it listens");
    let mut answers = Vec::with_capacity(orders.len());
    for order in orders {
        answers.push(connection.send(order.request()).await.expect("an answer"));
    }
    answers
}

fn read(answers: &[Answer]) -> Vec<Accepted> {
    let each = answers
        .iter()
        .map(|answer| answer::read(answer).expect("a 201"));
    each.collect()
}

fn replayed(answers: &[Answer]) -> usize {
    let is_replayed = |answer: &&Answer| answer.header("idempotency-replayed") == "true";
    answers.iter().filter(is_replayed).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_one_purchase_on_every_replica_before_and_after_a_restart() {
    let shop = Shop::on(Ground::shared().await).await;
    let (one, other) = (shop.producer(), shop.second_producer());
    let (one, other) = tokio::join!(one.ready(), other.ready());
    let load = shop.load(ORDERS);
    let orders: Vec<Order> = (0..ORDERS)
        .map(|number| Order {
            key: Some(format!("key-{number}")),
            ..load.order(number)
        })
        .collect();

    let (first, elsewhere) = tokio::join!(send(&one, &orders), send(&other, &orders));
    assert_eq!((replayed(&first), replayed(&elsewhere)), (0, 0));
    let again = send(&one, &orders).await;
    assert_eq!(replayed(&again), ORDERS);
    for (before, after) in first.iter().zip(&again) {
        assert_eq!(
            before.body, after.body,
            "the first answer, to the last byte"
        );
    }
    let changed = Order {
        username: "Somebody else".to_owned(),
        ..orders[0].clone()
    };
    let changed = send(&one, &[changed]).await;
    let refused = answer::read(&changed[0]).expect_err("another content");
    assert_eq!(
        (refused.status, refused.kind.as_str(), refused.retryable),
        (422, "/problems/idempotency-key-reused", false)
    );

    one.kill().await;
    let one = shop.producer().ready().await;
    let after = send(&one, &orders).await;
    assert_eq!(replayed(&after), 0, "the memory is gone, the id is not");

    let (first, elsewhere, after) = (read(&first), read(&elsewhere), read(&after));
    for (number, order) in orders.iter().enumerate() {
        for answer in [&first[number], &elsewhere[number], &after[number]] {
            assert_eq!(answer.purchase_id, order.promised_id());
            assert_eq!(answer.purchase.item_name, first[number].purchase.item_name);
            assert_eq!(answer.purchase.price, first[number].purchase.price);
        }
    }
    let consumer = shop.consumer().ready().await;
    shop.settles(PATIENCE).await;
    let (records, documents) = tokio::join!(shop.witness.records(), shop.documents.all());
    assert_eq!(records.len(), 3 * ORDERS, "a replay writes nothing");
    check::answers_are_in_the_topic(&first.iter().collect::<Vec<_>>(), &records);
    let promised = first.iter().map(|answer| answer.purchase_id.as_str());
    check::documents_are(&promised.collect(), &documents);
    check::documents_come_from_the_topic(&documents, &shop.witness.topic, &records);
    drop((one, other, consumer));
}
