//! The invariants, each from the witnesses' testimony alone.
//!
//! In: answers, records, documents, commits. Out: nothing, or a panic that names the first
//! violations. Pure: asks nobody.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::answer::Accepted;
use crate::documents::Stored;
use crate::load::{Attempt, Outcome};
use crate::topic::Record;

/// The 201s among the attempts.
pub fn accepted(attempts: &[Attempt]) -> Vec<&Accepted> {
    let each = attempts
        .iter()
        .filter_map(|attempt| match &attempt.outcome {
            Outcome::Accepted(accepted) => Some(accepted),
            _ => None,
        });
    each.collect()
}

/// Every attempt got its 201.
pub fn all_accepted(attempts: &[Attempt]) -> Vec<&Accepted> {
    let others = attempts
        .iter()
        .filter(|attempt| !matches!(attempt.outcome, Outcome::Accepted(_)));
    none("attempts without a 201", others);
    accepted(attempts)
}

/// Every 201 tells the truth: the record is in the topic, where the answer says, with the key, id
/// and value that the answer says.
pub fn answers_are_in_the_topic(accepted: &[&Accepted], records: &[Record]) {
    let by_place: HashMap<(i32, i64), &Record> = records
        .iter()
        .map(|record| ((record.partition, record.offset), record))
        .collect();
    let mut by_id: HashMap<&str, Vec<&Record>> = HashMap::new();
    for record in records {
        by_id
            .entry(record.header("purchase-id").unwrap_or_default())
            .or_default()
            .push(record);
    }
    let says = |record: &Record, answer: &Accepted| {
        record.partition == answer.kafka_partition
            && record.key.as_deref() == Some(answer.purchase.user_id.as_bytes())
            && record.header("purchase-id") == Some(&answer.purchase_id)
            && record.event() == answer.purchase
    };
    let false_answers = accepted.iter().filter(|answer| match answer.kafka_offset {
        Some(offset) => {
            let found = by_place.get(&(answer.kafka_partition, offset));
            !found.is_some_and(|record| says(record, answer))
        }
        // The broker recognised a resend: it is there, and where was not told.
        None => {
            let found = by_id.get(answer.purchase_id.as_str());
            !found.is_some_and(|records| records.iter().any(|record| says(record, answer)))
        }
    });
    none("201s that are not true of the topic", false_answers);
}

/// The documents are exactly these purchases, each once, under its id.
pub fn documents_are(expected: &HashSet<&str>, documents: &[Stored]) {
    let mut seen = HashSet::new();
    none(
        "documents stored twice",
        documents
            .iter()
            .filter(|stored| !seen.insert(stored.id.as_str())),
    );
    none(
        "purchases without a document",
        expected.iter().filter(|id| !seen.contains(*id)),
    );
    none(
        "documents nobody bought",
        documents
            .iter()
            .filter(|stored| !expected.contains(stored.id.as_str())),
    );
}

/// Every document says what a record with its id says, and names that record as its origin.
pub fn documents_come_from_the_topic(documents: &[Stored], topic: &str, records: &[Record]) {
    let by_place: HashMap<(i32, i64), &Record> = records
        .iter()
        .map(|record| ((record.partition, record.offset), record))
        .collect();
    let strangers = documents.iter().filter(|stored| {
        let origin = by_place.get(&(stored.partition, stored.offset));
        let said = origin.is_some_and(|record| {
            record
                .header("purchase-id")
                .is_none_or(|id| id == stored.id)
                && record.event() == stored.event
        });
        stored.topic != topic || !said
    });
    none("documents that differ from their record", strangers);
}

/// Nothing before a committed offset is missing from the documents: of each partition the
/// committed offset is at most the lowest one that is not stored. Holds where every record is a
/// purchase of its own.
pub fn commits_are_covered(committed: &BTreeMap<i32, Option<i64>>, documents: &[Stored]) {
    let stored: HashSet<(i32, i64)> = documents
        .iter()
        .map(|stored| (stored.partition, stored.offset))
        .collect();
    let commits = committed
        .iter()
        .map(|(partition, next)| (*partition, next.unwrap_or(0)));
    let lost = commits.flat_map(|(partition, next)| {
        let stored = &stored;
        (0..next)
            .filter(move |offset| !stored.contains(&(partition, *offset)))
            .map(move |offset| format!("{partition}/{offset} (committed: {next})"))
    });
    none(
        "records before a committed offset that are not stored",
        lost,
    );
}

/// Panics if there is any, with the first few and their number.
fn none<T: std::fmt::Debug>(what: &str, offenders: impl Iterator<Item = T>) {
    let offenders: Vec<T> = offenders.collect();
    let first = &offenders[..offenders.len().min(3)];
    assert!(
        offenders.is_empty(),
        "{} {what}, for example {first:#?}",
        offenders.len()
    );
}
