//! The invariants, each from the witnesses' testimony alone.
//!
//! In: answers, records, documents, commits. Out: nothing, or a panic that names the first
//! violations. Pure: asks nobody.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::answer::{Accepted, Refused};
use crate::documents::Stored;
use crate::load::{Attempt, Order, Outcome};
use crate::topic::Record;

/// Answers that say that nothing was stored.
const NOTHING_STORED: [&str; 2] = ["/problems/kafka-unavailable", "/problems/overloaded"];
/// An answer that says that nobody knows.
const UNKNOWN: &str = "/problems/outcome-unknown";

/// How long a purchase waits for its turn by default.
const INTAKE_MAX_WAIT: Duration = Duration::from_millis(250);
/// The client library looks for what took too long once a second; the rest is for a busy machine.
const LATE: Duration = Duration::from_millis(2_500);

/// Orders without a 201, by what their answers claim.
#[derive(Clone, Debug, Default)]
pub struct Refusals<'a> {
    /// Nothing was stored.
    pub not_stored: Vec<&'a Order>,
    /// Nobody knows whether something was.
    pub unknown: Vec<&'a Order>,
}

impl Refusals<'_> {
    /// These and others.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.not_stored.extend(others.not_stored);
        self.unknown.extend(others.unknown);
        self
    }

    /// All of them, to be sent again.
    pub fn orders(&self) -> Vec<Order> {
        let each = self.not_stored.iter().chain(&self.unknown);
        each.map(|order| Order::clone(order)).collect()
    }
}

/// Whether a customer is told that his attempt stored nothing.
pub fn says_not_stored(refused: &Refused) -> bool {
    NOTHING_STORED.contains(&refused.kind.as_str())
}

/// Whether he is told that nobody knows.
pub fn says_unknown(refused: &Refused) -> bool {
    refused.kind == UNKNOWN
}

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
            .entry(id(record).unwrap_or_default())
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

/// Every attempt at an order with a key was answered: with a 201 of its purchase, or with a 503 that
/// may be retried; and what says that nothing was stored is not in the topic.
pub fn refusals_are_honest<'a>(attempts: &'a [Attempt], records: &[Record]) -> Refusals<'a> {
    let in_topic: HashSet<&str> = records.iter().filter_map(id).collect();
    let mut refusals = Refusals::default();
    for Attempt { order, outcome, .. } in attempts {
        match outcome {
            Outcome::Accepted(answer) => assert_eq!(answer.purchase_id, order.promised_id()),
            Outcome::Refused(refused) => {
                assert_eq!(refused.status, 503, "{refused:?}");
                let problem = "application/problem+json";
                assert_eq!(refused.media_type, problem, "{refused:?}");
                let may_return = refused.retryable && refused.retry_after.is_some();
                assert!(may_return, "{refused:?}");
                let says_why = refused.has_request_id && !refused.detail.is_empty();
                assert!(says_why, "{refused:?}");
                if says_not_stored(refused) {
                    let there = in_topic.contains(order.promised_id().as_str());
                    let lie = "in the topic, and the answer says that nothing was stored";
                    assert!(!there, "{lie}: {order:?}");
                    refusals.not_stored.push(order);
                } else {
                    assert!(says_unknown(refused), "{refused:?}");
                    refusals.unknown.push(order);
                }
            }
            Outcome::Unanswered { .. } => panic!("no answer to {order:?}: {outcome:?}"),
        }
    }
    refusals
}

/// Nobody waited for longer than a producer with this `KAFKA_DELIVERY_TIMEOUT` may let him wait, and its
/// `INTAKE_MAX_WAIT` as it is by default.
pub fn answers_come_in_time(attempts: &[Attempt], delivery: Duration) {
    let bound = INTAKE_MAX_WAIT + delivery + LATE;
    let late = attempts.iter().filter(|attempt| attempt.took() > bound);
    let told = late.map(|attempt| (attempt.took(), &attempt.order, &attempt.outcome));
    none(&format!("answers later than {bound:?}"), told);
}

/// No purchase is in the topic twice. Holds where every order was sent once.
pub fn no_purchase_is_repeated(records: &[Record]) {
    let mut seen = HashSet::new();
    let again = records.iter().filter(|record| !seen.insert(id(record)));
    none("records of a purchase that is in the topic already", again);
}

/// The topic holds these purchases, all of them, and no other.
pub fn records_are(expected: &HashSet<String>, records: &[Record]) {
    let seen: HashSet<&str> = records.iter().filter_map(id).collect();
    let missing = expected.iter().filter(|id| !seen.contains(id.as_str()));
    none("purchases that are not in the topic", missing);
    let strange = |record: &&Record| !id(record).is_some_and(|id| expected.contains(id));
    let strangers = records.iter().filter(strange);
    none("records of purchases that nobody made", strangers);
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

fn id(record: &Record) -> Option<&str> {
    record.header("purchase-id")
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
