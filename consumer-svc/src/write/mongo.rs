//! The collection in MongoDB: inserts, and what its answers mean.

use std::collections::HashMap;
use std::time::Duration;

use actors::Credits;
use bson::oid::ObjectId;
use bson::{Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use mongodb::error::{Error, ErrorKind, InsertManyError};
use mongodb::options::{ReadConcern, ReadPreference, SelectionCriteria};
use mongodb::{Client, Collection};
use purchases::{PurchaseId, wire};

use super::{PurchaseStore, WriteOutcome};
use crate::document::{Known, PurchaseDocument, id};
use crate::mongo::{Answers, Failed, durable, words};

/// Writes to one collection.
#[derive(Clone)]
pub struct MongoStore {
    collection: Collection<RawDocumentBuf>,
    answers: Answers,
}

/// Overdue writes at a time. Each holds a connection and a batch.
const MAX_OVERDUE: usize = 8;

/// The server's code for a duplicate key.
const DUPLICATE_KEY: i32 = 11000;
/// The server's code for a document that a validator refuses.
const VALIDATION_FAILED: i32 = 121;
/// Other codes that speak of the document, not of the moment, when they are said of one document
/// and not of the whole command: its values and types (2, 9, 14, 22), its `_id` (53), a field's
/// name (57), its size (10334), and what an index cannot take (16755, 17280). Any code that is not
/// known is taken for the moment's: a good record must not leave.
const REFUSED: [i32; 9] = [2, 9, 14, 22, 53, 57, 10_334, 16_755, 17_280];

impl MongoStore {
    /// Writes with majority and journal: an acknowledged document survives a crash of the primary.
    /// `deadline` bounds the wait for one answer, not the write itself; `writers` is how many wait at
    /// the same time.
    pub fn new(
        client: &Client,
        database: &str,
        collection: &str,
        (deadline, writers): (Duration, usize),
    ) -> Self {
        let collection = client
            .database(database)
            .collection_with_options(collection, durable());
        Self {
            collection,
            answers: Answers::new("mongodb_writes", deadline, writers + MAX_OVERDUE),
        }
    }

    /// The bound of what waits for an answer of the database, to be shown.
    pub fn pending(&self) -> &Credits {
        self.answers.pending()
    }

    async fn insert(&self, documents: Vec<RawDocumentBuf>) -> Result<(), Failed> {
        let collection = self.collection.clone();
        let insert = async move { collection.insert_many(documents).ordered(false).await };
        self.answers.to(insert).await.map(|_| ())
    }

    /// Which records brought the documents of these ids, in one query. Asked of the primary, where
    /// the duplicates were met: a secondary may not know them yet. And of what a majority has: a document
    /// that an attempt left there which was never confirmed may go with its primary.
    async fn firsts(&self, ids: Vec<ObjectId>) -> Result<HashMap<PurchaseId, Known>, Failed> {
        let (collection, deadline) = (self.collection.clone(), self.answers.deadline());
        let find = async move {
            let documents = collection
                .clone_with_type::<Document>()
                .find(doc! { "_id": { "$in": ids } })
                .projection(Known::projection())
                .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
                .read_concern(ReadConcern::majority())
                .max_time(deadline)
                .await?;
            documents.try_collect::<Vec<_>>().await
        };
        let found = self.answers.to(find).await?;
        let firsts = found
            .iter()
            .filter_map(|document| id(document).ok().map(|id| (id, Known::read(document))));
        Ok(firsts.collect())
    }
}

impl PurchaseStore for MongoStore {
    async fn store(&self, documents: &[PurchaseDocument]) -> Vec<WriteOutcome> {
        let raw = documents
            .iter()
            .map(|document| document.raw().clone())
            .collect();
        let verdicts = match self.insert(raw).await {
            Ok(()) => return vec![WriteOutcome::Stored; documents.len()],
            Err(Failed::Unknown(reason)) => {
                return vec![WriteOutcome::Retry(reason); documents.len()];
            }
            Err(Failed::Answered(error)) => verdicts(
                &error,
                documents.len(),
                &self.collection.namespace().to_string(),
            ),
        };
        let known = documents
            .iter()
            .zip(&verdicts)
            .filter_map(|(document, verdict)| {
                let id = ObjectId::from_bytes(*document.id().as_bytes());
                matches!(verdict, Verdict::Known).then_some(id)
            });
        let known: Vec<ObjectId> = known.collect();
        let firsts = match known.is_empty() {
            true => Ok(HashMap::new()),
            false => self.firsts(known).await,
        };
        let pairs = documents.iter().zip(verdicts);
        pairs
            .map(|(document, verdict)| match verdict {
                Verdict::Known => outcome_of_known(document, &firsts),
                Verdict::Clear(outcome) => outcome,
            })
            .collect()
    }
}

/// What the answer to an insert says of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Clear(WriteOutcome),
    /// A document with this `_id` was there before. Whether by this very record has to be asked.
    Known,
}

