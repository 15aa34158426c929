//! Partitions that wait at their bound, and partitions that are stopped: the others go on, the
//! process says why, and nothing is skipped.

use std::time::Duration;

use devstack::process::Signal;
use e2e::ground::Ground;
use e2e::http;
use e2e::invariants::Invariants;
use e2e::memory::{MIB, resident};
use e2e::records::{bytes, good, good_for};
use e2e::service::Service;
use e2e::shop::Shop;
use e2e::topic::NewRecord;
use e2e::{until, until_text};

const PATIENCE: Duration = Duration::from_secs(60);
const AHEAD: usize = 1_000;
const BEHIND: usize = 30_000;

fn bad(partition: i32) -> NewRecord {
    NewRecord {
        partition,
        value: bytes("{"),
        ..NewRecord::default()
    }
}

/// `/readyz` says no, and why.
async fn not_ready(service: &Service, words: &[&str]) {
    until_text("it is not ready and says why", PATIENCE, async || {
        // It may not listen yet.
        let asked = http::get(service.admin_addr(), "/readyz").await;
        let answer = asked.map_err(|error| format!("{error:?}"))?;
        let text = answer.text();
        match answer.status == 503 && words.iter().all(|word| text.contains(word)) {
            true => Ok(()),
            false => Err(text),
        }
    })
    .await;
}

