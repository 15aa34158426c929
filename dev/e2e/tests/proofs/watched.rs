//! What watches the other proofs can see what it is there for: each wrong is fed to it once, and is found.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use e2e::answer::Event;
use e2e::commits::{self, Entry, OVERTAKEN, UNOWNED, check, entry};
use e2e::documents::Stored;
use e2e::ground::Ground;
use e2e::invariants::{BACKWARDS, Invariants, TOO_EARLY};
use e2e::records::good;
use e2e::recount::is_a_recount;
use e2e::shop::Shop;
use e2e::topic::NewRecord;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// Nobody stores, and somebody commits; then somebody commits less.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_what_is_not_stored_and_one_that_goes_back_are_seen() {
    let shop = Shop::on(Ground::shared().await).await;
    shop.witness
        .write((0..9).map(|number| good(number % 3)).collect())
        .await;
    // A tombstone is nothing to be stored.
    let gone = |partition| NewRecord {
        partition,
        ..NewRecord::default()
    };
    shop.witness.write((0..3).map(gone).collect()).await;
    let watch = Invariants::watch(&shop).await;
    watch.look().await;
    shop.witness.commit_everywhere(4).await;
    watch.look().await;
    shop.witness.commit_everywhere(2).await;
    let seen = watch.end().await;
    let expected = [(TOO_EARLY, 9), (BACKWARDS, 3), (OVERTAKEN, 3), (UNOWNED, 6)];
    assert_eq!(seen.wrongs.counts(), expected.into(), "{}", seen.wrongs);
}

/// What was committed, and stored, is there at every later look; if it goes, that is seen at the first one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_is_not_there_when_its_offset_is_committed_is_seen() {
    let shop = Shop::on(Ground::shared().await).await;
    let bad = NewRecord {
        value: Some(b"{".to_vec()),
        ..good(1)
    };
    shop.witness
        .write(vec![good(0), good(0), bad, good(1), good(2), good(2)])
        .await;
    let consumer = shop.consumer().ready().await;
    shop.settles(PATIENCE).await;
    consumer.drains(PATIENCE).await;
    let group = format!("{}-other", shop.witness.group);
    let mut shop = shop;
    // Another group, of which nothing is committed yet: its looks begin at the beginning.
    shop.witness.group = group;
    let watch = Invariants::watch(&shop).await;
    shop.documents.remove_from(0, 1).await;
    shop.witness.commit_everywhere(2).await;
    let seen = watch.end().await;
    let expected = [(TOO_EARLY, 1), (UNOWNED, 3)];
    assert_eq!(seen.wrongs.counts(), expected.into(), "{}", seen.wrongs);
}

#[test]
fn a_commit_behind_an_earlier_one_or_by_nobody_who_may_own_the_partition_is_found() {
    let generation = |members: &[(&str, &[i32])]| {
        let each = members.iter().map(|(member, partitions)| {
            let partitions = partitions.iter().copied().collect::<BTreeSet<i32>>();
            ((*member).to_owned(), partitions)
        });
        Entry::Generation(each.collect())
    };
    let commit = |partition, offset| Entry::Commit(partition, Some(offset));
    let found = |entries: &[Entry]| {
        let history: Vec<_> = (0..).zip(entries.iter().cloned()).collect();
        let found = check(&history, 0);
        found
            .counts()
            .into_iter()
            .map(|(kind, count)| (kind.to_owned(), count))
            .collect::<Vec<_>>()
    };
    let alone = generation(&[("a", &[0, 1])]);
    // It gives back what it had, the other one takes it; one goes, and what was forgotten begins anew.
    let giving = generation(&[("a", &[0]), ("b", &[])]);
    let shared = generation(&[("a", &[0]), ("b", &[1])]);
    let good = [
        alone.clone(),
        commit(0, 0),
        commit(1, 5),
        commit(1, 5),
        giving.clone(),
        commit(1, 7),
        commit(0, 3),
        shared.clone(),
        commit(1, 9),
        commit(0, 4),
        Entry::Commit(0, None),
        commit(0, 1),
    ];
    assert_eq!(found(&good), []);

    let nobody = generation(&[]);
    let one = |kind: &str| vec![(kind.to_owned(), 1)];
    let late = [
        alone.clone(),
        commit(1, 500),
        shared.clone(),
        commit(1, 600),
        commit(1, 520),
        commit(1, 700),
    ];
    assert_eq!(found(&late), one(OVERTAKEN));
    assert_eq!(
        found(&[commit(0, 1)]),
        one(UNOWNED),
        "before there is a group"
    );
    assert_eq!(
        found(&[alone.clone(), nobody.clone(), commit(0, 1)]),
        one(UNOWNED),
        "after its last member"
    );
    let after = [
        alone.clone(),
        commit(1, 5),
        giving,
        generation(&[("b", &[0])]),
        commit(1, 6),
    ];
    assert_eq!(
        found(&after),
        one(UNOWNED),
        "whose owner has gone, and nobody has it yet"
    );
    // Before the mark, commits are somebody else's.
    let history = [
        (3, nobody),
        (4, commit(0, 9)),
        (5, alone),
        (6, commit(0, 2)),
    ];
    assert!(check(&history, 5).is_empty());
    assert_eq!(
        check(&history, 4).counts(),
        [(OVERTAKEN, 1), (UNOWNED, 1)].into()
    );
}

