//! What the server's answers mean, from answers as the server gives them.

use std::sync::Arc;

use bson::{Document, doc};

use super::*;
use crate::mongo::fake::{Script, Server};

const SHOP: &str = "shop.purchases";

fn error(write_errors: Vec<Document>, write_concern: Option<Document>) -> Error {
    let mut answer = doc! { "writeErrors": write_errors };
    answer.insert("writeConcernError", write_concern);
    let insert: InsertManyError = bson::deserialize_from_document(answer).unwrap();
    Error::from(ErrorKind::InsertMany(insert))
}

fn duplicate(index: i32, name: &str) -> Document {
    let message = format!(
        "E11000 duplicate key error collection: shop.purchases index: {name} dup key: {{ _id: 1 }}"
    );
    doc! { "index": index, "code": DUPLICATE_KEY, "errmsg": message }
}

#[test]
fn a_known_id_is_success_and_its_neighbours_are_stored() {
    let verdicts = verdicts(&error(vec![duplicate(1, "_id_")], None), 3, SHOP);
    let stored = Verdict::Clear(WriteOutcome::Stored);
    assert_eq!(verdicts, vec![stored.clone(), Verdict::Known, stored]);
}

#[test]
fn a_duplicate_on_another_index_is_not_success() {
    for name in ["email_1", "user_id_1_timestamp_-1__id_-1", "my_id_"] {
        let verdicts = verdicts(&error(vec![duplicate(0, name)], None), 1, SHOP);
        assert!(
            matches!(verdicts[0], Verdict::Clear(WriteOutcome::Bad(_))),
            "{name}: {verdicts:?}"
        );
    }
}

#[test]
fn what_a_customer_wrote_names_no_index() {
    let told = |collection: &str, index: &str, key: &str| {
        let message =
            format!("E11000 duplicate key error collection: {collection}{index} dup key: {key}");
        is_primary_key(&message, collection)
    };
    let odd = "shop.their index: _id_ dup key: { _id: purchases";
    for collection in [SHOP, odd] {
        for key in [
            r#"{ username: "index: _id_ x" }"#,
            r#"{ username: "x index: _id_ dup key: { _id: 1 }" }"#,
            r#"{ username: "collection: shop.purchases index: _id_ dup key" }"#,
        ] {
            assert!(!told(collection, " index: one_username", key), "{key}");
            assert!(!told(collection, "", key), "{key}");
        }
        let id = "{ _id: ObjectId('6a') }";
        for index in [
            " index: _id_",
            " index: _id_ collation: { locale: \"de\" }",
            "",
        ] {
            assert!(told(collection, index, id), "{index}");
        }
    }
    assert!(is_primary_key(
        "E11000 duplicate key error collection: a.b index: _id_",
        SHOP
    ));
    assert!(!is_primary_key(
        "E11000 dup key: { username: \"index: _id_ \" }",
        SHOP
    ));
}

#[test]
fn without_the_write_concern_nothing_counts_as_stored() {
    let concern = doc! { "code": 64, "codeName": "WriteConcernTimeout", "errmsg": "waiting for replication timed out" };
    let verdicts = verdicts(&error(vec![duplicate(0, "_id_")], Some(concern)), 2, SHOP);
    assert!(
        verdicts
            .iter()
            .all(|verdict| matches!(verdict, Verdict::Clear(WriteOutcome::Retry(_)))),
        "{verdicts:?}"
    );
}

#[test]
fn a_document_the_validator_refuses_is_bad_alone() {
    let refused = doc! { "index": 1, "code": VALIDATION_FAILED, "errmsg": "Document failed validation", "errInfo": { "failingDocumentId": 7 } };
    let verdicts = verdicts(&error(vec![refused], None), 2, SHOP);
    assert_eq!(verdicts[0], Verdict::Clear(WriteOutcome::Stored));
    assert!(
        matches!(&verdicts[1], Verdict::Clear(WriteOutcome::Bad(reason)) if reason.contains("failingDocumentId")),
        "{verdicts:?}"
    );
}

#[test]
fn a_passing_error_of_one_document_is_retried_alone() {
    let busy = doc! { "index": 0, "code": 112, "errmsg": "WriteConflict" };
    let verdicts = verdicts(&error(vec![busy], None), 2, SHOP);
    assert!(matches!(
        verdicts[0],
        Verdict::Clear(WriteOutcome::NotYet(_))
    ));
    assert_eq!(verdicts[1], Verdict::Clear(WriteOutcome::Stored));
}

#[test]
fn an_error_of_the_whole_command_is_retried_as_a_whole() {
    let error = Error::from(ErrorKind::Io(Arc::new(
        std::io::ErrorKind::ConnectionReset.into(),
    )));
    let verdicts = verdicts(&error, 2, SHOP);
    assert!(
        verdicts
            .iter()
            .all(|verdict| matches!(verdict, Verdict::Clear(WriteOutcome::Retry(_)))),
        "{verdicts:?}"
    );
}

#[test]
fn an_error_without_a_cause_is_not_taken_for_success() {
    let verdicts = verdicts(&error(vec![], None), 2, SHOP);
    assert!(
        verdicts
            .iter()
            .all(|verdict| matches!(verdict, Verdict::Clear(WriteOutcome::Retry(_)))),
        "{verdicts:?}"
    );
}