/// Where nothing may be read, nothing is committed.
async fn nothing_was_committed(watch: Invariants<'_>) {
    let seen = watch.end().await;
    assert!(seen.wrongs.is_empty(), "{}", seen.wrongs);
    assert_eq!(seen.commits, 0, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_waits_for_its_dead_letter_and_no_further_ahead_than_its_bound() {
    let shop = Shop::without_topics(Ground::shared().await).await;
    shop.ground
        .create_topic(&shop.witness.topic, 3)
        .await
        .expect("the topic is made");
    let watch = Invariants::watch(&shop).await;
    let plan = shop
        .consumer()
        .env("READ_AHEAD_MAX_RECORDS", AHEAD.to_string())
        // The client's own default is to wait for a new topic for 30 s.
        .env("KAFKA_CLIENT_TOPIC_METADATA_PROPAGATION_MAX_MS", "1000");
    let mut records = vec![good(0), bad(0)];
    records.extend((0..BEHIND).map(|_| good(0)));
    records.extend((0..100).flat_map(|_| [good(1), good(2)]));
    let total = records.len() - 1;
    shop.witness.write(records).await;
    let consumer = plan.ready().await;
    until("the other partitions are committed", PATIENCE, async || {
        let committed = shop.witness.committed().await;
        (committed[&1] == Some(100) && committed[&2] == Some(100)).then_some(())
    })
    .await;
    let told = consumer
        .process()
        .wait_for_log("dead letter not delivered", PATIENCE)
        .await;
    assert!(told.is_some(), "its failure is told");
    until("it reads to its bound", PATIENCE, async || {
        (shop.documents.count().await == AHEAD + 200).then_some(())
    })
    .await;
    // Nothing moves any more, memory neither; and the lag says how much is left.
    let before = resident(consumer.pid());
    let read = consumer.metric("purchases_records_read_total", &[]).await;
    let attempts = "purchases_consumer_errors_total";
    assert_eq!(consumer.metric(attempts, &[]).await, 0.0, "no reader fails");
    until_text("the lag is told", PATIENCE, async || {
        let partition = &["partition=\"0\""][..];
        let lag = consumer
            .metric("purchases_commit_lag_records", partition)
            .await;
        let ahead = consumer
            .metric("purchases_read_ahead_records", partition)
            .await;
        match lag == (BEHIND + 1) as f64 && ahead == AHEAD as f64 {
            true => Ok(()),
            false => Err(format!("lag {lag}, ahead {ahead}")),
        }
    })
    .await;
    assert_eq!(
        consumer.metric("purchases_records_read_total", &[]).await,
        read
    );
    assert!(resident(consumer.pid()) < before + 8 * MIB, "memory grows");
    assert_eq!(shop.witness.committed().await[&0], Some(1));
    watch.look().await;
    assert_eq!(consumer.admin("/readyz").await.status, 200);

    shop.ground
        .create_topic(&shop.dead_letters(), 1)
        .await
        .expect("the topic is made");
    shop.settles(PATIENCE).await;
    assert_eq!(shop.witness.records_of(&shop.dead_letters()).await.len(), 1);
    assert_eq!(watch.hold(&consumer).await.len(), total);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_poison_stops_its_partition_and_a_higher_limit_lets_it_go_on() {
    let shop = Shop::on(Ground::shared().await).await;
    let watch = Invariants::watch(&shop).await;
    let plan = shop.consumer().env("BAD_RUN_LIMIT", "20");
    let mut records: Vec<NewRecord> = (0..3).map(|_| good(0)).collect();
    records.extend((0..50).map(|_| bad(0)));
    records.extend([good(0), good(1), good(2)]);
    shop.witness.write(records).await;
    let consumer = plan.start();
    not_ready(
        &consumer,
        &[
            "partition 0 stopped",
            "20 bad records in a row",
            "offset 22",
        ],
    )
    .await;
    until(
        "what is good before and beside it is committed",
        PATIENCE,
        async || {
            let committed = shop.witness.committed().await;
            let ends = committed[&1] == Some(1) && committed[&2] == Some(1);
            (ends && committed[&0] == Some(22)).then_some(())
        },
    )
    .await;
    let letters = shop.witness.records_of(&shop.dead_letters()).await;
    assert_eq!(letters.len(), 19, "the twentieth stops it");
    let stopped = &["partition=\"0\""][..];
    let gauge = consumer
        .metric("purchases_partition_stopped", stopped)
        .await;
    assert_eq!(gauge, 1.0);
    // What comes later to the others is stored; a purchase is not held up by a neighbour.
    shop.witness.write(vec![good(1)]).await;
    until("the others go on", PATIENCE, async || {
        (shop.witness.committed().await[&1] == Some(2)).then_some(())
    })
    .await;
    assert_eq!(consumer.admin("/livez").await.status, 200);
    // While it is stopped, and once it goes on.
    watch.hold(&consumer).await;
    consumer.drains(PATIENCE).await;

    let watch = Invariants::watch(&shop).await;
    // The limit is a question to an operator; the answer is a higher one.
    let consumer = plan.env("BAD_RUN_LIMIT", "100").ready().await;
    shop.settles(PATIENCE).await;
    let letters = shop.witness.records_of(&shop.dead_letters()).await;
    let documents = watch.hold(&consumer).await;
    assert_eq!((letters.len(), documents.len()), (50, 7));
    assert_eq!(consumer.admin("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offset_outside_the_log_stops_the_partition_and_is_never_jumped_over() {
    let shop = Shop::on(Ground::shared().await).await;
    let written: Vec<NewRecord> = (0..30).map(|number| good(number % 3)).collect();
    shop.witness.write(written).await;
    // Before the start: as if the topic had been made anew under a group that was further.
    shop.witness.commit_everywhere(500).await;
    let watch = Invariants::watch(&shop).await;
    let consumer = shop.consumer().start();
    not_ready(&consumer, &["next offset is 500", "ends at 10"]).await;
    assert_eq!(shop.documents.count().await, 0);
    consumer.drains(PATIENCE).await;
    nothing_was_committed(watch).await;

    // And behind the beginning: what retention removed was never read, and somebody should know.
    shop.witness.commit_everywhere(2).await;
    shop.witness.remove_before(7).await;
    let watch = Invariants::watch(&shop).await;
    let consumer = shop.consumer().start();
    not_ready(&consumer, &["begins at 7", "5 records were removed"]).await;
    consumer.drains(PATIENCE).await;
    nothing_was_committed(watch).await;

    // An operator who has looked moves the group's offset.
    shop.witness.commit_everywhere(7).await;
    let watch = Invariants::watch(&shop).await;
    let consumer = shop.consumer().ready().await;
    shop.settles(PATIENCE).await;
    assert_eq!(watch.hold(&consumer).await.len(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_deleted_while_it_is_read_is_said_at_once_and_its_successor_is_not_mistaken_for_it()
{
    let shop = Shop::on(Ground::shared().await).await;
    shop.witness
        .write((0..30).map(|number| good(number % 3)).collect())
        .await;
    let watch = Invariants::watch(&shop).await;
    let consumer = shop.consumer().ready().await;
    shop.settles(PATIENCE).await;
    watch.hold(&consumer).await;
    shop.witness.delete_topic().await;
    not_ready(&consumer, &["does not exist"]).await;
    not_ready(&consumer, &["was deleted while it was read"]).await;
    assert!(consumer.process().is_running(), "it ends at nobody's call");
    let made = shop.ground.create_topic(&shop.witness.topic, 3).await;
    made.expect("the topic is made anew");
    shop.witness
        .write((0..9).map(|number| good_for(number % 3, "later")).collect())
        .await;
    // The same group goes on counting where it does not belong: that is not begun.
    consumer.kill().await;
    let watch = Invariants::watch(&shop).await;
    let consumer = shop.consumer().start();
    not_ready(&consumer, &["stopped", "the log ends at 3"]).await;
    assert_eq!(shop.documents.count().await, 30, "nothing of it was stored");
    nothing_was_committed(watch).await;
    drop(consumer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_made_anew_and_filled_again_is_not_taken_for_the_one_that_was_counted() {
    let shop = Shop::on(Ground::shared().await).await;
    let records = |count, user| (0..count).map(move |number| good_for(number % 3, user));
    shop.witness.write(records(30, "first").collect()).await;
    let watch = Invariants::watch(&shop).await;
    let consumer = shop.consumer().ready().await;
    shop.settles(PATIENCE).await;
    watch.hold(&consumer).await;
    consumer.drains(PATIENCE).await;

    // Offsets that expired say nothing of the log: it is known by its records, read again, and nothing
    // of it is counted twice.
    shop.witness.forget_group().await;
    let watch = Invariants::watch(&shop).await;
    let consumer = shop.consumer().ready().await;
    shop.settles(PATIENCE).await;
    let documents = watch.hold(&consumer).await;
    assert_eq!(documents.len(), 30, "nor is anything counted twice");
    consumer.drains(PATIENCE).await;

    shop.witness.delete_topic().await;
    let made = shop.ground.create_topic(&shop.witness.topic, 3).await;
    made.expect("the topic is made anew");
    shop.witness.write(records(90, "second").collect()).await;
    for committed in [None, Some(10)] {
        if let Some(offset) = committed {
            shop.witness.commit_everywhere(offset).await;
        }
        let watch = Invariants::watch(&shop).await;
        let consumer = shop.consumer().start();
        let words = ["stopped", "another record", "made anew", "KAFKA_TOPIC"];
        not_ready(&consumer, &words).await;
        assert_eq!(shop.documents.count().await, 30, "nothing of it was stored");
        consumer.drains(PATIENCE).await;
        nothing_was_committed(watch).await;
    }
}

/// Between two looks at the topic: to a consumer that did not run meanwhile, it was there all the time, has
/// the same name and more records than it had read. That it is another one shows in its records alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_made_anew_and_filled_again_between_two_looks_is_noticed_while_it_is_read()
{
    let shop = Shop::on(Ground::shared().await).await;
    let records = |count, user| (0..count).map(move |number| good_for(number % 3, user));
    shop.witness.write(records(30, "first").collect()).await;
    let plan = shop.consumer().env("KAFKA_SESSION_TIMEOUT", "30s");
    let watch = Invariants::watch(&shop).await;
    let consumer = plan.ready().await;
    shop.settles(PATIENCE).await;
    watch.hold(&consumer).await;
    let rebalances = consumer.metric("purchases_rebalances_total", &[]).await;
    consumer.signal(Signal::Stop);
    shop.witness.delete_topic().await;
    let made = shop.ground.create_topic(&shop.witness.topic, 3).await;
    made.expect("the topic is made anew");
    shop.witness.write(records(90, "second").collect()).await;
    let watch = Invariants::watch(&shop).await;
    consumer.signal(Signal::Cont);
    let words = ["stopped", "another record", "made anew", "KAFKA_TOPIC"];
    not_ready(&consumer, &words).await;
    let absent = shop.log("consumer").contains("does not exist");
    assert!(!absent, "it was never seen to be absent");
    let since = consumer.metric("purchases_rebalances_total", &[]).await;
    assert_eq!(rebalances, since, "nor was it assigned again");
    // And so it stays for whoever comes next.
    consumer.drains(PATIENCE).await;
    let consumer = plan.start();
    not_ready(&consumer, &words).await;
    // What stood beyond the old offset was read and stored until it was noticed, and so committed.
    let seen = watch.end().await;
    assert!(seen.wrongs.is_empty(), "{}", seen.wrongs);
    drop(consumer);
}
