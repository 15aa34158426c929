//! A database that stands alone, as the default address and the official image give it: without a
//! replica set there is no linearizable read, and everything is stored and counted all the same.

use std::time::Duration;

use bson::{Bson, doc};
use devstack::Stack;
use e2e::ground::Ground;
use e2e::invariants::Invariants;
use e2e::records::good_for;
use e2e::shop::Shop;
use e2e::topic::NewRecord;
use mongodb::{Client, Database};

const PATIENCE: Duration = Duration::from_secs(60);

fn events(count: i32) -> Vec<NewRecord> {
    let one = |number: i32| good_for(number % 3, &format!("user-{}", number % 70));
    (0..count).map(one).collect()
}

/// What this database refuses by itself, or is told to: as MongoDB does it, with code 123. It is
/// told so of every search, so that nothing is known until it is healed but what is read by writing.
async fn knows_no_set(admin: &Database, mode: Bson) {
    let data = doc! { "failCommands": ["find"], "appName": "consumer-svc", "errorCode": 123 };
    let fail = doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data };
    admin.run_command(fail).await.expect("it knows failures");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standalone_database_stores_and_counts_everything_over_restarts() {
    let built = Stack::builder().own().standalone();
    let built = built.broker_properties([("group.min.session.timeout.ms", "1000")]);
    let stack = built.start().await.expect("a stack");
    let shop = Shop::on(Ground::Own(Box::new(stack))).await;
    let client = Client::with_uri_str(shop.ground.database_uri()).await;
    let admin = client.expect("an address").database("admin");
    let hello = admin.run_command(doc! { "hello": 1 }).await;
    let hello = hello.expect("it greets");
    assert!(!hello.contains_key("setName"), "it is in a set: {hello}");
    let watch = Invariants::watch(&shop).await;
    knows_no_set(&admin, "alwaysOn".into()).await;
    // The second finds statistics to go on from.
    for _ in 0..2 {
        let consumer = shop.consumer().ready().await;
        shop.witness.write(events(300)).await;
        shop.settles(PATIENCE).await;
        consumer.drains(PATIENCE).await;
        watch.look().await;
    }
    knows_no_set(&admin, "off".into()).await;
    let consumer = shop.consumer().ready().await;
    assert_eq!(watch.adds_up(&consumer).await.len(), 600);
}
