//! Two consumers, one leaving and coming back under load: all stored, each once.

use std::collections::HashSet;
use std::time::Duration;

use e2e::ground::Ground;
use e2e::invariants::Invariants;
use e2e::load::Load;
use e2e::service::{Plan, Service};
use e2e::shop::Shop;
use e2e::{check, records, until};

const PURCHASES: usize = 20_000;
const ROUNDS: usize = 6;
const SHARE: usize = PURCHASES / ROUNDS;
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_comes_and_goes_leaves_nothing_behind_and_repeats_nothing() {
    let shop = Shop::on(Ground::shared().await).await;
    let watch = Invariants::watch(&shop).await;
    // Nobody dies here, so nobody has to be found dead soon; longer sessions leave more time for
    // giving back.
    let patient = |plan: Plan| plan.env("KAFKA_SESSION_TIMEOUT", "20s");
    let (producer, stays) = (
        shop.producer().ready().await,
        patient(shop.consumer()).ready().await,
    );
    let visits = patient(shop.second_consumer());
    let load = Load {
        per_second: Some(1_500),
        allowed: 0,
        ..shop.load(PURCHASES)
    }
    .start();
    for round in 0..ROUNDS {
        // Half of the round's purchases arrive while the guest joins, half while it works and goes.
        load.allow(SHARE * round + SHARE / 2);
        let guest = visits.ready().await;
        let held =
            async |service: &Service| service.metric("purchases_partitions_assigned", &[]).await;
        until("both have partitions", PATIENCE, async || {
            let (mine, theirs) = tokio::join!(held(&stays), held(&guest));
            (mine >= 1.0 && theirs >= 1.0 && mine + theirs == 3.0).then_some(())
        })
        .await;
        load.allow(if round + 1 < ROUNDS {
            SHARE * (round + 1)
        } else {
            PURCHASES
        });
        until("the guest stores something", PATIENCE, async || {
            (guest
                .metric("purchases_records_total", &["outcome=\"stored\""])
                .await
                > 0.0)
                .then_some(())
        })
        .await;
        watch.look().await;
        let log = guest.drains(Duration::from_secs(30)).await;
        watch.look().await;
        let said = log
            .iter()
            .any(|line| line.contains("drained: everything read is settled and committed"));
        assert!(said, "the guest says what it drained: {log:#?}");
        until("all partitions are back", PATIENCE, async || {
            (held(&stays).await == 3.0).then_some(())
        })
        .await;
    }
    let attempts = load.finish(Duration::from_secs(120)).await;
    let accepted = check::all_accepted(&attempts);
    assert_eq!(accepted.len(), PURCHASES);
    shop.settles(PATIENCE).await;

    let (records, documents) = tokio::join!(shop.witness.records(), watch.hold(&stays));
    let ids: HashSet<&str> = accepted
        .iter()
        .map(|answer| answer.purchase_id.as_str())
        .collect();
    assert_eq!(records.len(), PURCHASES, "records in the topic");
    check::answers_are_in_the_topic(&accepted, &records);
    check::documents_are(&ids, &documents);
    check::documents_come_from_the_topic(&documents, &shop.witness.topic, &records);
    // Giving back is orderly: what was read is settled and committed before, so that the next
    // owner meets nothing twice; where there was no time for that, the log says how much is left.
    let left = left_behind(&shop);
    let repeated = stays
        .metric("purchases_records_total", &["outcome=\"known\""])
        .await;
    assert!(
        repeated <= left as f64,
        "{repeated} records were stored before they were read here, {left} were given back unsettled"
    );
    drop(producer);
}

/// How many records both consumers say that they gave back without having settled them.
fn left_behind(shop: &Shop) -> usize {
    let said = |name: &str| {
        let log = shop.log(name);
        let counts = log.lines().filter_map(|line| {
            let (_, rest) = line.split_once("given back with work left")?;
            let (_, number) = rest.split_once("unsettled=")?;
            number.split(' ').next()?.parse::<usize>().ok()
        });
        counts.sum::<usize>()
    };
    said("consumer") + said("second-consumer")
}

/// The classic protocol takes everything from everybody in each rebalance, and gives it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_classic_assignors_lose_nothing_in_a_rebalance_either() {
    tokio::join!(rebalanced_by("range"), rebalanced_by("roundrobin"));
}

async fn rebalanced_by(assignor: &str) {
    let shop = Shop::on(Ground::shared().await).await;
    let watch = Invariants::watch(&shop).await;
    let classic = |plan: Plan| plan.env("KAFKA_PARTITION_ASSIGNMENT_STRATEGY", assignor);
    let stays = classic(shop.consumer()).ready().await;
    let visits = classic(shop.second_consumer());
    let share = || (0..1_500).map(|number| records::good(number % 3)).collect();
    let held = async |service: &Service| service.metric("purchases_partitions_assigned", &[]).await;
    let (_, guest) = tokio::join!(shop.witness.write(share()), visits.ready());
    until("both have partitions", PATIENCE, async || {
        let (mine, theirs) = tokio::join!(held(&stays), held(&guest));
        (mine >= 1.0 && theirs >= 1.0 && mine + theirs == 3.0).then_some(())
    })
    .await;
    watch.look().await;
    let (_, _) = tokio::join!(
        shop.witness.write(share()),
        guest.drains(Duration::from_secs(30))
    );
    until("all partitions are back", PATIENCE, async || {
        (held(&stays).await == 3.0).then_some(())
    })
    .await;
    shop.witness.write(share()).await;
    shop.settles(PATIENCE).await;
    let (records, documents) = tokio::join!(shop.witness.records(), watch.hold(&stays));
    assert_eq!(
        (records.len(), documents.len()),
        (4_500, 4_500),
        "{assignor}"
    );
    check::documents_come_from_the_topic(&documents, &shop.witness.topic, &records);
}
