//! When the log is away, full, slow, or broken: nothing but the truth is answered.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use producer_svc::flow::BrokerReport;

use super::memory_log::{MemoryBroker, Mode};
use super::shop::Shop;

#[tokio::test]
async fn a_broker_away_at_the_start_means_up_but_not_ready_and_ready_without_a_restart() {
    let broker = MemoryBroker::default();
    broker.away(true);
    let shop = Shop::open_on(broker, &[]).await;
    let ready = shop.get_admin("/readyz").await;
    assert_eq!(ready.status, 503);
    // The reason follows the first attempt.
    assert!(ready.body.starts_with(b"not ready: kafka"), "{ready:?}");
    assert_eq!(shop.get_admin("/livez").await.status, 200);
    let problem = shop
        .buy("user_1")
        .await
        .assert_problem(503, "kafka-unavailable");
    assert_eq!(problem["retryable"], true);

    shop.broker.away(false);
    shop.until("it is ready", || async {
        shop.get_admin("/readyz").await.status == 200
    })
    .await;
    assert_eq!(shop.buy("user_1").await.status, 201);
    assert_eq!(shop.broker.opened(), 1, "with the producer it began with");
    shop.close().await.unwrap();
}

#[tokio::test]
async fn an_unknown_outcome_is_said_to_be_unknown() {
    let shop = Shop::open(&[]).await;
    shop.broker.set(Mode::Lose);
    let answer = shop.buy("user_1").await;
    let problem = answer.assert_problem(503, "outcome-unknown");
    assert_eq!(problem["retryable"], true);
    assert_eq!(problem["purchase_id"].as_str().unwrap().len(), 24);
    assert_eq!(answer.header("retry-after"), "1");
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_refused_record_is_said_not_to_be_stored() {
    let shop = Shop::open(&[]).await;
    shop.broker.set(Mode::Refuse);
    let problem = shop
        .buy("user_1")
        .await
        .assert_problem(503, "kafka-unavailable");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("This attempt stored nothing."), "{detail}");
    assert!(shop.broker.records().is_empty());
    shop.close().await.unwrap();
}

#[tokio::test]
async fn what_exceeds_the_credits_waits_briefly_and_is_then_refused() {
    let shop = Shop::open(&[("INTAKE_MAX_PURCHASES", "2"), ("INTAKE_MAX_WAIT", "20ms")]).await;
    shop.broker.set(Mode::Hold);
    let waiting = [shop.start_buying("user_1"), shop.start_buying("user_2")];
    shop.until_held(2).await;
    let refused = shop.buy("user_3").await;
    refused.assert_problem(503, "overloaded");
    assert_eq!(refused.header("retry-after"), "1");
    shop.broker.release();
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 201);
    }
    assert_eq!(shop.buy("user_3").await.status, 201, "the credits are back");
    assert_eq!(shop.broker.records().len(), 3);
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_request_that_waits_for_a_credit_gets_it_when_one_comes_back() {
    let shop = Shop::open(&[("INTAKE_MAX_PURCHASES", "1"), ("INTAKE_MAX_WAIT", "10s")]).await;
    shop.broker.set(Mode::Hold);
    let first = shop.start_buying("user_1");
    shop.until_held(1).await;
    let second = shop.start_buying("user_2");
    shop.broker.release();
    assert_eq!(first.await.unwrap().status, 201);
    assert_eq!(second.await.unwrap().status, 201);
    shop.close().await.unwrap();
}

#[tokio::test]
async fn what_a_stalled_partition_holds_up_is_given_up_as_not_stored_and_others_go_on() {
    let shop = Shop::open(&[("KAFKA_DELIVERY_TIMEOUT", "900ms")]).await;
    shop.broker.set(Mode::Hold);
    let first = shop.start_buying("user_1");
    shop.until_held(1).await;
    let behind = shop.start_buying("user_1");
    shop.broker.set(Mode::Confirm);
    assert_eq!(shop.buy("user_2").await.status, 201, "another partition");
    let problem = behind
        .await
        .unwrap()
        .assert_problem(503, "kafka-unavailable");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("This attempt stored nothing."), "{detail}");
    assert!(!first.is_finished(), "of the first, nobody knows yet");
    shop.broker.release();
    assert_eq!(first.await.unwrap().status, 201);
    assert_eq!(shop.broker.records().len(), 2);
    shop.close().await.unwrap();
}

