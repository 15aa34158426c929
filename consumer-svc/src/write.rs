//! Batch writer: the sink behind the batching stage.
//!
//! In: batches of deliveries. Out: documents, and every receipt settled: stored (also when the
//! document was known already) with what it contributes to the statistics, dead-lettered by the
//! next stage, or retried here until the database takes it. Several batches are written at once; settling is per record, so commit
//! does not mind in which order they end.
//! It must not give up a good record: only what the database refuses for its content leaves.

pub mod mongo;

use std::time::{Instant, SystemTime};

use actors::{Addr, Backoff, BatchSink, Outcome, Receipt};
use host::span::SpanKind;
use tracing::{debug, info, warn};

use crate::document::PurchaseDocument;
use crate::flow::{DeadLetterMsg, Delivered, Note, Origin, Rejected, Rejection};
use crate::lane::{Bad, Lane, Lanes};
use crate::metrics;
use crate::tally::Sale;
use purchases::Timestamp;

/// What became of one document of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It is in the collection, durably.
    Stored,
    /// This very record was stored before, then: a redelivery.
    Redelivered(Timestamp),
    /// Another record of the same purchase was stored before: a retry of the customer's. The
    /// first stands.
    Repeated,
    /// Not now: the reason passes.
    Retry(String),
    /// Never: the database refuses this content.
    Bad(String),
}

/// The port to the collection.
pub trait PurchaseStore: Send + Sync + 'static {
    /// Writes all documents, each on its own merits, and answers for each in the same order.
    fn store(
        &self,
        documents: &[PurchaseDocument],
    ) -> impl Future<Output = Vec<WriteOutcome>> + Send;
}

/// Writes batches until every record of them is settled.
pub struct BatchWriter<S> {
    store: S,
    dead_letter: Addr<DeadLetterMsg>,
    lanes: Lanes,
    backoff: Backoff,
}

/// What a refused document counts for in a batch of letters. A purchase is never much larger.
const LETTER_BYTES: usize = 1024;

impl<S: PurchaseStore> BatchWriter<S> {
    /// Writes to `store`, and again after a pause of `backoff` what it does not take now; what it
    /// refuses for good goes to `dead_letter`.
    pub fn new(store: S, dead_letter: Addr<DeadLetterMsg>, lanes: Lanes, backoff: Backoff) -> Self {
        Self {
            store,
            dead_letter,
            lanes,
            backoff,
        }
    }

    /// These are tried again: they have had their answer, and none of their partitions is stuck.
    fn wait(&self, later: &[Delivered]) {
        let mut partitions: Vec<i32> = later.iter().map(|one| one.value.origin.partition).collect();
        partitions.sort_unstable();
        partitions.dedup();
        let lanes = partitions.into_iter().filter_map(|one| self.lanes.get(one));
        lanes.for_each(|lane| lane.beat());
    }

    /// Hands on what the database refuses, in the order of the log. What comes after one too many
    /// is dropped, which makes it read again when the partition is.
    fn refuse(&self, mut refused: Vec<(Delivered, String)>) {
        refused.sort_by_key(|(delivery, _)| delivery.receipt.position());
        let mut letters = Vec::with_capacity(refused.len());
        for (Delivered { mut value, receipt }, reason) in refused {
            value.span.fail(&reason);
            let Origin {
                partition, offset, ..
            } = value.origin;
            let lane = self.lanes.get(partition);
            let bad = Bad {
                offset: offset.unsigned_abs(),
                came_back: value.came_back,
                reason: &reason,
            };
            let taken = |lane: &Lane| lane.takes_bad(&bad);
            if lane.as_ref().is_some_and(|lane| !taken(lane)) {
                continue;
            }
            let letter = lane.and_then(|lane| lane.letter(receipt.position().epoch));
            warn!(purchase_id = %value.purchase.id(), partition, offset, %reason, "the database refuses the document, it goes to the dead letters");
            let incoming = Box::new(value);
            let value = Rejection::Document { incoming, reason };
            let rejected = Rejected {
                value,
                receipt,
                letter,
            };
            letters.push((rejected, LETTER_BYTES));
        }
        if !letters.is_empty() && self.dead_letter.send(DeadLetterMsg::Push(letters)).is_err() {
            debug!("the dead-letter stage is being replaced, the records will be read again");
        }
    }
}

impl<S: PurchaseStore> BatchSink<Delivered> for BatchWriter<S> {
    async fn write(&self, batch: Vec<Delivered>) {
        let started = Instant::now();
        let size = batch.len();
        let mut documents: Vec<PurchaseDocument> = batch
            .iter()
            .map(|delivery| PurchaseDocument::new(&delivery.value))
            .collect();
        let positions = batch.iter().map(|delivery| delivery.receipt.position());
        self.lanes.taken(positions);
        let mut pending = batch;
        let (mut attempt, mut pauses) = (0, self.backoff.pace());
        loop {
            let outcomes = self.store.store(&documents).await;
            self.lanes.answered();
            let mut settled = Vec::with_capacity(pending.len());
            let (mut known, mut later, mut later_documents, mut cause, mut refused) =
                (0, Vec::new(), Vec::new(), None, Vec::new());
            for ((delivery, document), outcome) in pending.into_iter().zip(documents).zip(outcomes)
            {
                match outcome {
                    WriteOutcome::Stored => {
                        settled.push(stored(delivery, Some(document.created_at()), started));
                    }
                    WriteOutcome::Redelivered(at) => {
                        known += 1;
                        settled.push(stored(delivery, Some(at), started));
                    }
                    WriteOutcome::Repeated => {
                        known += 1;
                        settled.push(stored(delivery, None, started));
                    }
                    WriteOutcome::Retry(reason) => {
                        cause = Some(reason);
                        later.push(delivery);
                        later_documents.push(document);
                    }
                    WriteOutcome::Bad(reason) => refused.push((delivery, reason)),
                }
            }
            metrics::written(settled.len() - known, known);
            Receipt::settle_all(settled);
            self.refuse(refused);
            let Some(cause) = cause else { break };
            attempt += 1;
            self.wait(&later);
            metrics::write_retried(later.len());
            let pause = pauses.next().unwrap_or(self.backoff.max);
            // The first refusal and then every tenth: an outage is told, not chanted.
            if attempt % 10 == 1 {
                warn!(records = later.len(), attempt, ?pause, %cause, "write failed, will be retried with the same ids");
            }
            tokio::time::sleep(pause).await;
            (pending, documents) = (later, later_documents);
        }
        if attempt > 0 {
            info!(records = size, attempt, took = ?started.elapsed(), "written after retries");
        }
        metrics::batch(size, started.elapsed());
    }
}

/// Settles a record whose purchase is in the collection; with its sale if it is the record that
/// brought it there.
fn stored(
    delivery: Delivered,
    created_at: Option<Timestamp>,
    began: Instant,
) -> (Receipt<Note>, Outcome, Option<Note>) {
    let Delivered { value, receipt } = delivery;
    if value.span.is_recorded() {
        // Told of now that it is over: a record waits in many places, and only here for the database.
        let since = SystemTime::now() - began.elapsed();
        let name = ("store", "purchase");
        let mut storing = value.span.child_since(SpanKind::Client, name, since);
        storing.set("db.system.name", "mongodb");
    }
    let sale = created_at.map(|at| Sale::of(&value.purchase, at));
    (receipt, Outcome::Stored, sale)
}

#[cfg(test)]
mod tests;
