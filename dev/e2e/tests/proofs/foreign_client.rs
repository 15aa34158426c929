//! Others speak our format: a plain JSON event of any client becomes a document, and any client
//! reads ours.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use e2e::ground::Ground;
use e2e::http;
use e2e::invariants::Invariants;
use e2e::shop::Shop;
use e2e::topic::NewRecord;
use purchases::PurchaseId;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

fn plain(partition: i32, key: Option<&str>, value: &str) -> NewRecord {
    let key = key.map(|key| key.as_bytes().to_vec());
    NewRecord {
        partition,
        key,
        value: Some(value.as_bytes().to_vec()),
        headers: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_event_without_headers_becomes_one_document_however_often_it_is_read() {
    let shop = Shop::on(Ground::shared().await).await;
    let watch = Invariants::watch(&shop).await;
    // As other languages write them: spacing, order, zone, precision, whole prices, no key.
    let written = shop.witness.write(vec![
        plain(0, Some("foreign-1"), r#"{"username": "Ann", "user_id": "foreign-1", "item_name": "Laptop", "price": 999.99, "timestamp": "2026-01-31T18:00:00.123456+00:00"}"#),
        plain(1, None, "{\"timestamp\":\"2026-01-31T19:00:00+01:00\",\n\"price\":25,\"item_name\":\"Caf\\u00e9 cr\\u00e8me\",\"user_id\":\"foreign-2\",\"username\":\"Bo\"}"),
        plain(2, Some("foreign-1"), r#"{"username":"Ann","user_id":"foreign-1","item_name":"Mouse","price":0.10,"timestamp":"2026-01-31T18:00:01Z"}"#),
        // The same event twice is two purchases: a foreign client's events have no other identity
        // than their place.
        plain(2, Some("foreign-1"), r#"{"username":"Ann","user_id":"foreign-1","item_name":"Mouse","price":0.10,"timestamp":"2026-01-31T18:00:01Z"}"#),
    ]).await;
    let consumer = shop.consumer().ready().await;
    shop.settles(PATIENCE).await;
    let first = watch.hold(&consumer).await;
    let ids: HashSet<String> = first.iter().map(|stored| stored.id.clone()).collect();
    let derived = |(partition, offset): &(i32, i64)| {
        PurchaseId::foreign(&shop.witness.topic, *partition, *offset).to_string()
    };
    assert_eq!(ids, written.iter().map(derived).collect());
    assert_eq!(first.len(), written.len());
    let cafe = first
        .iter()
        .find(|stored| stored.event.user_id == "foreign-2")
        .expect("it is stored");
    assert_eq!(
        (cafe.event.item_name.as_str(), cafe.event.price),
        ("Café crème", 25.0)
    );
    assert_eq!(cafe.event.timestamp, "2026-01-31T18:00:00.000Z");
    let history = consumer.get("/purchases/foreign-1").await.json();
    assert_eq!(history["total_purchases"], 3);
    assert_eq!(history["total_spent"], json!(1000.19));

    // Everything is read again, by another process: the ids are the same, so nothing is added.
    consumer.drains(PATIENCE).await;
    shop.witness.commit_everywhere(0).await;
    let watch = Invariants::watch(&shop).await;
    let consumer = shop.consumer().ready().await;
    shop.settles(PATIENCE).await;
    let known = consumer
        .metric("purchases_records_total", &["outcome=\"known\""])
        .await;
    assert_eq!(known, written.len() as f64, "read again and recognised");
    let mut second = watch.hold(&consumer).await;
    let mut first = first;
    first.sort_by(|a, b| a.id.cmp(&b.id));
    second.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(first, second, "as they were, to the last field");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_reader_finds_exactly_the_five_fields_and_the_user_as_key() {
    let shop = Shop::on(Ground::shared().await).await;
    let producer = shop.producer().ready().await;
    let wish = json!({ "username": "  Zoë \"Z\" O'Neil ", "user_id": "user/7 ü" });
    let answer = http::post(producer.http(), "/buy", &wish)
        .await
        .expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.text());
    let answer = answer.json();

    let records = shop.witness.records().await;
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!(record.key.as_deref(), Some("user/7 ü".as_bytes()));
    let value: Value =
        serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON");
    let fields: BTreeSet<&str> = value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        fields,
        ["item_name", "price", "timestamp", "user_id", "username"].into()
    );
    assert_eq!(
        value, answer["purchase"],
        "the answer shows what was written"
    );
    assert_eq!(value["username"], "Zoë \"Z\" O'Neil");
    assert_eq!(
        (
            answer["kafka_partition"].as_i64(),
            answer["kafka_offset"].as_i64()
        ),
        (Some(record.partition.into()), Some(record.offset))
    );

    // Everything else travels in headers.
    assert_eq!(record.header("purchase-id"), answer["purchase_id"].as_str());
    assert_eq!(record.header("content-type"), Some("application/json"));
    assert_eq!(record.header("schema-version"), Some("1"));
    let trace = record.header("traceparent").expect("a trace");
    assert_eq!((trace.len(), trace.split('-').count()), (55, 4), "{trace}");
}
