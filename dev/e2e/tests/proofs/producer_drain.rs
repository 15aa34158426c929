//! SIGTERM of the producer under load: whoever was let in gets an answer.

use std::collections::HashSet;
use std::time::Duration;

use devstack::process::Signal;
use e2e::check;
use e2e::ground::Ground;
use e2e::http::{self, Unanswered};
use e2e::load::{Load, Outcome};
use e2e::shop::Shop;
use e2e::{until, until_text};

/// The default of `DRAIN_TIMEOUT`.
const DRAIN: Duration = Duration::from_secs(25);
const CONNECTIONS: usize = 64;
/// A connection that was idle for longer than this may have been closed as an idle one, at the very
/// moment of the request; shorter than the server waits for one.
const BRIEF: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_that_is_told_to_end_answers_every_request_that_it_took() {
    let shop = Shop::on(Ground::shared().await).await;
    let producer = shop.producer().ready().await;
    // More than it can take before it is told to end.
    let running = Load {
        keyed: true,
        ..shop.load(500_000)
    }
    .start();
    until("3,000 purchases", Duration::from_secs(60), async || {
        (running.accepted() >= 3_000).then_some(())
    })
    .await;
    producer.signal(Signal::Term);
    let attempts = running.finish(DRAIN).await;
    assert_eq!(
        producer.exit_code(DRAIN).await,
        0,
        "{}",
        producer.process().log_tail(20)
    );

    let accepted = check::accepted(&attempts);
    for attempt in &attempts {
        match &attempt.outcome {
            Outcome::Accepted(answer) => {
                assert_eq!(answer.purchase_id, attempt.order.promised_id())
            }
            Outcome::Refused(refused) => {
                panic!("refused although the broker is there: {refused:?}")
            }
            Outcome::Unanswered {
                how: Unanswered::Silence(_),
                pause,
                kept: true,
            } => {
                assert!(
                    *pause > BRIEF,
                    "a request on a busy connection got no answer: {attempt:?}"
                );
            }
            Outcome::Unanswered { .. } => {}
        }
    }
    // Whatever a customer may have seen of the closing port: what is in the topic was answered,
    // and what was answered is in the topic.
    let records = shop.witness.records().await;
    check::answers_are_in_the_topic(&accepted, &records);
    let answered: HashSet<&str> = accepted
        .iter()
        .map(|answer| answer.purchase_id.as_str())
        .collect();
    let silent = records
        .iter()
        .find(|record| !answered.contains(record.header("purchase-id").unwrap_or_default()));
    assert!(
        silent.is_none(),
        "in the topic without an answer: {silent:?}"
    );
    assert_eq!(records.len(), accepted.len());

    let log = producer.process().log_lines().read();
    let drained = log
        .iter()
        .find(|line| line.contains("drained: every accepted request has its answer"));
    let drained = drained.unwrap_or_else(|| panic!("no word about the drain in {log:#?}"));
    let open = format!("{CONNECTIONS} open at shutdown");
    assert!(
        drained.contains(&open) && drained.contains(" 0 cut"),
        "{drained}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purchases_under_way_when_the_end_is_called_are_waited_for() {
    let shop = Shop::on(Ground::own().await).await;
    let producer = shop.producer().ready().await;
    let broker = shop.ground.broker(0);
    broker.freeze().expect("the broker is ours");
    let running = shop.load(CONNECTIONS).start();
    until_text(
        "every purchase is under way",
        Duration::from_secs(10),
        async || {
            let pending = producer
                .metric("purchases_http_requests_pending", &[])
                .await;
            if pending == CONNECTIONS as f64 {
                Ok(())
            } else {
                Err(format!("{pending} pending"))
            }
        },
    )
    .await;
    producer.signal(Signal::Term);
    let patience = Duration::from_secs(5);
    until("not ready", patience, async || {
        (producer.admin("/readyz").await.status == 503).then_some(())
    })
    .await;
    until("the port is closed", patience, async || {
        matches!(
            http::get(producer.http(), "/").await,
            Err(Unanswered::NotConnected(_))
        )
        .then_some(())
    })
    .await;
    assert_eq!(
        running.accepted() + running.refused(),
        0,
        "nothing was answered while the broker stood still"
    );
    assert_eq!(
        producer.admin("/livez").await.status,
        200,
        "alive while it drains"
    );
    broker.thaw().expect("the broker is ours");

    let attempts = running.finish(DRAIN).await;
    let accepted = check::all_accepted(&attempts);
    assert_eq!(accepted.len(), CONNECTIONS);
    assert_eq!(
        producer.exit_code(DRAIN).await,
        0,
        "{}",
        producer.process().log_tail(20)
    );
    check::answers_are_in_the_topic(&accepted, &shop.witness.records().await);
    let log = producer.process().log_lines().read().join("\n");
    // Whoever looked whether the port is closed may have slipped in, idle.
    let said = format!(
        " open at shutdown ({CONNECTIONS} busy), 0 with an answer that was not taken, 0 cut"
    );
    assert!(log.contains(&said), "{said:?} in {log}");
}