/// A document of the record at this offset, whose purchase is always the same.
fn document(offset: i64) -> PurchaseDocument {
    document_of(PurchaseId::from_bytes([7; 12]), offset)
}

fn document_of(id: PurchaseId, offset: i64) -> PurchaseDocument {
    let event = purchases::Event {
        username: purchases::Username::parse("john").unwrap(),
        user_id: purchases::UserId::parse("u1").unwrap(),
        item_name: purchases::ItemName::parse("Laptop").unwrap(),
        price: purchases::Cents::new(99_999).unwrap(),
        timestamp: purchases::Timestamp::from_millis(0).unwrap(),
    };
    let purchase = purchases::Purchase::new(id, event);
    let origin = crate::flow::Origin {
        topic: Arc::from("purchases"),
        partition: 2,
        offset,
    };
    PurchaseDocument::new(&crate::flow::Incoming {
        purchase,
        origin,
        came_back: false,
        span: host::span::Span::none(),
    })
}

/// What the database would answer about a document that it has.
fn first_of(document: &PurchaseDocument) -> Known {
    Known::read(&Document::try_from(document.raw().as_ref()).unwrap())
}

#[test]
fn a_known_id_is_a_redelivery_where_the_same_record_brought_it_and_a_repetition_elsewhere() {
    let (stored, other) = (document(5), document(6));
    let firsts = |first| Ok(HashMap::from([(stored.id(), first)]));
    assert_eq!(
        outcome_of_known(&document(5), &firsts(first_of(&stored))),
        WriteOutcome::Redelivered(stored.created_at())
    );
    assert_eq!(
        outcome_of_known(&other, &firsts(first_of(&stored))),
        WriteOutcome::Repeated
    );
    let mut foreign = first_of(&stored);
    foreign.first = None;
    assert_eq!(
        outcome_of_known(&other, &firsts(foreign)),
        WriteOutcome::Repeated
    );
}

#[test]
fn an_id_that_is_another_users_purchase_is_bad_and_not_known() {
    let stored = document(5);
    let mut other = Document::try_from(stored.raw().as_ref()).unwrap();
    other.insert("user_id", "somebody else");
    let firsts = Ok(HashMap::from([(stored.id(), Known::read(&other))]));
    let outcome = outcome_of_known(&document(6), &firsts);
    let told = matches!(&outcome, WriteOutcome::Bad(why) if why.contains("another user's"));
    assert!(told, "{outcome:?}");
}

#[test]
fn without_its_origin_a_known_record_is_written_again_and_not_guessed() {
    let gone = outcome_of_known(&document(5), &Ok(HashMap::new()));
    assert!(matches!(gone, WriteOutcome::NotYet(_)), "{gone:?}");
    let unknown = outcome_of_known(&document(5), &Err(Failed::Unknown("late".into())));
    assert!(matches!(unknown, WriteOutcome::Retry(_)), "{unknown:?}");
}

async fn store_on(script: Script) -> (Server, MongoStore) {
    let server = Server::start(script).await;
    let limits = (Duration::from_secs(10), 1);
    let store = MongoStore::new(&server.client, "shop", "purchases", limits);
    (server, store)
}

/// Documents of different purchases, each of the record at its number.
fn documents(count: u8) -> Vec<PurchaseDocument> {
    let each = 0..count;
    each.map(|number| document_of(PurchaseId::from_bytes([number; 12]), number.into()))
        .collect()
}

#[tokio::test]
async fn a_primary_that_steps_down_is_waited_for_with_the_same_ids() {
    let codes = [
        (10_107, "NotWritablePrimary"),
        (189, "PrimarySteppedDown"),
        (91, "ShutdownInProgress"),
    ];
    let refusals = codes.map(|(code, name)| {
        doc! { "ok": 0, "code": code, "codeName": name, "errmsg": "not now" }
    });
    let (_server, store) = store_on(Script {
        insert: refusals.into(),
        ..Script::default()
    })
    .await;
    let documents = documents(2);
    for (code, _) in codes {
        let outcomes = store.store(&documents).await;
        let all = outcomes
            .iter()
            .all(|outcome| matches!(outcome, WriteOutcome::Retry(_)));
        assert!(all && outcomes.len() == 2, "{code}: {outcomes:?}");
    }
    assert_eq!(store.store(&documents).await, vec![WriteOutcome::Stored; 2]);
}

#[tokio::test]
async fn documents_that_are_all_written_are_not_stored_without_the_write_concern() {
    let concern = doc! { "code": 64, "codeName": "WriteConcernTimeout", "errmsg": "waiting for replication timed out" };
    let (_server, store) = store_on(Script {
        insert: [doc! { "ok": 1, "n": 2, "writeConcernError": concern }].into(),
        ..Script::default()
    })
    .await;
    let documents = documents(2);
    for outcome in store.store(&documents).await {
        let told = matches!(&outcome, WriteOutcome::Retry(why) if why.contains("write concern"));
        assert!(told, "{outcome:?}");
    }
    assert_eq!(store.store(&documents).await, vec![WriteOutcome::Stored; 2]);
}

