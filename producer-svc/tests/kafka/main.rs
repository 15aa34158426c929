//! The Kafka log against librdkafka's own mock cluster: delivery reports and the broker's errors, which
//! a healthy broker does not give on command. What a real broker does is tested end to end elsewhere.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

use std::collections::{BTreeSet, HashMap};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actors::{Cost, Credits};
use bytes::Bytes;
use producer_svc::config::{KafkaConfig, SERVICE};
use producer_svc::flow::{BrokerReport, Ticket, Unsold, Verdict};
use producer_svc::metrics::Metrics;
use producer_svc::publish::kafka::KafkaLog;
use producer_svc::publish::{Addressed, InFlight, RecordLog, Unwritable};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::task::JoinHandle;

const TOPIC: &str = "purchases";
const PATIENCE: Duration = Duration::from_secs(15);

type Mock = MockCluster<'static, DefaultProducerContext>;

fn cluster() -> Mock {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 3, 1).unwrap();
    cluster
}

fn config(cluster: &Mock, vars: &[(&str, &str)]) -> KafkaConfig {
    let mut env = HashMap::from([(
        "KAFKA_BOOTSTRAP_SERVERS".to_owned(),
        cluster.bootstrap_servers(),
    )]);
    env.extend(
        vars.iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned())),
    );
    SERVICE.configured(&env).unwrap().0.kafka
}

/// A log, what it reports about itself, and what becomes of the records given to it.
struct Desk {
    log: Arc<KafkaLog>,
    reports: Receiver<BrokerReport>,
    credits: Credits,
}

impl Desk {
    fn open(config: &KafkaConfig) -> Self {
        let (to, reports) = channel();
        let to = Mutex::new(to);
        let log = KafkaLog::open(
            config,
            Box::new(move |report| drop(to.lock().unwrap().send(report))),
            Arc::new(Metrics::new()),
        )
        .unwrap();
        Self {
            log: Arc::new(log),
            reports,
            credits: Credits::new(
                "test",
                Cost {
                    count: 1000,
                    bytes: 1000,
                },
            ),
        }
    }

    fn send(&self, key: &str) -> JoinHandle<Verdict> {
        let permit = self.credits.try_take(Cost { count: 1, bytes: 1 }).unwrap();
        let (ticket, verdict) = Ticket::new(permit, Instant::now());
        let value = Bytes::from(format!("value of {key}"));
        let record = InFlight::new(ticket, value.clone(), Arc::new(Metrics::new()));
        let to = Addressed {
            key,
            headers: &[
                ("a", b"1"),
                ("b", b"2"),
                ("c", b"3"),
                ("d", b"4"),
                ("e", b"5"),
            ],
            value: &value,
        };
        if let Err((why, record)) = self.log.append(&to, Box::new(record)) {
            record.not_stored(why);
        }
        tokio::spawn(verdict)
    }

    async fn until_reached(&self) {
        until("the broker is reached", || {
            let log = Arc::clone(&self.log);
            async move {
                tokio::task::spawn_blocking(move || log.probe().is_ok())
                    .await
                    .unwrap()
            }
        })
        .await;
    }
}

async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "in vain: {what}");
    }
}

async fn verdict(waiting: JoinHandle<Verdict>) -> Verdict {
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("a verdict in time")
        .unwrap()
}

#[tokio::test]
async fn every_record_is_reported_with_a_place_of_its_own() {
    let cluster = cluster();
    let desk = Desk::open(&config(&cluster, &[]));
    let waiting: Vec<_> = (0..300).map(|n| desk.send(&format!("user_{n}"))).collect();
    let mut places = BTreeSet::new();
    for one in waiting {
        let stored = verdict(one).await.unwrap();
        assert!(places.insert((stored.partition, stored.offset.unwrap())));
    }
    for partition in 0..3 {
        let offsets: Vec<_> = places
            .iter()
            .filter(|place| place.0 == partition)
            .map(|place| place.1)
            .collect();
        assert!(!offsets.is_empty(), "keys spread over partitions");
        assert_eq!(
            offsets,
            (0..offsets.len() as i64).collect::<Vec<_>>(),
            "partition {partition} has no gap"
        );
    }
    assert_eq!(desk.credits.in_use(), Cost::default());
}

