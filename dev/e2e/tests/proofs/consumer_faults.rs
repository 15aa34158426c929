//! A consumer that is frozen, cut off, killed at the worst moment, or one of many that come and go:
//! partitions move, and no offset is ever committed by who does not own it any more.

use std::time::Duration;

use devstack::Fault;
use devstack::process::Signal;
use e2e::failing::limit_files;
use e2e::ground::Ground;
use e2e::invariants::Invariants;
use e2e::load::{Load, Running};
use e2e::records::good_for;
use e2e::service::Service;
use e2e::shop::Shop;
use e2e::topic::NewRecord;
use e2e::{check, until, until_text};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);

fn events(count: i32) -> Vec<NewRecord> {
    let one = |number: i32| good_for(number % 3, &format!("user-{}", number % 700));
    (0..count).map(one).collect()
}

async fn held(service: &Service) -> f64 {
    service.metric("purchases_partitions_assigned", &[]).await
}

async fn holds_all(service: &Service) {
    until("it has every partition", PATIENCE, async || {
        (held(service).await == 3.0).then_some(())
    })
    .await;
}

async fn stored(shop: &Shop, goal: usize) {
    until(&format!("{goal} documents"), PATIENCE, async || {
        (shop.documents.count().await >= goal).then_some(())
    })
    .await;
}

/// While customers buy: so many documents more than there are now.
async fn stores(shop: &Shop, more: usize) {
    stored(shop, shop.documents.count().await + more).await;
}