#[tokio::test]
async fn what_waits_behind_a_request_goes_with_the_next_and_in_its_order() {
    let shop = Shop::open(&[]).await;
    shop.broker.set(Mode::Hold);
    let first = shop.start_buying("user_1");
    shop.until_held(1).await;
    let behind: Vec<_> = (0..10).map(|_| shop.start_buying("user_1")).collect();
    shop.broker.release();
    assert_eq!(first.await.unwrap().status, 201);
    for answer in behind {
        assert_eq!(answer.await.unwrap().status, 201);
    }
    assert_eq!(shop.broker.records().len(), 11);
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_producer_that_fails_for_good_is_replaced_and_its_purchases_are_answered() {
    let shop = Shop::open(&[]).await;
    shop.broker.set(Mode::Hold);
    let waiting = shop.start_buying("user_1");
    shop.until_held(1).await;
    shop.broker
        .report(BrokerReport::Fatal("sequence desynchronized".to_owned()));
    waiting
        .await
        .unwrap()
        .assert_problem(503, "outcome-unknown");

    shop.until("a new producer is open", || async {
        shop.broker.opened() == 2
    })
    .await;
    shop.broker.set(Mode::Confirm);
    shop.until("purchases are taken again", || async {
        shop.buy("user_1").await.status == 201
    })
    .await;
    assert_eq!(
        shop.get_admin("/readyz").await.status,
        200,
        "readiness does not flap"
    );
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_client_that_reaches_no_broker_is_replaced_though_nobody_buys() {
    let shop = Shop::open(&[("KAFKA_DELIVERY_TIMEOUT", "900ms")]).await;
    shop.broker.away(true);
    shop.broker.report(BrokerReport::Down("gone".to_owned()));
    for clients in 2..=3 {
        shop.until("another client tries, and another", || async {
            shop.broker.opened() >= clients
        })
        .await;
    }
    shop.broker.away(false);
    shop.until("purchases are taken again", || async {
        shop.buy("user_1").await.status == 201
    })
    .await;
    assert_eq!(shop.get_admin("/readyz").await.status, 200);
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_client_whose_broker_answers_is_kept_whatever_is_wrong_with_the_topic() {
    let shop = Shop::open(&[("KAFKA_DELIVERY_TIMEOUT", "900ms")]).await;
    shop.broker.finds_wrong("the topic does not exist");
    // It is asked from now on.
    shop.broker.report(BrokerReport::Down("lost".to_owned()));
    // Longer than a client has that no broker answers.
    let began = Instant::now();
    shop.until("it was asked often enough", || async {
        began.elapsed() > Duration::from_secs(5)
    })
    .await;
    assert_eq!(shop.broker.opened(), 1);
    shop.close().await.unwrap();
}

async fn says_that_no_client_can_be_made(shop: &Shop) {
    shop.until("it says why it is not ready", || async {
        let ready = shop.get_admin("/readyz").await;
        let why = String::from_utf8_lossy(&ready.body).into_owned();
        ready.status == 503
            && why.contains("no Kafka client can be made: ca.pem holds no certificate")
    })
    .await;
}

async fn sells_by_itself(shop: &Shop) {
    shop.until("it is ready by itself", || async {
        shop.get_admin("/readyz").await.status == 200
    })
    .await;
    assert_eq!(shop.buy("user_1").await.status, 201);
}

async fn restarts(shop: &Shop) -> u64 {
    let tree = shop.get_admin("/actors").await.json();
    let publish = tree["children"].as_array().unwrap();
    let publish = publish.iter().find(|child| child["id"] == "publish");
    publish.unwrap()["restarts"].as_u64().unwrap()
}

#[tokio::test]
async fn a_client_that_cannot_be_made_anew_is_waited_for_and_costs_no_restart() {
    let shop = Shop::open(&[("KAFKA_DELIVERY_TIMEOUT", "900ms")]).await;
    shop.broker.away(true);
    shop.broker.report(BrokerReport::Down("gone".to_owned()));
    // A file that somebody has just overwritten.
    shop.broker.spoilt(Some("ca.pem holds no certificate"));
    says_that_no_client_can_be_made(&shop).await;
    shop.buy("user_1")
        .await
        .assert_problem(503, "kafka-unavailable");
    shop.broker.away(false);
    shop.broker.spoilt(None);
    sells_by_itself(&shop).await;
    assert_eq!(restarts(&shop).await, 0);
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_client_that_cannot_be_made_after_one_that_failed_for_good_is_waited_for() {
    let shop = Shop::open(&[]).await;
    shop.broker.spoilt(Some("ca.pem holds no certificate"));
    let fatal = BrokerReport::Fatal("sequence desynchronized".to_owned());
    shop.broker.report(fatal);
    says_that_no_client_can_be_made(&shop).await;
    // Longer than restarts would take to be too many.
    let began = Instant::now();
    shop.until("it was tried often enough", || async {
        began.elapsed() > Duration::from_secs(3)
    })
    .await;
    shop.buy("user_1")
        .await
        .assert_problem(503, "kafka-unavailable");
    shop.broker.spoilt(None);
    sells_by_itself(&shop).await;
    assert_eq!(restarts(&shop).await, 1);
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_service_whose_client_cannot_be_made_at_first_begins_when_it_can() {
    let broker = MemoryBroker::default();
    broker.spoilt(Some("ca.pem holds no certificate"));
    let shop = Shop::open_on(broker, &[]).await;
    says_that_no_client_can_be_made(&shop).await;
    shop.broker.spoilt(None);
    sells_by_itself(&shop).await;
    shop.close().await.unwrap();
}

#[tokio::test]
async fn after_a_record_that_was_not_confirmed_in_time_another_client_takes_over() {
    let shop = Shop::open(&[("KAFKA_DELIVERY_TIMEOUT", "900ms")]).await;
    shop.broker.set(Mode::Hold);
    let under_way = shop.start_buying("user_1");
    shop.until_held(1).await;
    let behind = RefCell::new(Vec::new());
    shop.until("another client is open", || {
        behind.borrow_mut().push(shop.start_buying("user_1"));
        async { shop.broker.opened() == 2 }
    })
    .await;
    // Who waited behind it goes with the next client, and does not wait for the last one.
    shop.until("others are handed over", || async {
        shop.broker.held() > 1
    })
    .await;
    shop.broker.release();
    assert_eq!(under_way.await.unwrap().status, 201, "it is the log's word");
    let mut stored = 0;
    for answer in behind.into_inner() {
        let answer = answer.await.unwrap();
        stored += usize::from(answer.status == 201);
        if answer.status != 201 {
            answer.assert_problem(503, "kafka-unavailable");
        }
    }
    assert!(stored > 0, "nobody went with the next one");
    assert_eq!(shop.buy("user_2").await.status, 201);
    assert_eq!(restarts(&shop).await, 0);
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_missing_permission_is_waited_for_not_ready_and_costs_no_restart() {
    let shop = Shop::open(&[]).await;
    let barred = || BrokerReport::Barred("grant its user WRITE".to_owned());
    for producer in 1..=2 {
        shop.until("the next producer is open", || async {
            shop.broker.opened() == producer
        })
        .await;
        shop.broker.report(barred());
        shop.until("it says why it is not ready", || async {
            let ready = shop.get_admin("/readyz").await;
            ready.status == 503 && ready.body.starts_with(b"not ready: kafka (grant its user")
        })
        .await;
        let refused = shop.buy("user_1").await;
        refused.assert_problem(503, "kafka-unavailable");
    }
    sells_by_itself(&shop).await;
    assert_eq!(shop.broker.opened(), 3);
    assert_eq!(restarts(&shop).await, 0);
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_client_that_hangs_up_gives_its_credit_back_when_the_purchase_is_settled() {
    let shop = Shop::open(&[("INTAKE_MAX_PURCHASES", "1"), ("INTAKE_MAX_WAIT", "20ms")]).await;
    shop.broker.set(Mode::Hold);
    let gone = shop.start_buying("user_1");
    shop.until_held(1).await;
    gone.abort();
    shop.buy("user_2").await.assert_problem(503, "overloaded");
    shop.broker.release();
    assert_eq!(shop.buy("user_2").await.status, 201);
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_tree_that_keeps_failing_ends_the_service_with_a_failure() {
    let shop = Shop::open(&[]).await;
    let broker = shop.broker.clone();
    let failing = tokio::spawn(async move {
        loop {
            broker.report(BrokerReport::Fatal("again".to_owned()));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let failure = shop.ended().await.unwrap_err();
    failing.abort();
    assert_eq!(failure.code(), host::exit::Code::Software);
    assert!(failure.to_string().contains("again"), "{failure}");
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_remedy() {
    use producer_svc::app::{App, Surroundings};
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let env = std::collections::HashMap::from([("HTTP_ADDR".to_owned(), addr.clone())]);
    let (config, _) = producer_svc::config::SERVICE.configured(&env).unwrap();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let readiness = host::readiness::Readiness::new(shutdown.clone());
    let (_, metrics) = host::metrics::Metrics::detached().unwrap();
    let failure = App::build(
        config,
        Surroundings {
            shutdown,
            readiness,
            metrics,
            levels: host::levels::Levels::detached(),
            hangup: host::signal::Hangup::default(),
            tracer: host::span::Tracer::off(),
        },
    )
    .await
    .err()
    .unwrap();
    assert_eq!(failure.code(), host::exit::Code::Unavailable);
    assert!(
        failure.to_string().contains(&addr) && failure.to_string().contains("HTTP_ADDR"),
        "{failure}"
    );
}