#[tokio::test]
async fn every_record_goes_to_the_partition_that_its_lane_says_and_the_java_client_chooses() {
    let cluster = cluster();
    let desk = Desk::open(&config(&cluster, &[]));
    desk.until_reached().await;
    let users: Vec<_> = (0..100).map(|n| format!("user_{n}")).collect();
    let waiting: Vec<_> = users.iter().map(|user| desk.send(user)).collect();
    for (user, one) in users.iter().zip(waiting) {
        assert_eq!(
            verdict(one).await.unwrap().partition as usize,
            desk.log.lane(user),
            "{user}"
        );
    }
    // By the Java client's own hash of this key, -790332482, without its sign.
    assert_eq!(
        desk.log.lane("foobar"),
        (-790_332_482_i32 & i32::MAX) as usize % 3
    );
}

#[tokio::test]
async fn a_broker_that_is_away_is_noticed_and_its_return_too() {
    let cluster = cluster();
    cluster.broker_down(-1).unwrap();
    let desk = Desk::open(&config(&cluster, &[]));
    let log = Arc::clone(&desk.log);
    let probed = tokio::task::spawn_blocking(move || log.probe()).await;
    let Err(Unwritable::Unanswered(why)) = probed.unwrap() else {
        panic!("nobody is there to answer");
    };
    assert!(
        why.contains(&cluster.bootstrap_servers()) && why.contains("KAFKA_BOOTSTRAP_SERVERS"),
        "{why}"
    );
    let reports = &desk.reports;
    until("it is reported", || async {
        reports
            .try_iter()
            .any(|report| matches!(report, BrokerReport::Down(_)))
    })
    .await;
    cluster.broker_up(-1).unwrap();
    desk.until_reached().await;
    assert!(verdict(desk.send("user_1")).await.is_ok());
}

#[tokio::test]
async fn a_missing_topic_is_named_with_its_remedy() {
    let cluster = cluster();
    cluster
        .topic_error(
            "missing",
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
        )
        .unwrap();
    let desk = Desk::open(&config(&cluster, &[("KAFKA_TOPIC", "missing")]));
    let log = Arc::clone(&desk.log);
    let probed = tokio::task::spawn_blocking(move || log.probe()).await;
    let Err(Unwritable::Told(why)) = probed.unwrap() else {
        panic!("the broker answers, and that it is missing");
    };
    assert!(
        why.contains("`missing`") && why.contains("KAFKA_TOPIC") && why.contains("create it"),
        "{why}"
    );
}

#[tokio::test]
async fn a_record_waits_for_its_broker_until_it_is_given_up_and_no_other_is_numbered_anew() {
    let cluster = cluster();
    let vars = [("KAFKA_DELIVERY_TIMEOUT", "1s")];
    let desk = Desk::open(&config(&cluster, &vars));
    desk.until_reached().await;
    cluster.broker_down(-1).unwrap();
    let begun = Instant::now();
    let waiting = desk.send("user_1");
    let probed = tokio::task::spawn_blocking({
        let log = Arc::clone(&desk.log);
        // Longer than a delivery may take, and than the library takes to notice.
        move || while begun.elapsed() < Duration::from_millis(2_500) && log.probe().is_err() {}
    });
    probed.await.unwrap();
    assert!(!waiting.is_finished(), "the library gave it up by itself");
    cluster.broker_up(-1).unwrap();
    assert!(verdict(waiting).await.is_ok());

    type End = fn(&KafkaLog, Duration) -> usize;
    let ends: [End; 2] = [KafkaLog::flush, KafkaLog::retire];
    for end in ends {
        let desk = Desk::open(&config(&cluster, &vars));
        desk.until_reached().await;
        assert!(verdict(desk.send("user_1")).await.is_ok());
        cluster
            .broker_round_trip_time(-1, Duration::from_secs(60))
            .unwrap();
        let waiting = desk.send("user_1");
        let log = Arc::clone(&desk.log);
        let ended = move || end(&log, Duration::from_millis(50));
        assert_eq!(tokio::task::spawn_blocking(ended).await.unwrap(), 0);
        assert!(matches!(verdict(waiting).await, Err(Unsold::Unknown(_))));
        assert_eq!(desk.credits.in_use(), Cost::default());
        cluster.broker_round_trip_time(-1, Duration::ZERO).unwrap();
    }
}

