//! The topic is deleted under load, or takes smaller records than a purchase may be: what is told
//! about each purchase is true all the same.

use std::collections::HashSet;
use std::time::Duration;

use e2e::ground::Ground;
use e2e::load::{Load, Order, Outcome};
use e2e::shop::Shop;
use e2e::{check, until};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_deleted_under_load_is_named_and_sold_to_again_once_it_is_there() {
    let shop = Shop::on(Ground::shared().await).await;
    let plan = shop
        .producer()
        .env("KAFKA_DELIVERY_TIMEOUT", "2s")
        // The client's own default is to wait for a new topic for 30 s.
        .env("KAFKA_CLIENT_TOPIC_METADATA_PROPAGATION_MAX_MS", "1000");
    let load = Load {
        keyed: true,
        per_second: Some(500),
        ..shop.load(100_000)
    };
    let producer = plan.ready().await;
    let running = load.clone().start();
    let sells = async |more: usize| {
        let goal = running.accepted() + more;
        until(&format!("{goal} purchases"), PATIENCE, async || {
            (running.accepted() >= goal).then_some(())
        })
        .await;
    };
    sells(500).await;
    shop.witness.delete_topic().await;
    let told = producer
        .process()
        .wait_for_log("does not exist", PATIENCE)
        .await;
    let told = told.expect("it says what is missing");
    assert!(told.contains(&shop.witness.topic), "{told}");
    let refuses = async |more: usize| {
        let goal = running.refused() + more;
        until(&format!("{goal} refusals"), PATIENCE, async || {
            (running.refused() >= goal).then_some(())
        })
        .await;
    };
    // By then whatever was confirmed before the topic went has its answer.
    refuses(100).await;
    let sold = running.accepted();
    refuses(100).await;
    assert_eq!(running.accepted(), sold, "sold, and there is no topic");
    // What is begun from here on cannot be in the topic that is gone.
    let begun = running.begun();
    let made = shop.ground.create_topic(&shop.witness.topic, 3).await;
    made.expect("the topic is made anew");
    sells(500).await;
    let attempts = running.stop(PATIENCE).await;

    let later: HashSet<Order> = (begun..100_000).map(|number| load.order(number)).collect();
    let (later, earlier): (Vec<_>, Vec<_>) = attempts
        .into_iter()
        .partition(|attempt| later.contains(&attempt.order));
    let records = shop.witness.records().await;
    check::answers_are_in_the_topic(&check::accepted(&later), &records);
    check::no_purchase_is_repeated(&records);
    let refusals = check::refusals_are_honest(&later, &records);
    let lost = check::refusals_are_honest(&earlier, &records);
    let retried = load.until_accepted_there(&refusals.and(lost)).await;
    let records = shop.witness.records().await;
    check::answers_are_in_the_topic(&check::accepted(&retried), &records);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purchase_too_large_for_the_topic_is_refused_alone() {
    let shop = Shop::without_topics(Ground::shared().await).await;
    let small = [("max.message.bytes", "1200")];
    let made = shop
        .ground
        .create_topic_with(&shop.witness.topic, 3, &small);
    made.await.expect("the topic is made");
    // Several share a request, of which the client by itself makes far larger ones.
    let producer = shop.producer().ready().await;
    let load = Load {
        keyed: true,
        ..shop.load(4_000)
    };
    // As long as names may be, of characters that take four bytes each.
    let long = "\u{1F6D2}".repeat(90);
    let is_large = |order: &Order| order.username == long;
    let orders = (0..load.orders).map(|number| match load.order(number) {
        order if number % 20 == 0 => Order {
            username: long.clone(),
            user_id: format!("{}{}", "\u{1F6D2}".repeat(80), number),
            ..order
        },
        order => order,
    });
    let attempts = load.resend(orders.collect()).finish(PATIENCE).await;
    let records = shop.witness.records().await;
    check::answers_are_in_the_topic(&check::accepted(&attempts), &records);
    check::no_purchase_is_repeated(&records);
    let refusals = check::refusals_are_honest(&attempts, &records);
    assert_eq!(
        refusals.unknown.len(),
        0,
        "it is known that they are not stored"
    );
    for attempt in &attempts {
        let refused = matches!(attempt.outcome, Outcome::Refused(_));
        assert_eq!(refused, is_large(&attempt.order), "{attempt:?}");
    }
    assert_eq!(refusals.not_stored.len(), load.orders / 20);
    assert_eq!(producer.metric("actors_restarts_total", &[]).await, 0.0);
}
