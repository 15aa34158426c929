//! Too few replicas are left for what a 201 promises: then there is none, and a word about it.

use std::time::Duration;

use e2e::ground::Ground;
use e2e::shop::Shop;
use e2e::trial::Trial;
use e2e::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_enough_replicas_nothing_is_promised_and_sales_come_back_with_them() {
    let shop = Shop::on(Ground::cluster().await).await;
    let trial = Trial::begin(&shop, 500).await;
    let [stays, second, third] = [0, 1, 2].map(|index| shop.ground.broker(index));
    third.stop().await.expect("the broker stops");
    // What was on its way may have been too late; two of three are enough for the rest.
    trial.sells(500).await;

    second.stop().await.expect("the broker stops");
    let log = stays.log_path().expect("the broker is ours");
    let said = || std::fs::read_to_string(log).unwrap_or_default();
    until(
        "the broker has too few replicas",
        Duration::from_secs(30),
        async || said().contains("NotEnoughReplicas").then_some(()),
    )
    .await;
    trial.refuses(150).await;
    let sold = trial.running().accepted();
    trial.refuses(150).await;
    assert_eq!(trial.running().accepted(), sold, "a 201 of one replica");
    assert_eq!(trial.producer.admin("/livez").await.status, 200);

    shop.ground.mend().await.expect("the brokers come back");
    trial.sells(500).await;
    let told = trial.ends_well().await;
    assert!(told.unknown > 0, "{told:?}");
}
