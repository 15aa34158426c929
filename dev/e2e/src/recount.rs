//! The statistics held against the collection: a sum that is told must be a sum that is found.
//!
//! In: what `/stats` says, and every document. Out: nothing, or a panic that names the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use purchases::PurchaseId;
use serde_json::Value;

use crate::documents::Stored;
use crate::service::Service;
use crate::shop::Shop;
use crate::topic::Record;
use crate::{check, until_text};

const PATIENCE: Duration = Duration::from_secs(60);

/// Counts, once all is settled: every record of the topic has its document, once and as it stands there,
/// nothing else is stored, and nothing was put aside. Holds where every record is a purchase of its own.
///
/// # Panics
/// If anything differs.
pub async fn adds_up(shop: &Shop, documents: &[Stored]) {
    let records = shop.witness.records().await;
    let topic = &shop.witness.topic;
    let id = |record: &Record| match record.header("purchase-id") {
        Some(id) => id.to_owned(),
        None => PurchaseId::foreign(topic, record.partition, record.offset).to_string(),
    };
    let ids: Vec<String> = records.iter().map(id).collect();
    check::documents_are(&ids.iter().map(String::as_str).collect(), documents);
    check::documents_come_from_the_topic(documents, topic, &records);
    let letters = shop.witness.records_of(&shop.dead_letters()).await;
    assert_eq!(letters.len(), 0, "dead letters");
}

/// The statistics once they cover every record of the topic.
///
/// # Panics
/// If they do not get there.
pub async fn current(shop: &Shop, consumer: &Service) -> Value {
    let ends = shop.witness.ends().await;
    let wanted = format!("the statistics reach to {ends:?}, and nothing lags behind");
    // They are saved before the commit, and a broker that is slow to say what was committed leaves the lag open.
    let committed = |stats: &Value| {
        let mut partitions = stats["partitions"].as_array().into_iter().flatten();
        partitions.all(|view| view["lag"] == 0)
    };
    until_stats(consumer, &wanted, |stats| {
        reach(stats, &ends) && committed(stats)
    })
    .await
}

/// The statistics once they reach to these offsets, and no further: they are saved before an offset is
/// committed, so they may be ahead of it for a moment.
///
/// # Panics
/// If they do not get there.
pub async fn reaching(consumer: &Service, offsets: &BTreeMap<i32, i64>) -> Value {
    let wanted = format!("the statistics reach to {offsets:?}");
    until_stats(consumer, &wanted, |stats| reach(stats, offsets)).await
}

/// Whether they reach to these offsets, and no further.
fn reach(stats: &Value, offsets: &BTreeMap<i32, i64>) -> bool {
    let reached = |(partition, offset): (&i32, &i64)| {
        let partitions = stats["partitions"].as_array();
        let mut found = partitions.into_iter().flatten();
        found.any(|view| view["partition"] == *partition && view["upto"] == *offset)
    };
    let of_none = |(_, offset): &(&i32, &i64)| **offset > 0;
    offsets.iter().filter(of_none).all(reached)
}

/// The statistics once they are as wanted.
async fn until_stats(consumer: &Service, wanted: &str, holds: impl Fn(&Value) -> bool) -> Value {
    until_text(wanted, PATIENCE, async || {
        let answer = consumer.get("/stats").await;
        let stats = if answer.status == 200 {
            answer.json()
        } else {
            Value::Null
        };
        if stats.is_object() && holds(&stats) {
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

/// Whether statistics say what a recount of the documents finds, to the purchase and to the cent.
///
/// # Panics
/// If they differ.
pub fn is_a_recount<'a>(stats: &Value, documents: impl IntoIterator<Item = &'a Stored> + Clone) {
    let (mut total, mut items, mut minutes) = (
        Sum::default(),
        BTreeMap::<&str, Sum>::new(),
        BTreeMap::<i64, u64>::new(),
    );
    for document in documents.clone() {
        total.add(document);
        items
            .entry(&document.event.item_name)
            .or_default()
            .add(document);
        let minute = bought(document).div_euclid(60_000);
        *minutes.entry(minute).or_default() += 1;
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

    // Who bought long ago is no active buyer; who claims the future bought when it was stored.
    let recent = |document: &&'a Stored| bought(document) >= from.as_millis();
    let buyers: BTreeSet<&str> = documents
        .into_iter()
        .filter(recent)
        .map(|document| document.event.user_id.as_str())
        .collect();
    let estimate = stats["active_buyers"]["estimate"]
        .as_f64()
        .expect("an estimate");
    let counted = buyers.len() as f64;
    let off = (estimate - counted).abs();
    assert!(
        off <= counted * 0.02,
        "{estimate} buyers estimated, {counted} counted"
    );
}

/// When it was bought, in milliseconds; never later than it was stored.
fn bought(document: &Stored) -> i64 {
    let told = purchases::Timestamp::parse(&document.event.timestamp).expect("a time");
    told.as_millis().min(document.created_at)
}
