//! What histories cost the real database: every question is answered from an index, and a page reads the
//! page's keys.

use std::collections::BTreeSet;

use bson::{Bson, Document, doc};
use consumer_svc::query::PageRequest;
use consumer_svc::query::cursor::Cursor;
use consumer_svc::query::mongo::ask::{self, Find};
use consumer_svc::query::range::Range;
use consumer_svc::tally::mongo::of_group;
use e2e::ground::Ground;
use e2e::shop::Shop;
use purchases::{PurchaseId, Timestamp, UserId};

use crate::histories::{BEGIN, DEADLINE, MINUTE, purchase};

/// What the server says that a question reads: index, keys, documents, stages.
#[derive(Debug, Default)]
struct Read {
    indexes: BTreeSet<String>,
    stages: BTreeSet<String>,
    keys: i64,
    documents: i64,
}

impl Read {
    fn look(&mut self, document: &Document) {
        for (name, value) in document {
            let number = || match value {
                Bson::Int32(number) => i64::from(*number),
                Bson::Int64(number) => *number,
                other => panic!("{name} is {other}"),
            };
            match (name.as_str(), value) {
                ("indexName", Bson::String(index)) => drop(self.indexes.insert(index.clone())),
                ("stage", Bson::String(stage)) => drop(self.stages.insert(stage.clone())),
                ("totalKeysExamined", _) => self.keys = self.keys.max(number()),
                ("totalDocsExamined", _) => self.documents = self.documents.max(number()),
                // What was asked is repeated there.
                ("command" | "parsedQuery", _) => {}
                (_, Bson::Document(inner)) => self.look(inner),
                (_, Bson::Array(inner)) => {
                    inner
                        .iter()
                        .filter_map(Bson::as_document)
                        .for_each(|inner| self.look(inner));
                }
                _ => {}
            }
        }
    }
}

async fn explained(shop: &Shop, question: Document) -> Read {
    let explain = doc! { "explain": question, "verbosity": "executionStats" };
    let mut read = Read::default();
    read.look(&shop.documents.command(explain).await);
    read
}

async fn explained_find(shop: &Shop, find: Find) -> Read {
    let Find {
        filter,
        sort,
        limit,
        projection,
    } = find;
    let mut question = doc! { "find": "purchases", "filter": filter, "sort": sort, "limit": limit };
    if !projection.is_empty() {
        question.insert("projection", projection);
    }
    explained(shop, question).await
}

const LIMIT: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_question_is_answered_from_an_index_and_a_page_reads_the_pages_keys() {
    let shop = Shop::on(Ground::shared().await).await;
    let consumer = shop.consumer().ready().await;
    let all = 5_000;
    for user in ["someone", "user"] {
        let number = |number: u32| purchase(user, number, BEGIN + i64::from(number) * MINUTE);
        shop.documents
            .add(&(0..all).map(number).collect::<Vec<_>>())
            .await;
    }
    let user = UserId::parse("user").expect("a name");
    let at = |number: u32| Timestamp::from_millis(BEGIN + i64::from(number) * MINUTE);
    let range = Range {
        since: at(1_000),
        until: at(2_000),
    };
    let after = |range, number| Cursor {
        timestamp: at(number).expect("a moment"),
        id: PurchaseId::from_bytes([0xFF; 12]),
        range,
    };
    for (range, after) in [
        (Range::WHOLE, None),
        (Range::WHOLE, Some(after(Range::WHOLE, 2_500))),
        (range, None),
        (range, Some(after(range, 1_500))),
        (
            Range {
                until: None,
                ..range
            },
            None,
        ),
        (
            Range {
                since: None,
                ..range
            },
            None,
        ),
    ] {
        let request = PageRequest {
            limit: LIMIT,
            after,
            range,
        };
        let read = explained_find(&shop, ask::page(&user, &request)).await;
        let keys = i64::try_from(LIMIT).expect("a count");
        assert_eq!(
            read.indexes,
            BTreeSet::from(["history".to_owned()]),
            "{request:?}"
        );
        assert!(
            read.keys > keys && read.keys <= keys + 2,
            "{request:?} reads {read:?}"
        );
        assert!(read.documents <= keys + 2, "{request:?} reads {read:?}");
        for slow in ["SORT", "COLLSCAN"] {
            assert!(!read.stages.contains(slow), "{request:?} reads {read:?}");
        }
    }
    let read = explained_find(&shop, ask::newest(&user)).await;
    assert_eq!(read.indexes, BTreeSet::from(["history".to_owned()]));
    assert!(
        read.keys <= 2 && read.documents <= 2,
        "the newest reads {read:?}"
    );

    // Totals and items: the keys of that user and of that range, and not one document.
    for (range, purchases) in [(Range::WHOLE, i64::from(all)), (range, 1_000)] {
        let pipeline = ask::totals(&user, &range);
        let question = doc! { "aggregate": "purchases", "pipeline": pipeline, "cursor": {} };
        let read = explained(&shop, question).await;
        assert_eq!(read.indexes, BTreeSet::from(["history".to_owned()]));
        assert_eq!(read.documents, 0, "totals read {read:?}");
        assert!(
            (purchases..=purchases + 1).contains(&read.keys),
            "totals read {read:?}"
        );
    }

    // Statistics: the group's few documents among any number of others'.
    let tally =
        |group: u32, partition: i32| doc! { "_id": format!("group-{group}/topic/{partition}") };
    let tallies = (0..200).flat_map(|group| (0..3).map(move |partition| tally(group, partition)));
    let tallies: Vec<_> = tallies.collect();
    shop.documents
        .command(doc! { "insert": "purchases_statistics", "documents": tallies })
        .await;
    let question = doc! { "find": "purchases_statistics", "filter": of_group("group-7", "topic") };
    let read = explained(&shop, question).await;
    assert_eq!(read.indexes, BTreeSet::from(["_id_".to_owned()]));
    assert!(
        read.keys <= 4 && read.documents == 3,
        "statistics read {read:?}"
    );
    consumer.drains(DEADLINE).await;
}
