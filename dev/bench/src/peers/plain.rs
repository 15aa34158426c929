//! What one writes in an afternoon: warp's own server, and rdkafka's `FutureProducer` awaited in
//! the handler. As durable as ours towards the broker (idempotent, acks from all in-sync replicas),
//! but no identity, no bounds, no supervision, no drain, no honest errors.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use purchases::Timestamp;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::Serialize;
use warp::Filter;
use warp::reply::{Json, WithStatus, json, with_status};

use crate::Failure;

/// Where it is and where it writes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Port of loopback
    #[arg(long)]
    port: u16,
    /// The broker
    #[arg(long)]
    bootstrap_servers: String,
    /// What is written
    #[arg(long)]
    topic: String,
    /// What a record waits for company, in milliseconds
    #[arg(long)]
    linger_ms: u32,
}

/// The body of a purchase.
#[derive(serde::Deserialize)]
struct BuyRequest {
    username: String,
    user_id: String,
}

/// Enough that choosing costs what choosing costs.
const ITEMS: [(&str, f64); 4] = [
    ("Laptop", 999.99),
    ("Headphones", 149.99),
    ("Coffee Mug", 12.99),
    ("Office Chair", 249.99),
];

#[derive(Serialize)]
struct Purchase<'a> {
    username: &'a str,
    user_id: &'a str,
    item_name: &'a str,
    price: f64,
    timestamp: String,
}

#[derive(Serialize)]
struct Answer<'a> {
    success: bool,
    message: &'static str,
    purchase: &'a Purchase<'a>,
    kafka_partition: i32,
    kafka_offset: i64,
}

/// Serves until killed.
pub(crate) async fn serve(args: Args) -> Result<(), Failure> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &args.bootstrap_servers)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", args.linger_ms.to_string())
        .create()?;
    let topic: &'static str = args.topic.leak();
    let buy = warp::path("buy")
        .and(warp::path::end())
        .and(warp::post())
        .and(warp::body::content_length_limit(16 * 1024))
        .and(warp::body::json())
        .then(move |request: BuyRequest| {
            let producer = producer.clone();
            async move { answer(&producer, topic, &request).await }
        });
    warp::serve(buy).run((Ipv4Addr::LOCALHOST, args.port)).await;
    Ok(())
}

async fn answer(producer: &FutureProducer, topic: &str, request: &BuyRequest) -> WithStatus<Json> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let (item_name, price) = ITEMS[NEXT.fetch_add(1, Ordering::Relaxed) % ITEMS.len()];
    let timestamp = Timestamp::from(SystemTime::now()).to_string();
    let purchase = Purchase {
        username: &request.username,
        user_id: &request.user_id,
        item_name,
        price,
        timestamp,
    };
    let value = serde_json::to_vec(&purchase).unwrap_or_default();
    let record = FutureRecord::to(topic)
        .key(&request.user_id)
        .payload(&value);
    match producer.send(record, Duration::from_secs(5)).await {
        Ok(stored) => {
            let answer = Answer {
                success: true,
                message: "Purchase sent",
                purchase: &purchase,
                kafka_partition: stored.partition,
                kafka_offset: stored.offset,
            };
            with_status(json(&answer), StatusCode::CREATED)
        }
        Err((error, _)) => with_status(json(&error.to_string()), StatusCode::SERVICE_UNAVAILABLE),
    }
}
