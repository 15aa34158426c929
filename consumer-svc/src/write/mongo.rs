//! The collection in MongoDB: inserts, and what its answers mean.

use std::sync::Arc;
use std::time::Duration;

use bson::{Document, RawDocumentBuf};
use mongodb::error::{Error, ErrorKind, InsertManyError};
use mongodb::options::{Acknowledgment, CollectionOptions, IndexOptions, WriteConcern};
use mongodb::{Client, Collection, IndexModel};
use tracing::info;

use super::{PurchaseStore, WriteOutcome};
use crate::document::{PurchaseDocument, history_index};
use crate::mongo::owned;

/// Writes to one collection.
#[derive(Clone)]
pub struct MongoStore {
    collection: Collection<RawDocumentBuf>,
    deadline: Duration,
    /// Writes whose answer did not come in time and is still awaited, so that a frozen database
    /// cannot gather an endless number of them.
    overdue: Arc<tokio::sync::Semaphore>,
}

/// Overdue writes at a time. Each holds a connection and a batch.
const MAX_OVERDUE: usize = 8;

/// The server's code for a duplicate key.
const DUPLICATE_KEY: i32 = 11000;
/// The server's code for a document that a validator refuses.
const VALIDATION_FAILED: i32 = 121;
/// Other codes that speak of the document, not of the moment: bad value, key too long, document
/// too large, and an `_id` the server does not take.
const REFUSED: [i32; 5] = [2, 9, 53, 17280, 10334];

impl MongoStore {
    /// Writes with majority and journal: an acknowledged document survives a crash of the primary.
    /// `deadline` bounds the wait for one answer, not the write itself.
    pub fn new(client: &Client, database: &str, collection: &str, deadline: Duration) -> Self {
        let concern = WriteConcern::builder()
            .w(Acknowledgment::Majority)
            .journal(true)
            .build();
        let options = CollectionOptions::builder().write_concern(concern).build();
        let collection = client
            .database(database)
            .collection_with_options(collection, options);
        Self {
            collection,
            deadline,
            overdue: Arc::new(tokio::sync::Semaphore::new(MAX_OVERDUE)),
        }
    }

    /// Creates what the queries need. An index that is there already is left as it is.
    ///
    /// # Errors
    /// What the server answers, for example that an index of that name has other keys.
    pub async fn ensure_indexes(&self) -> Result<(), Error> {
        let options = IndexOptions::builder().name("history".to_owned()).build();
        let model = IndexModel::builder()
            .keys(history_index())
            .options(options)
            .build();
        let collection = self.collection.clone();
        let created = owned(async move { collection.create_index(model).await }).await?;
        info!(
            index = created.index_name,
            collection = self.collection.name(),
            "index ready"
        );
        Ok(())
    }

    /// Inserts and waits for at most the deadline. The driver's future lives in a task of its own
    /// and is never dropped half way, which the driver forbids; an answer that comes too late is
    /// of no use and does no harm, because the retry carries the same ids.
    async fn insert(&self, documents: Vec<RawDocumentBuf>) -> Result<(), Failed> {
        let Ok(slot) = Arc::clone(&self.overdue).try_acquire_owned() else {
            return Err(Failed::Unknown(format!(
                "{MAX_OVERDUE} earlier writes are still without an answer"
            )));
        };
        let collection = self.collection.clone();
        let mut task = tokio::spawn(async move {
            let result = collection.insert_many(documents).ordered(false).await;
            drop(slot);
            result
        });
        match tokio::time::timeout(self.deadline, &mut task).await {
            Ok(Ok(Ok(_))) => Ok(()),
            Ok(Ok(Err(error))) => Err(Failed::Answered(error)),
            Ok(Err(join)) => Err(Failed::Unknown(format!(
                "the write ended without an answer: {join}"
            ))),
            Err(_) => Err(Failed::Unknown(format!(
                "no answer within {:?}",
                self.deadline
            ))),
        }
    }
}

enum Failed {
    Answered(Error),
    Unknown(String),
}

impl PurchaseStore for MongoStore {
    async fn store(&self, documents: &[PurchaseDocument]) -> Vec<WriteOutcome> {
        let raw = documents
            .iter()
            .map(|document| document.raw().clone())
            .collect();
        match self.insert(raw).await {
            Ok(()) => vec![WriteOutcome::Stored; documents.len()],
            Err(Failed::Unknown(reason)) => vec![WriteOutcome::Retry(reason); documents.len()],
            Err(Failed::Answered(error)) => outcomes(&error, documents.len()),
        }
    }
}

/// One outcome a document, from the error of an unordered insert.
fn outcomes(error: &Error, count: usize) -> Vec<WriteOutcome> {
    let ErrorKind::InsertMany(InsertManyError {
        write_errors,
        write_concern_error,
        ..
    }) = error.kind.as_ref()
    else {
        // An error of the whole command speaks of the moment, not of a document.
        return vec![WriteOutcome::Retry(error.to_string()); count];
    };
    let others = match write_concern_error {
        // Written but perhaps not durable: nothing is stored until a retry is confirmed.
        Some(concern) => WriteOutcome::Retry(format!(
            "write concern: {} ({})",
            concern.message, concern.code
        )),
        None if write_errors.as_ref().is_none_or(Vec::is_empty) => {
            WriteOutcome::Retry(error.to_string())
        }
        None => WriteOutcome::Stored,
    };
    let mut outcomes = vec![others.clone(); count];
    for failed in write_errors.iter().flatten() {
        let outcome = match failed.code {
            DUPLICATE_KEY if is_primary_key(&failed.message) && write_concern_error.is_none() => {
                WriteOutcome::Known
            }
            DUPLICATE_KEY if is_primary_key(&failed.message) => others.clone(),
            DUPLICATE_KEY | VALIDATION_FAILED => WriteOutcome::Bad(reason(
                failed.code,
                &failed.message,
                failed.details.as_ref(),
            )),
            code if REFUSED.contains(&code) => {
                WriteOutcome::Bad(reason(code, &failed.message, failed.details.as_ref()))
            }
            code => WriteOutcome::Retry(reason(code, &failed.message, None)),
        };
        if let Some(place) = outcomes.get_mut(failed.index) {
            *place = outcome;
        }
    }
    outcomes
}

/// A duplicate key is benign on `_id` alone. The server names the index in the message; the
/// space behind the name keeps `history_id_` and the like apart.
fn is_primary_key(message: &str) -> bool {
    message.contains("index: _id_ ")
        || message.contains("index: _id_,")
        || message.ends_with("index: _id_")
}

fn reason(code: i32, message: &str, details: Option<&Document>) -> String {
    match details {
        Some(details) => format!("database error {code}: {message} {details}"),
        None => format!("database error {code}: {message}"),
    }
}

#[cfg(test)]
mod tests;