fn steady(shop: &Shop, per_second: u32) -> Running {
    let load = Load {
        per_second: Some(per_second),
        ..shop.load(100_000)
    };
    load.start()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_froze_commits_nothing_of_what_others_own_now() {
    let shop = Shop::on(Ground::shared().await).await;
    let watch = Invariants::watch(&shop).await;
    let (producer, freezes) = shop.open().await;
    let running = steady(&shop, 600);
    stores(&shop, 600).await;
    freezes.signal(Signal::Stop);
    // Its session ends; what it had read and written stays with it, uncommitted.
    let follows = shop.second_consumer().ready().await;
    holds_all(&follows).await;
    stores(&shop, 600).await;
    watch.look().await;
    freezes.signal(Signal::Cont);
    until("both have partitions", PATIENCE, async || {
        let (one, other) = tokio::join!(held(&freezes), held(&follows));
        (one >= 1.0 && other >= 1.0 && one + other == 3.0).then_some(())
    })
    .await;
    stores(&shop, 600).await;
    let accepted = running.stop(PATIENCE).await;
    let documents = watch.adds_up(&freezes).await;
    assert_eq!(documents.len(), check::all_accepted(&accepted).len());
    drop((producer, follows));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_is_cut_off_from_the_brokers_comes_back_by_itself() {
    let shop = Shop::on(Ground::cluster().await).await;
    let watch = Invariants::watch(&shop).await;
    let consumer = shop.consumer().ready().await;
    shop.witness.write(events(3_000)).await;
    stored(&shop, 300).await;
    let all = |fault| {
        let brokers = 0..shop.ground.brokers();
        brokers.for_each(|index| shop.ground.broker_proxy(index).set(fault));
    };
    let faults = [Fault::Blackhole, Fault::Reset, Fault::Refuse];
    for (fault, goal) in faults.into_iter().zip([3_900, 4_800, 5_700]) {
        all(fault);
        // Longer than its session, after which the group has forgotten it.
        let since = Instant::now();
        until("its session is over", PATIENCE, async || {
            (since.elapsed() > shop.ground.session() * 2).then_some(())
        })
        .await;
        assert_eq!(consumer.admin("/livez").await.status, 200);
        all(Fault::None);
        shop.witness.write(events(900)).await;
        stored(&shop, goal).await;
        watch.look().await;
    }
    assert_eq!(watch.adds_up(&consumer).await.len(), 5_700);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_and_not_committed_is_read_again_and_neither_stored_nor_counted_twice() {
    let shop = Shop::on(Ground::shared().await).await;
    let watch = Invariants::watch(&shop).await;
    // Stored within milliseconds, committed within a minute.
    let plan = shop.consumer().env("COMMIT_INTERVAL", "60s");
    let consumer = plan.ready().await;
    shop.witness.write(events(3_000)).await;
    stored(&shop, 3_000).await;
    let committed = shop.witness.committed().await;
    assert!(
        committed.values().all(|next| next.unwrap_or(0) == 0),
        "{committed:?}"
    );
    consumer.kill().await;
    watch.look().await;
    let consumer = shop.consumer().ready().await;
    assert_eq!(watch.adds_up(&consumer).await.len(), 3_000);
    let known = &["outcome=\"known\""][..];
    let known = consumer.metric("purchases_records_total", known).await;
    assert_eq!(known, 3_000.0, "read again");
}

/// With a name of its own a member that died has its partitions back as soon as it is back; without
/// one the group waits for the end of its session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_with_a_name_that_died_goes_on_at_once() {
    let shop = Shop::on(Ground::shared().await).await;
    let watch = Invariants::watch(&shop).await;
    let plan = shop
        .consumer()
        .env("KAFKA_SESSION_TIMEOUT", "45s")
        .env("KAFKA_GROUP_INSTANCE_ID", "consumer-0");
    let mut consumer = plan.ready().await;
    shop.witness.write(events(900)).await;
    stored(&shop, 900).await;
    for goal in [1_800, 2_700] {
        consumer.kill().await;
        shop.witness.write(events(900)).await;
        let since = Instant::now();
        consumer = plan.start();
        stored(&shop, goal).await;
        let took = since.elapsed();
        assert!(
            took < Duration::from_secs(15),
            "{took:?}, of a session of 45 s"
        );
    }
    consumer.becomes_ready().await;
    assert_eq!(watch.adds_up(&consumer).await.len(), 2_700);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_members_that_come_and_go_stops_nothing() {
    let shop = Shop::on(Ground::shared().await).await;
    let watch = Invariants::watch(&shop).await;
    let (producer, stays) = shop.open().await;
    let running = steady(&shop, 600);
    let guests = [shop.second_consumer(), shop.third_consumer()];
    for round in 0..8 {
        // Nobody waits for the group to come to rest: each comes while another goes.
        let guest = guests[round % 2].ready().await;
        stores(&shop, 300).await;
        if round % 4 == 3 {
            guest.kill().await;
        } else {
            guest.drains(Duration::from_secs(30)).await;
        }
        watch.look().await;
    }
    let accepted = running.stop(PATIENCE).await;
    holds_all(&stays).await;
    let documents = watch.adds_up(&stays).await;
    assert_eq!(documents.len(), check::all_accepted(&accepted).len());
    drop(producer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_are_added_are_read_from_their_beginning() {
    let shop = Shop::on(Ground::shared().await).await;
    let watch = Invariants::watch(&shop).await;
    // The client looks for new ones every half minute, if it is not told otherwise.
    let often = "KAFKA_CLIENT_TOPIC_METADATA_REFRESH_INTERVAL_MS";
    let consumer = shop.consumer().env(often, "1000").ready().await;
    shop.witness.write(events(300)).await;
    stored(&shop, 300).await;
    shop.witness.add_partitions(5).await;
    // They hold something before anybody reads them.
    let new = (0..200).map(|number| good_for(3 + number % 2, "late"));
    shop.witness.write(new.collect()).await;
    until("it has them all", PATIENCE, async || {
        (held(&consumer).await == 5.0).then_some(())
    })
    .await;
    assert_eq!(watch.adds_up(&consumer).await.len(), 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nothing_can_be_committed_all_is_stored_and_the_newest_offset_follows() {
    let shop = Shop::on(Ground::cluster().await).await;
    let watch = Invariants::watch(&shop).await;
    let plan = shop.consumer().env("KAFKA_SESSION_TIMEOUT", "30s");
    let consumer = plan.ready().await;
    shop.witness.write(events(300)).await;
    shop.settles(PATIENCE).await;
    // The backlog waits before the database while the brokers go.
    shop.ground.database_proxy().set(Fault::Blackhole);
    shop.witness.write(events(3_000)).await;
    until("the backlog is read", PATIENCE, async || {
        let ahead = consumer.metric("purchases_read_ahead_records", &[]).await;
        (ahead >= 3_000.0).then_some(())
    })
    .await;
    for gone in [2, 1] {
        shop.ground.broker(gone).kill().expect("it dies");
    }
    shop.ground.database_proxy().set(Fault::None);
    until("all is stored", PATIENCE, async || {
        (shop.documents.count().await == 3_300).then_some(())
    })
    .await;
    // The client holds a commit back for as long as a session before it gives it up.
    until_text("commits are refused", PATIENCE * 2, async || {
        let refused = &["result=\"refused\""][..];
        let refused = consumer.metric("purchases_commits_total", refused).await;
        (refused > 0.0)
            .then_some(())
            .ok_or(format!("{refused} refused"))
    })
    .await;
    // Who owns them and how far they are committed is the coordinator's to say: without one the lag is
    // either as it was or unknown, and never said to be none.
    until_text("the lag is told truly", PATIENCE, async || {
        let lag = consumer.metric("purchases_commit_lag_records", &[]).await;
        let known = consumer.metric("purchases_commit_lag_known", &[]).await;
        let told = known == 0.0 || lag == 3_000.0;
        told.then_some(())
            .ok_or(format!("{lag} behind, known of {known} partitions"))
    })
    .await;
    shop.ground.mend().await.expect("the brokers come back");
    assert_eq!(watch.adds_up(&consumer).await.len(), 3_300);
    let restarts = consumer.metric("actors_restarts_total", &[]).await;
    assert_eq!(restarts, 0.0, "{}", consumer.tree().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_in_the_drain_ends_it_and_loses_nothing() {
    let shop = Shop::on(Ground::cluster().await).await;
    let watch = Invariants::watch(&shop).await;
    let consumer = shop.consumer().ready().await;
    shop.witness.write(events(300)).await;
    stored(&shop, 300).await;
    shop.ground.database_proxy().set(Fault::Blackhole);
    shop.witness.write(events(3_000)).await;
    until("writes hang", PATIENCE, async || {
        let ahead = consumer.metric("purchases_read_ahead_records", &[]).await;
        (ahead >= 3_000.0).then_some(())
    })
    .await;
    consumer.signal(Signal::Term);
    until("it drains", PATIENCE, async || {
        (consumer.admin("/readyz").await.status == 503).then_some(())
    })
    .await;
    consumer.signal(Signal::Term);
    let code = consumer.exit_code(Duration::from_secs(5)).await;
    assert_eq!(code, 143, "{}", consumer.process().log_tail(20));
    watch.look().await;
    shop.ground.database_proxy().set(Fault::None);
    let consumer = shop.consumer().ready().await;
    assert_eq!(watch.adds_up(&consumer).await.len(), 3_300);
}

/// It can open no connection to a broker or the database, and loses those that it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_without_file_descriptors_waits_for_them_and_recovers() {
    let shop = Shop::on(Ground::cluster().await).await;
    let watch = Invariants::watch(&shop).await;
    let consumer = shop.consumer().ready().await;
    shop.witness.write(events(300)).await;
    shop.settles(PATIENCE).await;
    limit_files(consumer.pid(), 3);
    let proxies = || {
        let brokers = (0..shop.ground.brokers()).map(|index| shop.ground.broker_proxy(index));
        brokers.chain([shop.ground.database_proxy()])
    };
    proxies().for_each(|proxy| proxy.set(Fault::Reset));
    until("it says what it lacks", PATIENCE, async || {
        let log = shop.log("consumer");
        log.contains("Too many open files").then_some(())
    })
    .await;
    proxies().for_each(|proxy| proxy.set(Fault::None));
    shop.witness.write(events(900)).await;
    // Longer than its session: the group goes on without it, and nobody else is there.
    let since = Instant::now();
    until("its session is over", PATIENCE, async || {
        (since.elapsed() > shop.ground.session() * 2).then_some(())
    })
    .await;
    watch.look().await;
    assert_eq!(shop.documents.count().await, 300);
    assert!(consumer.process().is_running());
    limit_files(consumer.pid(), 1_024);
    stored(&shop, 1_200).await;
    consumer.becomes_ready().await;
    assert_eq!(watch.adds_up(&consumer).await.len(), 1_200);
}
