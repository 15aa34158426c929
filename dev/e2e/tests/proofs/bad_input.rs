//! What is wrong around a service is said once, clearly, with the remedy; nothing is left running.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use e2e::ground::Ground;
use e2e::http;
use e2e::service::{Plan, Service};
use e2e::shop::Shop;
use e2e::{check, until};
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(60);
const USAGE: i32 = 64;
const UNAVAILABLE: i32 = 69;

/// Waits for its end and tells the exit code and all that it said. Its ports are free afterwards.
async fn ended(plan: &Plan, taken: Option<SocketAddr>) -> (i32, String) {
    let service: Service = plan.start();
    let code = service.exit_code(SOON).await;
    for port in [plan.http, plan.admin] {
        if Some(port) != taken {
            assert!(
                TcpStream::connect(port).is_err(),
                "something still listens on {port}"
            );
        }
    }
    (code, service.process().log_lines().read().join("\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_ends_the_service_with_one_clear_message() {
    let shop = Shop::without_topics(Ground::shared().await).await;
    for plan in [shop.producer(), shop.consumer()] {
        for (variable, port) in [("HTTP_ADDR", plan.http), ("ADMIN_ADDR", plan.admin)] {
            let squatter = TcpListener::bind(port).expect("the port is ours");
            let (code, said) = ended(&plan, Some(port)).await;
            assert_eq!(code, UNAVAILABLE, "{said}");
            let message: Vec<&str> = said
                .lines()
                .filter(|line| line.contains(&port.to_string()))
                .collect();
            assert_eq!(message.len(), 1, "one message in {said}");
            assert!(
                message[0].contains(variable) && message[0].contains("in use"),
                "{said}"
            );
            drop(squatter);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_variables_are_all_named_at_once() {
    let shop = Shop::without_topics(Ground::shared().await).await;
    let common = [
        ("HTTP_ADDR", "8000"),
        ("KAFKA_TOPIC", "two words"),
        ("DRAIN_TIMEOUT", "30"),
        ("LOG_FORMAT", "xml"),
    ];
    let of_producer = [
        ("CUSTOMER_MANAGEMENT_API_URL", "consumer:8001"),
        ("CATALOG_FILE", "/nonexistent/catalog.json"),
    ];
    let of_consumer = [
        ("MONGODB_URI", "postgres://user:hunter2@db"),
        ("KAFKA_MAX_POLL_RECORDS", "none"),
        ("KAFKA_CLIENT_GROUP_ID", "other"),
    ];
    for (plan, own) in [
        (shop.producer(), &of_producer[..]),
        (shop.consumer(), &of_consumer[..]),
    ] {
        let wrong: Vec<_> = common.iter().chain(own).collect();
        let plan = wrong
            .iter()
            .fold(plan, |plan, (name, value)| plan.env(name, value));
        for plan in [plan.clone(), plan.arg("check-config")] {
            let (code, said) = ended(&plan, None).await;
            assert_eq!(code, USAGE, "{said}");
            assert!(
                said.contains(&format!(
                    "{} errors in the configuration (see --help)",
                    wrong.len()
                )),
                "{said}"
            );
            for (name, _) in &wrong {
                let lines = said
                    .lines()
                    .filter(|line| line.trim_start().starts_with(&format!("{name}:")));
                assert_eq!(lines.count(), 1, "{name} is named once in {said}");
            }
            assert!(!said.contains("hunter2"), "a secret is told: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_comes_late_is_waited_for_without_a_restart() {
    let shop = Shop::on(Ground::own().await).await;
    let broker = shop.ground.broker(0);
    broker.stop().await.expect("the broker is ours");
    let (producer, consumer) = (shop.producer().start(), shop.consumer().start());
    for service in [&producer, &consumer] {
        is_up_but_not_ready(service).await;
    }
    let refused = http::post(
        producer.http(),
        "/buy",
        &json!({ "username": "a", "user_id": "a" }),
    )
    .await
    .expect("an answer");
    assert_eq!(
        (refused.status, refused.header("content-type")),
        (503, "application/problem+json"),
        "{}",
        refused.text()
    );
    assert_eq!(refused.json()["retryable"], true);
    for service in [&producer, &consumer] {
        let told = service
            .process()
            .wait_for_log("KAFKA_BOOTSTRAP_SERVERS", SOON)
            .await;
        assert!(
            told.is_some(),
            "no word about the broker:\n{}",
            service.process().log_tail(20)
        );
    }

    broker.restart().await.expect("the broker comes");
    for service in [&producer, &consumer] {
        service.becomes_ready().await;
        until("healthy", PATIENCE, async || {
            (service.get("/health").await.status == 200).then_some(())
        })
        .await;
    }
    let attempts = shop.load(100).start().finish(PATIENCE).await;
    check::all_accepted(&attempts);
    shop.settles(PATIENCE).await;
    assert_eq!(shop.documents.count().await, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_does_not_exist_is_named_and_waited_for() {
    let shop = Shop::without_topics(Ground::shared().await).await;
    let (producer, consumer) = (shop.producer().start(), shop.consumer().start());
    for service in [&producer, &consumer] {
        let told = service.process().wait_for_log("does not exist", SOON).await;
        let told = told.unwrap_or_else(|| {
            panic!(
                "no word about the topic:\n{}",
                service.process().log_tail(20)
            )
        });
        assert!(
            told.contains(&shop.witness.topic) && told.contains("KAFKA_TOPIC"),
            "{told}"
        );
        is_up_but_not_ready(service).await;
    }
    for (topic, partitions) in [(shop.witness.topic.clone(), 3), (shop.dead_letters(), 1)] {
        shop.ground
            .create_topic(&topic, partitions)
            .await
            .expect("the topic is made");
    }
    for service in [&producer, &consumer] {
        service.becomes_ready().await;
    }
    let attempts = shop.load(100).start().finish(PATIENCE).await;
    check::all_accepted(&attempts);
    shop.settles(PATIENCE).await;
    assert_eq!(shop.documents.count().await, 100);
}

/// Alive for those who restart, not ready for those who send work, unhealthy for those who look.
async fn is_up_but_not_ready(service: &Service) {
    until("it serves", SOON, async || {
        http::get(service.http(), "/").await.ok()
    })
    .await;
    assert_eq!(service.admin("/livez").await.status, 200);
    let ready = service.admin("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("kafka"), "{}", ready.text());
    let health = service.get("/health").await;
    assert_eq!(
        (health.status, &health.json()["kafka_connected"]),
        (503, &false.into()),
        "{}",
        health.text()
    );
    assert_eq!(health.json()["status"], "unhealthy");
}
