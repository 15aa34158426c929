//! Records that can never become a purchase block nothing and are not lost.

use std::collections::HashSet;
use std::time::Duration;

use e2e::ground::Ground;
use e2e::invariants::Invariants;
use e2e::records::{bytes, good_for as good};
use e2e::shop::Shop;
use e2e::topic::{Maybe, NewRecord, Record};

const PATIENCE: Duration = Duration::from_secs(60);

fn tombstone(partition: i32) -> NewRecord {
    NewRecord {
        partition,
        key: bytes("gone"),
        ..NewRecord::default()
    }
}

/// One of each kind of poison: bytes, JSON of another shape, a wrong field, headers that lie.
fn poison(partition: i32) -> Vec<NewRecord> {
    let with = |value: &str, headers: &[(&str, Maybe)]| NewRecord {
        partition,
        key: bytes("poison"),
        value: bytes(value),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
    };
    let whole = good(partition, "poison").value.expect("a value");
    let whole = String::from_utf8(whole).expect("text");
    vec![
        with(
            "not JSON \u{0} at all",
            &[
                ("trace", bytes("t-1")),
                ("empty", None),
                ("trace", bytes("t-2")),
            ],
        ),
        NewRecord {
            partition,
            key: None,
            value: Some(vec![0xff, 0xfe, 0]),
            headers: Vec::new(),
        },
        with("", &[]),
        with("[1, 2, 3]", &[]),
        with(&whole.replace("999.99", "-1"), &[]),
        with(&whole.replace("999.99", "0.001"), &[]),
        with(&whole, &[("purchase-id", bytes("not an id"))]),
        with(&whole, &[("schema-version", bytes("99"))]),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_reaches_the_dead_letters_whole_and_its_partition_moves_on() {
    let shop = Shop::on(Ground::shared().await).await;
    let watch = Invariants::watch(&shop).await;
    let mut records = vec![good(0, "u0"), good(1, "u1")];
    // In the middle of one partition, as the last of another; of the third, a tombstone is last.
    records.extend(poison(0));
    records.extend([good(0, "u2"), good(0, "u3")]);
    records.extend(poison(1));
    records.extend([tombstone(2), good(2, "u4"), tombstone(2)]);
    let written = shop.witness.write(records.clone()).await;
    let consumer = shop.consumer().ready().await;
    // Every offset is committed, those of the last records too.
    shop.settles(PATIENCE).await;

    let users: HashSet<String> = watch
        .hold(&consumer)
        .await
        .into_iter()
        .map(|stored| stored.event.user_id)
        .collect();
    assert_eq!(
        users,
        ["u0", "u1", "u2", "u3", "u4"].map(str::to_owned).into()
    );
    assert_eq!(shop.documents.count().await, 5);

    let letters = shop.witness.records_of(&shop.dead_letters()).await;
    let expected = records
        .iter()
        .zip(&written)
        .filter(|(record, _)| poison(record.partition).iter().any(|one| same(one, record)));
    let mut count = 0;
    for (record, (partition, offset)) in expected {
        let places: Vec<&Record> = letters
            .iter()
            .filter(|letter| is_of(letter, *partition, *offset))
            .collect();
        assert_eq!(places.len(), 1, "letters of {partition}/{offset}");
        is_whole(places[0], record, &shop.witness.topic);
        count += 1;
    }
    assert_eq!((count, letters.len()), (16, 16), "one letter each");
    let outcome = async |name: &str| {
        consumer
            .metric("purchases_records_total", &[&format!("outcome=\"{name}\"")])
            .await
    };
    assert_eq!(outcome("dead_lettered").await, 16.0);
    assert_eq!(outcome("tombstone").await, 2.0);
    assert_eq!(outcome("stored").await, 5.0);
}

fn same(one: &NewRecord, other: &NewRecord) -> bool {
    (one.partition, &one.key, &one.value, &one.headers)
        == (other.partition, &other.key, &other.value, &other.headers)
}

fn is_of(letter: &Record, partition: i32, offset: i64) -> bool {
    letter.header("dlq-partition") == Some(&partition.to_string())
        && letter.header("dlq-offset") == Some(&offset.to_string())
}

/// Key, value and headers as they were, in their order; reason, origin and time behind them.
fn is_whole(letter: &Record, record: &NewRecord, topic: &str) {
    assert_eq!((&letter.key, &letter.value), (&record.key, &record.value));
    let (original, own) = letter.headers.split_at(record.headers.len());
    assert_eq!(original, record.headers);
    assert_eq!(own.len(), 6, "{own:?}");
    assert_eq!(letter.header("dlq-topic"), Some(topic));
    assert!(
        letter
            .header("dlq-reason")
            .is_some_and(|reason| reason.len() > 5),
        "{letter:?}"
    );
    for time in ["dlq-time", "dlq-record-time"] {
        assert!(
            letter.header(time).is_some_and(|time| time.ends_with('Z')),
            "{letter:?}"
        );
    }
}