#[test]
fn commits_and_memberships_are_read_as_the_broker_writes_them() {
    let read = |key: &[u8], value: Option<&[u8]>| entry(key, value, "gr", "top");
    let key = b"\0\x01\0\x02gr\0\x03top\0\0\0\x07";
    let value = b"\0\x03\0\0\0\0\0\0\x01\0\xff\xff\xff\xff";
    assert_eq!(
        read(key, Some(value)),
        Ok(Some(Entry::Commit(7, Some(256))))
    );
    assert_eq!(read(key, None), Ok(Some(Entry::Commit(7, None))));
    assert_eq!(
        read(b"\0\x01\0\x02gr\0\x03toq\0\0\0\x07", Some(value)),
        Ok(None)
    );
    assert!(read(&key[..9], Some(value)).is_err());
    assert!(read(key, Some(&value[..4])).is_err());

    let member = b"\0\x02gr";
    let key = [b"\0\x02".as_slice(), member].concat();
    assert_eq!(
        read(&key, None),
        Ok(Some(Entry::Generation(BTreeMap::new())))
    );
    let assignment = b"\0\x01\0\0\0\x02\0\x05other\0\0\0\x01\0\0\0\x09\0\x03top\0\0\0\x02\0\0\0\0\0\0\0\x02\xff\xff\xff\xff";
    let value = [
        b"\0\x03\0\x08consumer\0\0\0\x05\0\x01p\0\x01m".as_slice(),
        b"\0\0\0\0\0\0\0\x09\0\0\0\x02",
        b"\0\x01m\xff\xff\0\x01c\0\x01h\0\0\0\x01\0\0\0\x01\0\0\0\0",
        &(assignment.len() as u32).to_be_bytes(),
        assignment,
        b"\0\x01n\0\x01i\0\x01c\0\x01h\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\0",
    ]
    .concat();
    let members = BTreeMap::from([
        ("m".to_owned(), BTreeSet::from([0, 2])),
        ("n".to_owned(), BTreeSet::new()),
    ]);
    assert_eq!(
        read(&key, Some(&value)),
        Ok(Some(Entry::Generation(members)))
    );
    assert_eq!(read(b"\0\x02\0\x02gs", Some(&value)), Ok(None));
    assert!(read(&key, Some(&value[..40])).is_err());
    assert!(
        read(&key, Some(b"\0\x09")).is_err(),
        "a form that is not known"
    );
    let history = [
        (0, Entry::Commit(1, Some(3))),
        (1, Entry::Commit(1, Some(4))),
        (2, Entry::Commit(2, Some(1))),
        (3, Entry::Commit(2, None)),
    ];
    assert_eq!(commits::newest(&history), BTreeMap::from([(1, 4)]));
}

fn stats() -> Value {
    json!({
        "total_purchases": 2, "total_revenue": 0.3,
        "best_sellers": [{ "item_name": "Pen", "purchases": 1, "revenue": 0.1 }],
        "other_items": { "purchases": 1, "revenue": 0.2 },
        "last_hour": { "from": "2026-01-31T18:00:00Z", "purchases": vec![0; 60] },
        "active_buyers": { "estimate": 0 },
    })
}

fn compared(change: impl FnOnce(&mut Value)) {
    let document = |item: &str, price| Stored {
        id: item.to_owned(),
        event: Event {
            username: String::new(),
            user_id: "u".to_owned(),
            item_name: item.to_owned(),
            price,
            timestamp: "2026-01-31T17:00:00Z".to_owned(),
        },
        created_at: i64::MAX,
        topic: String::new(),
        partition: 0,
        offset: 0,
    };
    let mut stats = stats();
    change(&mut stats);
    is_a_recount(&stats, &[document("Pen", 0.1), document("Cup", 0.2)]);
}

#[test]
fn statistics_that_differ_by_one_purchase_or_one_cent_are_no_recount() {
    compared(|_| ());
    let changes: [fn(&mut Value); 6] = [
        |stats| stats["total_purchases"] = json!(3),
        |stats| stats["total_revenue"] = json!(0.31),
        |stats| stats["best_sellers"][0]["revenue"] = json!(0.11),
        |stats| stats["other_items"]["purchases"] = json!(0),
        |stats| stats["last_hour"]["purchases"][7] = json!(1),
        |stats| stats["active_buyers"]["estimate"] = json!(1),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let found = std::panic::catch_unwind(|| compared(change));
        assert!(found.is_err(), "change {number} is not seen");
    }
}
