//! Batch writer: the sink behind the batching stage.
//!
//! In: batches of deliveries. Out: documents, and every receipt settled: stored (also when the
//! document was known already) with what it contributes to the statistics, or dead-lettered by the
//! next stage. While the database takes nothing, a batch is repeated here until it does; what it does
//! not take of a batch while it takes others goes to [`again`]. Several batches are written at once;
//! settling is per record, so commit does not mind in which order they end.
//! It must not give up a good record: only what the database refuses for its content leaves.

pub mod again;
pub mod mongo;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use actors::{Addr, Backoff, BatchSink, Cost, Outcome, Receipt};
use host::span::SpanKind;
use tracing::{debug, info, warn};

use self::again::AgainMsg;
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
    /// Not now, and nothing else either: the reason speaks of the database, and passes.
    Retry(String),
    /// Not now, for a reason that speaks of this document: others may be taken meanwhile.
    NotYet(String),
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

/// Writes batches until the database has answered for every record of them.
pub struct BatchWriter<S> {
    attempts: Arc<Attempts<S>>,
    again: Addr<AgainMsg>,
    backoff: Backoff,
}

/// One attempt after the other, for whoever writes.
pub struct Attempts<S> {
    store: S,
    dead_letter: Addr<DeadLetterMsg>,
    lanes: Lanes,
}

/// A record on its way into the collection.
pub struct Unwritten {
    delivery: Delivered,
    document: PurchaseDocument,
    /// How often it was not taken; since it stays behind.
    tries: u32,
}

impl Unwritten {
    /// It may take longer than what it was read with, or for ever: the others' credit does not wait for it,
    /// and it keeps that of what is kept of it.
    fn stay_behind(&mut self) {
        let bytes = self.document.raw().as_bytes().len();
        self.delivery.receipt.apart(Cost { count: 1, bytes });
        self.tries = 1;
    }
}

/// What an attempt leaves to be tried again.
#[derive(Default)]
struct Left {
    later: Vec<Unwritten>,
    /// Why, if anything is left.
    cause: Option<String>,
    /// Whether the reason speaks of the database, and not of single documents.
    nothing_passes: bool,
    /// How often what it took was not taken before, at most, if it took any.
    took: Option<u32>,
}

/// What a refused document counts for in a batch of letters. A purchase is never much larger.
const LETTER_BYTES: usize = 1024;

impl<S: PurchaseStore> Attempts<S> {
    /// Writes to `store`; what it refuses for good goes to `dead_letter`.
    pub fn new(store: S, dead_letter: Addr<DeadLetterMsg>, lanes: Lanes) -> Self {
        Self {
            store,
            dead_letter,
            lanes,
        }
    }

    /// These are tried again: they have had their answer, and none of their partitions is stuck.
    fn wait<'r>(&self, later: impl Iterator<Item = &'r Unwritten>) {
        let partition = |one: &Unwritten| one.delivery.value.origin.partition;
        let mut partitions: Vec<i32> = later.map(partition).collect();
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
        for (delivery, reason) in refused {
            let Delivered {
                mut value,
                mut receipt,
            } = delivery;
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
            // Its letter may wait for long: the credit of what it was read with does not.
            receipt.apart(Cost {
                count: 1,
                bytes: LETTER_BYTES,
            });
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

    /// Asks the database to take these, and settles what it answers for.
    async fn attempt(&self, pending: Vec<Unwritten>, started: Instant) -> Left {
        let (deliveries, documents): (Vec<_>, Vec<_>) = pending
            .into_iter()
            .map(|one| ((one.delivery, one.tries), one.document))
            .unzip();
        let outcomes = self.store.store(&documents).await;
        self.lanes.answered();
        let mut settled = Vec::with_capacity(documents.len());
        let (mut known, mut left, mut refused) = (0, Left::default(), Vec::new());
        let each = deliveries.into_iter().zip(documents).zip(outcomes);
        for (((delivery, tries), document), outcome) in each {
            let again = |delivery, document| Unwritten {
                delivery,
                document,
                tries: tries + 1,
            };
            let is_taken = matches!(
                outcome,
                WriteOutcome::Stored | WriteOutcome::Redelivered(_) | WriteOutcome::Repeated
            );
            if is_taken {
                left.took = left.took.max(Some(tries));
            }
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
                    left.nothing_passes = true;
                    left.cause = Some(reason);
                    left.later.push(again(delivery, document));
                }
                WriteOutcome::NotYet(reason) => {
                    left.cause.get_or_insert(reason);
                    left.later.push(again(delivery, document));
                }
                WriteOutcome::Bad(reason) => refused.push((delivery, reason)),
            }
        }
        metrics::written(settled.len() - known, known);
        Receipt::settle_all(settled);
        self.refuse(refused);
        if !left.later.is_empty() {
            self.wait(left.later.iter());
            metrics::write_retried(left.later.len());
        }
        left
    }
}

impl<S: PurchaseStore> BatchWriter<S> {
    /// Writes again after a pause of `backoff` while the database takes nothing; what it does not take
    /// while it takes others goes `again`, and the writer is free.
    pub fn new(attempts: Arc<Attempts<S>>, again: Addr<AgainMsg>, backoff: Backoff) -> Self {
        Self {
            attempts,
            again,
            backoff,
        }
    }
}

impl<S: PurchaseStore> BatchSink<Delivered> for BatchWriter<S> {
    async fn write(&self, batch: Vec<Delivered>) {
        let started = Instant::now();
        let size = batch.len();
        let positions = batch.iter().map(|delivery| delivery.receipt.position());
        self.attempts.lanes.taken(positions);
        let documented = |delivery: Delivered| Unwritten {
            document: PurchaseDocument::new(&delivery.value),
            delivery,
            tries: 0,
        };
        let mut pending: Vec<Unwritten> = batch.into_iter().map(documented).collect();
        let (mut attempt, mut pauses) = (0, self.backoff.pace());
        loop {
            let Left {
                mut later,
                cause,
                nothing_passes,
                ..
            } = self.attempts.attempt(pending, started).await;
            let Some(cause) = cause else { break };
            if !nothing_passes {
                // They may never pass. The writer is for what comes behind them, and so is the credit of what
                // they were read with.
                later.iter_mut().for_each(Unwritten::stay_behind);
                if self.again.send(AgainMsg::push(later, cause)).is_err() {
                    debug!("the stage for them is being replaced, the records will be read again");
                }
                break;
            }
            attempt += 1;
            let pause = pauses.next().unwrap_or(self.backoff.max);
            // The first refusal and then every tenth: an outage is told, not chanted.
            if attempt % 10 == 1 {
                warn!(records = later.len(), attempt, ?pause, %cause, "write failed, will be retried with the same ids");
            }
            tokio::time::sleep(pause).await;
            // Whoever has their partition reads them again; in a drain nobody waits for them any more.
            let lanes = &self.attempts.lanes;
            later.retain(|one| !lanes.is_superseded(one.delivery.receipt.position()));
            if later.is_empty() {
                break;
            }
            pending = later;
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