#[tokio::test]
async fn a_passing_error_of_the_broker_is_retried_without_a_trace() {
    let cluster = cluster();
    let desk = Desk::open(&config(&cluster, &[]));
    desk.until_reached().await;
    let errors = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        // What a broker says whose disk is full or broken.
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
    ];
    cluster.request_errors(RDKafkaApiKey::Produce, &errors);
    let stored = verdict(desk.send("user_1")).await.unwrap();
    assert!(stored.offset.is_some());
}

#[tokio::test]
async fn a_record_that_the_broker_finds_too_large_is_certainly_not_stored() {
    let cluster = cluster();
    let desk = Desk::open(&config(&cluster, &[]));
    desk.until_reached().await;
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE],
    );
    assert!(matches!(
        verdict(desk.send("user_1")).await,
        Err(Unsold::NotStored(_))
    ));
    assert!(
        verdict(desk.send("user_1")).await.is_ok(),
        "its neighbours are not touched"
    );
}

#[tokio::test]
async fn a_resend_that_the_broker_recognises_is_stored_without_a_made_up_offset() {
    let cluster = cluster();
    // Long enough for all records to share one batch, which is what the library numbers wrongly.
    let desk = Desk::open(&config(&cluster, &[("KAFKA_LINGER", "300ms")]));
    desk.until_reached().await;
    for _ in 0..5 {
        assert!(verdict(desk.send("user_1")).await.unwrap().offset.is_some());
    }
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER],
    );
    let batch: Vec<_> = (0..10).map(|_| desk.send("user_1")).collect();
    for one in batch {
        assert_eq!(verdict(one).await.unwrap().offset, None);
    }
}

#[tokio::test]
async fn a_producer_that_lost_its_sequence_reports_that_it_must_be_replaced() {
    let cluster = cluster();
    let desk = Desk::open(&config(&cluster, &[]));
    desk.until_reached().await;
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER],
    );
    assert!(matches!(
        verdict(desk.send("user_1")).await,
        Err(Unsold::Unknown(_))
    ));
    let report = desk.reports.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(report, BrokerReport::Fatal(_)), "{report:?}");
    assert!(
        matches!(
            verdict(desk.send("user_1")).await,
            Err(Unsold::NotStored(_))
        ),
        "it takes nothing any more"
    );
}

#[tokio::test]
async fn a_producer_that_lacks_a_permission_is_barred_and_another_one_is_let_in_later() {
    let cluster = cluster();
    cluster.request_errors(
        RDKafkaApiKey::InitProducerId,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED],
    );
    let config = config(&cluster, &[]);
    let desk = Desk::open(&config);
    let report = desk.reports.recv_timeout(PATIENCE).unwrap();
    let BrokerReport::Barred(why) = report else {
        panic!("{report:?}");
    };
    assert!(
        why.contains("KAFKA_TOPIC") && why.contains("Cluster authorization failed"),
        "{why}"
    );
    let log = Arc::clone(&desk.log);
    let probed = tokio::task::spawn_blocking(move || log.probe()).await;
    assert!(probed.unwrap().is_err(), "it is there and of no use");
    drop(desk);
    let desk = Desk::open(&config);
    desk.until_reached().await;
    assert!(verdict(desk.send("user_1")).await.is_ok());
}

#[tokio::test]
async fn a_dropped_producer_answers_for_what_it_still_held() {
    let cluster = cluster();
    let desk = Desk::open(&config(&cluster, &[]));
    desk.until_reached().await;
    cluster.broker_down(-1).unwrap();
    let waiting: Vec<_> = (0..20).map(|n| desk.send(&format!("user_{n}"))).collect();
    drop(desk);
    for one in waiting {
        assert!(matches!(verdict(one).await, Err(Unsold::Unknown(_))));
    }
}

#[tokio::test]
async fn a_flush_waits_for_every_report() {
    let cluster = cluster();
    let desk = Desk::open(&config(&cluster, &[]));
    desk.until_reached().await;
    let (begun, late) = (Instant::now(), Duration::from_millis(300));
    cluster.broker_round_trip_time(-1, late).unwrap();
    let waiting: Vec<_> = (0..20).map(|n| desk.send(&format!("user_{n}"))).collect();
    let log = Arc::clone(&desk.log);
    let flush = tokio::task::spawn_blocking(move || log.flush(PATIENCE));
    assert_eq!(flush.await.unwrap(), 0);
    assert!(begun.elapsed() >= late, "it did not wait");
    for one in waiting {
        assert!(verdict(one).await.is_ok());
    }
}
