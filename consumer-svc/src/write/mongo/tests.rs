//! What the server's answers mean, from answers as the server gives them.

use bson::{Document, doc};

use super::*;

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
    let outcomes = outcomes(&error(vec![duplicate(1, "_id_")], None), 3);
    assert_eq!(
        outcomes,
        vec![
            WriteOutcome::Stored,
            WriteOutcome::Known,
            WriteOutcome::Stored
        ]
    );
}

#[test]
fn a_duplicate_on_another_index_is_not_success() {
    for name in ["email_1", "user_id_1_timestamp_-1__id_-1", "my_id_"] {
        let outcomes = outcomes(&error(vec![duplicate(0, name)], None), 1);
        assert!(
            matches!(outcomes[0], WriteOutcome::Bad(_)),
            "{name}: {outcomes:?}"
        );
    }
}

#[test]
fn without_the_write_concern_nothing_counts_as_stored() {
    let concern = doc! { "code": 64, "codeName": "WriteConcernTimeout", "errmsg": "waiting for replication timed out" };
    let outcomes = outcomes(&error(vec![duplicate(0, "_id_")], Some(concern)), 2);
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, WriteOutcome::Retry(_))),
        "{outcomes:?}"
    );
}

#[test]
fn a_document_the_validator_refuses_is_bad_alone() {
    let refused = doc! { "index": 1, "code": VALIDATION_FAILED, "errmsg": "Document failed validation", "errInfo": { "failingDocumentId": 7 } };
    let outcomes = outcomes(&error(vec![refused], None), 2);
    assert_eq!(outcomes[0], WriteOutcome::Stored);
    assert!(
        matches!(&outcomes[1], WriteOutcome::Bad(reason) if reason.contains("failingDocumentId")),
        "{outcomes:?}"
    );
}

#[test]
fn a_passing_error_of_one_document_is_retried_alone() {
    let busy = doc! { "index": 0, "code": 112, "errmsg": "WriteConflict" };
    let outcomes = outcomes(&error(vec![busy], None), 2);
    assert!(matches!(outcomes[0], WriteOutcome::Retry(_)));
    assert_eq!(outcomes[1], WriteOutcome::Stored);
}

#[test]
fn an_error_of_the_whole_command_is_retried_as_a_whole() {
    let error = Error::from(ErrorKind::Io(Arc::new(
        std::io::ErrorKind::ConnectionReset.into(),
    )));
    let outcomes = outcomes(&error, 2);
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, WriteOutcome::Retry(_))),
        "{outcomes:?}"
    );
}

#[test]
fn an_error_without_a_cause_is_not_taken_for_success() {
    let outcomes = outcomes(&error(vec![], None), 2);
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, WriteOutcome::Retry(_))),
        "{outcomes:?}"
    );
}
