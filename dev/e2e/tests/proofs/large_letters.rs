//! A letter that is larger than its topic takes is written all the same, with less of its record: whatever
//! is large, the key, the headers or the value, blocks nothing.

use std::time::Duration;

use e2e::ground::Ground;
use e2e::records::{bytes, good_for as good};
use e2e::shop::Shop;
use e2e::topic::NewRecord;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_header_or_value_is_too_large_for_a_letter_and_the_partition_moves_on() {
    let shop = Shop::without_topics(Ground::shared().await).await;
    let topics = [
        (shop.witness.topic.clone(), &[][..]),
        (shop.dead_letters(), &[("max.message.bytes", "1200")][..]),
    ];
    for (topic, settings) in topics {
        let made = shop.ground.create_topic_with(&topic, 3, settings);
        made.await.expect("the topic is made");
    }
    let large = "x".repeat(9_000);
    let bad = |key: &str, value: &str, header: &str| NewRecord {
        partition: 0,
        key: bytes(key),
        value: bytes(value),
        headers: vec![("note".to_owned(), bytes(header))],
    };
    let records = vec![
        good(0, "u0"),
        bad(&large, "bad", "small"),
        bad("key", &large, "small"),
        bad("key", "bad", &large),
        bad(&large, &large, &large),
        bad("key", "bad", "small"),
        good(0, "u1"),
    ];
    let written = shop.witness.write(records.clone()).await;
    let _consumer = shop.consumer().ready().await;
    shop.settles(PATIENCE).await;
    assert_eq!(shop.documents.count().await, 2);

    let letters = shop.witness.records_of(&shop.dead_letters()).await;
    assert_eq!(letters.len(), 5, "{letters:?}");
    for (at, (_, offset)) in written.iter().enumerate().skip(1).take(5) {
        let offset = offset.to_string();
        let letter = letters
            .iter()
            .find(|letter| letter.header("dlq-offset") == Some(&offset))
            .expect("a letter each");
        let record = &records[at];
        let whole = (&letter.key, &letter.value) == (&record.key, &record.value)
            && letter.header("note").is_some();
        assert_eq!(whole, at == 5, "{letter:?}");
        let length = record.value.as_ref().map(|value| value.len().to_string());
        assert_eq!(
            letter.header("dlq-truncated-from"),
            length.as_deref().filter(|_| !whole)
        );
        assert!(letter.header("dlq-reason").is_some());
        let begins = |whole: &Option<Vec<u8>>, part: &Option<Vec<u8>>| {
            let (whole, part) = (whole.as_deref(), part.as_deref());
            whole
                .unwrap_or_default()
                .starts_with(part.unwrap_or_default())
        };
        assert!(begins(&record.key, &letter.key) && begins(&record.value, &letter.value));
    }
}
