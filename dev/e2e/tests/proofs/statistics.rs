//! The statistics are what a recount of the collection finds, to the purchase and to the cent,
//! after consumers were killed and came and went, and whatever else was in the topic.

use std::time::Duration;

use e2e::ground::Ground;
use e2e::invariants::Invariants;
use e2e::load::Load;
use e2e::recount::{current, is_a_recount};
use e2e::service::Service;
use e2e::shop::Shop;
use e2e::topic::NewRecord;
use e2e::{check, until};
use serde_json::json;

const PURCHASES: usize = 12_000;
const USERS: usize = 3_000;
const DEATHS: usize = 6;
const SHARE: usize = PURCHASES / DEATHS;
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statistics_are_a_recount_of_the_collection_whatever_became_of_the_consumers() {
    let shop = Shop::on(Ground::shared().await).await;
    let watch = Invariants::watch(&shop).await;
    let (producer, mut consumer) = shop.open().await;
    let mut guest: Option<Service> = None;
    let load = Load {
        per_second: Some(1_500),
        allowed: 0,
        users: USERS,
        keyed: true,
        ..shop.load(PURCHASES)
    };
    let orders: Vec<_> = (0..500).map(|number| load.order(number)).collect();
    let running = load.clone().start();
    for death in 0..DEATHS {
        running.allow(SHARE * (death + 1));
        let goal = SHARE * death + SHARE / 2;
        until(
            &format!("{goal} documents before death {death}"),
            PATIENCE,
            async || (shop.documents.count().await >= goal).then_some(()),
        )
        .await;
        // One dies without a warning each time; every other time the guest comes or goes as well.
        match guest.take() {
            Some(service) if death % 4 == 1 => service.kill().await,
            Some(service) => drop(service.drains(Duration::from_secs(30)).await),
            None => guest = Some(shop.second_consumer().start()),
        }
        consumer.kill().await;
        watch.look().await;
        consumer = shop.consumer().start();
    }
    check::all_accepted(&running.finish(Duration::from_secs(120)).await);
    // Customers that did not hear the answer ask again: the same purchases, in other records.
    let again = Load {
        per_second: None,
        allowed: orders.len(),
        ..load
    };
    check::all_accepted(&again.resend(orders).finish(Duration::from_secs(60)).await);
    shop.witness.write(strange_records(&shop.name)).await;
    shop.settles(PATIENCE).await;
    consumer.becomes_ready().await;

    let documents = watch.hold(&consumer).await;
    assert_eq!(
        documents.len(),
        PURCHASES + 3,
        "the load, and three purchases among the strange records"
    );
    let stats = current(&shop, &consumer).await;
    assert_eq!(stats["backlog"], 0);

    // A consumer that was never there tells the same, and so does one that starts from nothing.
    if let Some(service) = guest.take() {
        service.drains(Duration::from_secs(30)).await;
    }
    consumer.kill().await;
    let other = shop.second_consumer().ready().await;
    is_a_recount(&current(&shop, &other).await, &documents);
    drop(producer);
}

/// What a topic may hold beside our own records: a purchase without headers, one that is there
/// twice, one whose clock is a year ahead, a tombstone, and something that is no purchase.
fn strange_records(name: &str) -> Vec<NewRecord> {
    let event = |user: &str, price: f64, when: &str| {
        let value = json!({ "username": "Stranger", "user_id": format!("{name}-{user}"), "item_name": "Foreign good", "price": price, "timestamp": when });
        Some(value.to_string().into_bytes())
    };
    let now = "2020-01-31T18:00:00+02:00";
    let identified = vec![(
        "purchase-id".to_owned(),
        Some(b"65bb00000000000000000001".to_vec()),
    )];
    let plain = |partition, value| NewRecord {
        partition,
        value,
        ..NewRecord::default()
    };
    let twice = NewRecord {
        partition: 1,
        value: event("s2", 0.1, now),
        headers: identified,
        ..NewRecord::default()
    };
    vec![
        plain(0, event("s1", 19.99, now)),
        twice.clone(),
        twice,
        plain(2, event("s3", 0.2, "2199-01-01T00:00:00Z")),
        plain(2, None),
        plain(2, Some(b"{\"price\": NaN}".to_vec())),
    ]
}