#[tokio::test]
async fn a_database_without_room_is_waited_for_and_nothing_is_put_aside() {
    let full = |index: i32| doc! { "index": index, "code": 14_031, "errmsg": "available disk space of 1 bytes is less than required minimum" };
    let (_server, store) = store_on(Script {
        insert: [
            doc! { "ok": 0, "code": 14_031, "codeName": "OutOfDiskSpace", "errmsg": "no room" },
            doc! { "ok": 1, "n": 0, "writeErrors": [full(0), full(1)] },
        ]
        .into(),
        ..Script::default()
    })
    .await;
    let documents = documents(2);
    for _ in 0..2 {
        let outcomes = store.store(&documents).await;
        let all = outcomes
            .iter()
            .all(|outcome| matches!(outcome, WriteOutcome::Retry(_) | WriteOutcome::NotYet(_)));
        assert!(all, "{outcomes:?}");
    }
    assert_eq!(store.store(&documents).await, vec![WriteOutcome::Stored; 2]);
}

#[tokio::test]
async fn of_a_batch_that_fails_in_part_each_document_has_its_own_outcome() {
    let documents = documents(8);
    let failed = |index: i32, code: i32| doc! { "index": index, "code": code, "errmsg": "no" };
    let errors = vec![
        failed(1, VALIDATION_FAILED),
        failed(2, 112),
        duplicate(3, "_id_"),
        duplicate(4, "one_username"),
        failed(5, 10_334),
        duplicate(6, "_id_"),
    ];
    // Of the two that are known, one came in this very record and one in another.
    let known = |document: &PurchaseDocument| Document::try_from(document.raw().as_ref()).unwrap();
    let other = document_of(documents[6].id(), 600);
    let batch = vec![known(&documents[3]), known(&other)];
    let (server, store) = store_on(Script {
        insert: [doc! { "ok": 1, "n": 2, "writeErrors": errors }].into(),
        find: [doc! { "ok": 1, "cursor": { "id": 0_i64, "ns": "shop.purchases", "firstBatch": batch } }].into(),
        ..Script::default()
    })
    .await;
    let outcomes = store.store(&documents).await;
    let words = outcomes.iter().map(|outcome| match outcome {
        WriteOutcome::Stored => "stored",
        WriteOutcome::Redelivered(_) => "redelivered",
        WriteOutcome::Repeated => "repeated",
        WriteOutcome::Retry(_) => "retry",
        WriteOutcome::NotYet(_) => "not yet",
        WriteOutcome::Bad(_) => "bad",
    });
    assert_eq!(
        words.collect::<Vec<_>>(),
        [
            "stored",
            "bad",
            "not yet",
            "redelivered",
            "bad",
            "bad",
            "repeated",
            "stored"
        ],
        "{outcomes:?}"
    );
    let looked = server.looked();
    let concern = looked[0].get_document("readConcern").unwrap();
    assert_eq!(concern.get_str("level").unwrap(), "majority");
}

#[test]
fn the_largest_purchase_is_far_from_what_a_server_takes() {
    let long = "\u{10ffff}".repeat(100);
    let event = purchases::Event {
        username: purchases::Username::parse(&long).unwrap(),
        user_id: purchases::UserId::parse(&long).unwrap(),
        item_name: purchases::ItemName::parse(&long).unwrap(),
        price: purchases::Cents::new(99_999).unwrap(),
        timestamp: purchases::Timestamp::from_millis(0).unwrap(),
    };
    let purchase = purchases::Purchase::new(PurchaseId::from_bytes([7; 12]), event);
    let origin = crate::flow::Origin {
        topic: Arc::from("t".repeat(249)),
        partition: i32::MAX,
        offset: i64::MAX,
    };
    let document = PurchaseDocument::new(&crate::flow::Incoming {
        purchase,
        origin,
        came_back: false,
        span: host::span::Span::none(),
    });
    // Not 16 MiB: no record becomes a document that is too large for itself.
    assert!(document.raw().as_bytes().len() < 4096);
}

#[tokio::test]
async fn a_user_that_may_not_write_is_told_with_the_variables_to_look_at_and_always_the_same() {
    let refusal = |session: i32| {
        let command = format!(
            "not authorized on shop to execute command {{ insert: \"purchases\", lsid: {session} }}"
        );
        doc! { "ok": 0, "code": 13, "codeName": "Unauthorized", "errmsg": command }
    };
    let (_server, store) = store_on(Script {
        insert: [refusal(1), refusal(2)].into(),
        ..Script::default()
    })
    .await;
    let documents = documents(1);
    let said = [store.store(&documents).await, store.store(&documents).await];
    assert_eq!(said[0], said[1]);
    let WriteOutcome::Retry(why) = &said[0][0] else {
        panic!("{said:?}");
    };
    for part in [
        "insert",
        "Unauthorized",
        "MONGODB_USERNAME",
        "MONGODB_DATABASE",
    ] {
        assert!(why.contains(part), "{part} is missing in: {why}");
    }
    assert!(!why.contains("lsid"), "{why}");
}
