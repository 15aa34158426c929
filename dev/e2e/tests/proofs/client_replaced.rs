//! The Kafka client fails for good under load, once and then again and again: the service replaces it, and
//! gives up only when that does not help; nothing that was promised is lost, and every retry is safe. It
//! replaces a client, too, whose broker answers too late, which would else write the same twice.
//!
//! No healthy broker can be told to desynchronize a client, so a mock of one stands in: the client
//! library's own, which is a log of its own that the service reaches over the wire.

use std::collections::HashSet;
use std::time::Duration;

use e2e::ground::Ground;
use e2e::load::{Attempt, Load, Order, Outcome};
use e2e::service::Plan;
use e2e::shop::Shop;
use e2e::topic::Witness;
use e2e::{check, until};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

const TOPIC: &str = "purchases";
const PATIENCE: Duration = Duration::from_secs(60);
const DELIVERY: Duration = Duration::from_secs(2);
/// More than are sent: the proof says when it is enough.
const ORDERS: usize = 100_000;

struct Mock(MockCluster<'static, DefaultProducerContext>);

impl Mock {
    fn new() -> Self {
        let cluster = MockCluster::new(1).expect("a mock of a broker");
        cluster.create_topic(TOPIC, 3, 1).expect("a topic");
        Self(cluster)
    }

    /// The next request finds the client's numbering lost; it can never be used again.
    fn desynchronize(&self) {
        let lost = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        self.0.request_errors(RDKafkaApiKey::Produce, &[lost]);
    }

    fn witness(&self) -> Witness {
        Witness {
            servers: self.0.bootstrap_servers(),
            topic: TOPIC.to_owned(),
            group: "nobody".to_owned(),
        }
    }

    /// A producer that writes to it.
    fn producer(&self, shop: &Shop) -> Plan {
        shop.producer()
            .env("KAFKA_BOOTSTRAP_SERVERS", self.0.bootstrap_servers())
            .env("KAFKA_TOPIC", TOPIC)
            .env(
                "KAFKA_DELIVERY_TIMEOUT",
                format!("{}ms", DELIVERY.as_millis()),
            )
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_fails_for_good_is_replaced_and_one_that_always_does_ends_the_service() {
    let (shop, mock) = (
        Shop::without_topics(Ground::shared().await).await,
        Mock::new(),
    );
    let plan = mock.producer(&shop);
    let producer = plan.ready().await;
    let load = Load {
        keyed: true,
        per_second: Some(500),
        ..shop.load(ORDERS)
    };
    let running = load.clone().start();
    let sells = async |more: usize| {
        let goal = running.accepted() + more;
        until(&format!("{goal} purchases"), PATIENCE, async || {
            (running.accepted() >= goal).then_some(())
        })
        .await;
    };
    sells(300).await;
    mock.desynchronize();
    until("the client is replaced", PATIENCE, async || {
        let restarts = producer.metric("actors_restarts_total", &[]).await;
        (restarts == 1.0).then_some(())
    })
    .await;
    sells(300).await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(producer.admin(path).await.status, 200, "{path}");
    }
    assert!(running.refused() > 0, "what was on its way is not known");

    // Every further client fails, too.
    let code = until("the service gives up", PATIENCE, async || {
        mock.desynchronize();
        producer.exit_code_if_ended().await
    })
    .await;
    assert_eq!(code, 70, "{}", producer.process().log_tail(5));
    let said = producer.process().log_tail(20);
    assert!(
        said.contains("the Kafka producer failed for good"),
        "{said}"
    );

    let first = running.stop(PATIENCE).await;
    check::answers_come_in_time(&first, DELIVERY);
    let (answered, silent): (Vec<Attempt>, Vec<Attempt>) = first
        .into_iter()
        .partition(|attempt| !matches!(attempt.outcome, Outcome::Unanswered { .. }));
    let records = mock.witness().records().await;
    check::answers_are_in_the_topic(&check::accepted(&answered), &records);
    check::no_purchase_is_repeated(&records);
    let refusals = check::refusals_are_honest(&answered, &records);
    assert!(!refusals.unknown.is_empty(), "no outcome was unknown");

    // An orchestrator starts it again, and customers try again. What was still to fail is over.
    mock.0.clear_request_errors(RDKafkaApiKey::Produce);
    let producer = plan.ready().await;
    let silent: Vec<Order> = silent.into_iter().map(|attempt| attempt.order).collect();
    let again = [refusals.orders(), silent.clone()].concat();
    let retried = load.until_accepted(again).await;
    let records = mock.witness().records().await;
    check::answers_are_in_the_topic(&check::accepted(&answered), &records);
    check::answers_are_in_the_topic(&check::accepted(&retried), &records);
    let sent = answered.iter().map(|attempt| &attempt.order).chain(&silent);
    let promised: HashSet<String> = sent.map(Order::promised_id).collect();
    check::records_are(&promised, &records);
    drop(producer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_confirmed_too_late_is_in_the_log_once() {
    let (shop, mock) = (
        Shop::without_topics(Ground::shared().await).await,
        Mock::new(),
    );
    let producer = mock.producer(&shop).ready().await;
    let load = Load {
        keyed: true,
        per_second: Some(300),
        addr: producer.http(),
        ..shop.load(ORDERS)
    };
    let running = load.clone().start();
    let until_count = async |what: &str, goal: usize, count: &dyn Fn() -> usize| {
        until(&format!("{goal} {what}"), PATIENCE, async || {
            (count() >= goal).then_some(())
        })
        .await;
    };
    let (accepted, refused) = (&|| running.accepted(), &|| running.refused());
    until_count("purchases", 200, accepted).await;
    // It takes what it gets at once, and says so too late.
    for _ in 0..2 {
        let late = mock.0.broker_round_trip_time(-1, DELIVERY * 5 / 4);
        late.expect("it is late");
        until_count("refusals", refused() + 100, refused).await;
        let soon = mock.0.broker_round_trip_time(-1, Duration::ZERO);
        soon.expect("it is quick");
        until_count("purchases", accepted() + 200, accepted).await;
    }
    assert_eq!(producer.metric("actors_restarts_total", &[]).await, 0.0);
    let log = shop.log("producer");
    assert!(log.contains("another Kafka client takes over"), "{log}");
    let first = running.stop(PATIENCE).await;
    check::answers_come_in_time(&first, DELIVERY);
    let records = mock.witness().records().await;
    check::answers_are_in_the_topic(&check::accepted(&first), &records);
    check::no_purchase_is_repeated(&records);
    let refusals = check::refusals_are_honest(&first, &records);
    assert!(!refusals.unknown.is_empty(), "no outcome was unknown");
    let retried = load.until_accepted_there(&refusals).await;
    let records = mock.witness().records().await;
    check::answers_are_in_the_topic(&check::accepted(&retried), &records);
}
