//! What the Kafka client holds that nobody has read: bounded, however many partitions there are.

use std::time::Duration;

use devstack::free_port;
use e2e::ground::Ground;
use e2e::memory::{MIB, resident};
use e2e::records::{bytes, good};
use e2e::shop::Shop;
use e2e::topic::NewRecord;
use e2e::until_text;

const PATIENCE: Duration = Duration::from_secs(60);
const PARTITIONS: u32 = 50;
const ROUNDS: usize = 20;
const BOUND: f64 = (8 * MIB) as f64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_partitions_together_hold_no_more_than_one_bound() {
    let shop = Shop::without_topics(Ground::shared().await).await;
    let made = shop.ground.create_topic(&shop.witness.topic, PARTITIONS);
    made.await.expect("the topic is made");
    let large = "x".repeat(32 << 10);
    // One a partition and round, so that a batch is one record: 32 MiB in all.
    for _ in 0..ROUNDS {
        let one = |partition| NewRecord {
            value: bytes(&large),
            ..good(partition)
        };
        let round = (0..PARTITIONS.cast_signed()).map(one);
        shop.witness.write(round.collect()).await;
    }
    // Without the database no partition is opened, and nothing is read of what is fetched.
    let nowhere = format!("mongodb://127.0.0.1:{}", free_port());
    let consumer = shop
        .consumer()
        .env("MONGODB_URI", nowhere)
        .env("PREFETCH_MAX_BYTES", "8MiB")
        .start();
    let held = async || consumer.metric("purchases_prefetched_bytes", &[]).await;
    until_text("it fetches what it may", PATIENCE, async || {
        let asked = e2e::http::get(consumer.admin_addr(), "/metrics").await;
        asked.map_err(|error| format!("{error:?}"))?;
        match held().await {
            bytes if bytes > BOUND / 3.0 => Ok(()),
            bytes => Err(format!("{bytes} bytes")),
        }
    })
    .await;
    // The client tells of itself every five seconds: it stays at that.
    let (mut seen, mut last) = (0, 0.0);
    until_text("it fetches no more", PATIENCE, async || {
        let bytes = held().await;
        assert!(bytes <= BOUND, "{bytes} bytes");
        seen = if bytes == last { seen + 1 } else { 0 };
        last = bytes;
        match seen {
            70.. => Ok(()),
            _ => Err(format!("{bytes} bytes")),
        }
    })
    .await;
    let limit = &["unit=\"bytes\""][..];
    assert_eq!(
        consumer.metric("purchases_prefetch_limit", limit).await,
        BOUND
    );
    assert_eq!(
        consumer.metric("purchases_partitions_assigned", &[]).await,
        f64::from(PARTITIONS)
    );
    assert!(resident(consumer.pid()) < 80 * MIB);
    consumer.drains(PATIENCE).await;
}
