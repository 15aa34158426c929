//! The statistics are what a recount of the collection finds, to the purchase and to the cent,
//! after consumers were killed and came and went, and whatever else was in the topic.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use e2e::documents::Stored;
use e2e::ground::Ground;
use e2e::load::Load;
use e2e::service::Service;
use e2e::shop::Shop;
use e2e::topic::NewRecord;
use e2e::{check, until, until_text};
use serde_json::{Value, json};

const PURCHASES: usize = 12_000;
const USERS: usize = 3_000;
const DEATHS: usize = 6;
const SHARE: usize = PURCHASES / DEATHS;
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statistics_are_a_recount_of_the_collection_whatever_became_of_the_consumers() {
    let shop = Shop::on(Ground::shared().await).await;
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

    let documents = shop.documents.all().await;
    assert_eq!(
        documents.len(),
        PURCHASES + 3,
        "the load, and three purchases among the strange records"
    );
    let stats = current(&shop, &consumer).await;
    is_a_recount(&stats, &documents);
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

/// The statistics once they cover every record of the topic.
async fn current(shop: &Shop, consumer: &Service) -> Value {
    let ends = shop.witness.ends().await;
    until_text("the statistics reach to the end", PATIENCE, async || {
        let answer = consumer.get("/stats").await;
        let stats = if answer.status == 200 {
            answer.json()
        } else {
            Value::Null
        };
        let reached = |(partition, end): (&i32, &i64)| {
            let partitions = stats["partitions"].as_array();
            let mut found = partitions.into_iter().flatten();
            found.any(|view| {
                view["partition"] == *partition && view["upto"] == *end && view["lag"] == 0
            })
        };
        if ends.iter().all(reached) {
            Ok(stats)
        } else {
            Err(format!("{}: {}", answer.status, answer.text()))
        }
    })
    .await
}

fn cents(price: f64) -> u64 {
    (price * 100.0).round() as u64
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Sum(u64, u64);

impl Sum {
    fn add(&mut self, document: &Stored) {
        self.0 += 1;
        self.1 += cents(document.event.price);
    }

    fn of(view: &Value, purchases: &str, revenue: &str) -> Self {
        let money = view[revenue].as_f64().expect("money");
        Self(view[purchases].as_u64().expect("a count"), cents(money))
    }
}

fn is_a_recount(stats: &Value, documents: &[Stored]) {
    let (mut total, mut items, mut minutes) = (
        Sum::default(),
        BTreeMap::<&str, Sum>::new(),
        BTreeMap::<i64, u64>::new(),
    );
    for document in documents {
        total.add(document);
        items
            .entry(&document.event.item_name)
            .or_default()
            .add(document);
        let bought = purchases::Timestamp::parse(&document.event.timestamp)
            .expect("a time")
            .as_millis();
        *minutes
            .entry(bought.min(document.created_at).div_euclid(60_000))
            .or_default() += 1;
    }
    assert_eq!(Sum::of(stats, "total_purchases", "total_revenue"), total);

    let mut named = Sum::default();
    for item in stats["best_sellers"].as_array().expect("items") {
        let name = item["item_name"].as_str().expect("a name");
        let sum = Sum::of(item, "purchases", "revenue");
        assert_eq!(Some(&sum), items.get(name), "{name}");
        named = Sum(named.0 + sum.0, named.1 + sum.1);
    }
    let other = Sum::of(&stats["other_items"], "purchases", "revenue");
    assert_eq!(
        Sum(named.0 + other.0, named.1 + other.1),
        total,
        "named and other items"
    );

    let hour = &stats["last_hour"];
    let from = purchases::Timestamp::parse(hour["from"].as_str().expect("a time")).expect("a time");
    let shown = hour["purchases"].as_array().expect("minutes");
    assert_eq!(shown.len(), 60);
    for (minute, count) in (from.as_millis().div_euclid(60_000)..).zip(shown) {
        let expected = minutes.get(&minute).copied().unwrap_or_default();
        assert_eq!(count.as_u64(), Some(expected), "minute {minute}");
    }

    // Two of the strangers bought years ago; the third claims the future, and counts when stored.
    let recent = |document: &&Stored| document.event.timestamp.as_str() > "2021";
    let buyers: BTreeSet<&str> = documents
        .iter()
        .filter(recent)
        .map(|document| document.event.user_id.as_str())
        .collect();
    let estimate = stats["active_buyers"]["estimate"]
        .as_f64()
        .expect("an estimate");
    let off = (estimate / buyers.len() as f64 - 1.0).abs();
    assert!(
        off < 0.02,
        "{estimate} buyers estimated, {} counted",
        buyers.len()
    );
}