fn outcome_of_known(
    document: &PurchaseDocument,
    firsts: &Result<HashMap<PurchaseId, Known>, Failed>,
) -> WriteOutcome {
    match firsts {
        Ok(firsts) => match firsts.get(&document.id()) {
            // A retry has the same buyer. This is another purchase, which must not get lost.
            Some(known) if !known.is_of(document) => WriteOutcome::Bad(format!(
                "its {} {} is that of another user's purchase",
                wire::PURCHASE_ID,
                document.id()
            )),
            Some(Known { first, .. }) => first
                .as_ref()
                .and_then(|first| first.if_from(document.origin()))
                .map_or(WriteOutcome::Repeated, WriteOutcome::Redelivered),
            None => WriteOutcome::NotYet(
                "it is known, and not to a majority, or not any more".to_owned(),
            ),
        },
        Err(failed) => WriteOutcome::Retry(format!("it is known, its origin is not: {failed}")),
    }
}

/// One verdict a document, from the error of an unordered insert.
/// `namespace` is the collection's, as the server writes it.
fn verdicts(error: &Error, count: usize, namespace: &str) -> Vec<Verdict> {
    let ErrorKind::InsertMany(InsertManyError {
        write_errors,
        write_concern_error,
        ..
    }) = error.kind.as_ref()
    else {
        // An error of the whole command speaks of the moment, not of a document.
        return vec![Verdict::Clear(WriteOutcome::Retry(words(error))); count];
    };
    let others = match write_concern_error {
        // Written but perhaps not durable: nothing is stored until a retry is confirmed.
        Some(concern) => WriteOutcome::Retry(format!(
            "write concern: {} ({})",
            concern.message, concern.code
        )),
        None if write_errors.as_ref().is_none_or(Vec::is_empty) => {
            WriteOutcome::Retry(words(error))
        }
        None => WriteOutcome::Stored,
    };
    let others = Verdict::Clear(others);
    let mut verdicts = vec![others.clone(); count];
    for failed in write_errors.iter().flatten() {
        let bad = |code| {
            let reason = reason(code, &failed.message, failed.details.as_ref());
            Verdict::Clear(WriteOutcome::Bad(reason))
        };
        let is_known = || is_primary_key(&failed.message, namespace);
        let verdict = match failed.code {
            DUPLICATE_KEY if is_known() && write_concern_error.is_none() => Verdict::Known,
            DUPLICATE_KEY if is_known() => others.clone(),
            code @ (DUPLICATE_KEY | VALIDATION_FAILED) => bad(code),
            code if REFUSED.contains(&code) => bad(code),
            code => Verdict::Clear(WriteOutcome::NotYet(reason(code, &failed.message, None))),
        };
        if let Some(place) = verdicts.get_mut(failed.index) {
            *place = verdict;
        }
    }
    verdicts
}

/// A duplicate key is benign on `_id` alone. The server names the index in the message, between the
/// collection and the key, and its structured fields (`keyPattern`) are not kept by the driver. The key is
/// what a customer wrote and may look like anything: only what stands before it is looked at, so a
/// namespace that is written as the server does is cut off first, whatever is in it.
fn is_primary_key(message: &str, namespace: &str) -> bool {
    let Some((_, place)) = message.split_once("collection: ") else {
        return false;
    };
    let named = place.strip_prefix(namespace);
    // Some name no index where the documents themselves stand in the order of `_id`.
    if named.is_some_and(|named| named.starts_with(" dup key: { _id: ")) {
        return true;
    }
    let named = named.unwrap_or(place);
    let named = named.split(" dup key").next().unwrap_or_default();
    // Another collation than the collection's own is told behind the name; some servers put a comma there.
    let name = named.split_once(" index: ").map(|(_, name)| name);
    name.is_some_and(|name| name.split([' ', ',']).next() == Some("_id_"))
}

fn reason(code: i32, message: &str, details: Option<&Document>) -> String {
    match details {
        Some(details) => format!("database error {code}: {message} {details}"),
        None => format!("database error {code}: {message}"),
    }
}

#[cfg(test)]
mod tests;
