//! Dead letters: where records go that can never become a purchase.
//!
//! In: bad records, whole. Out: the same key, value and headers on the dead-letter topic, with
//! reason and origin in headers of their own. A record is settled only after its letter's
//! delivery is confirmed; until then its partition's offset stands still and its reader comes to its
//! bound, which is the wanted pressure: nothing is skipped because letters cannot be delivered. A letter that
//! cannot is given up once another reader of its partition has begun, here or elsewhere: he reads the record again.

pub mod kafka;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use actors::{Backoff, BatchSink, Outcome, Pace, Receipt};
use futures_util::future::join_all;
use purchases::wire;
use tokio::sync::Semaphore;
use tracing::warn;

use crate::flow::{BadRecord, Incoming, Note, Origin, Original, Rejected, Rejection};
use crate::lane::{Lanes, Letter};
use crate::metrics;

/// Headers a letter carries beyond those of the original.
pub mod header {
    /// Why the record was refused.
    pub const REASON: &str = "dlq-reason";
    /// Topic of the original record.
    pub const TOPIC: &str = "dlq-topic";
    /// Partition of the original record.
    pub const PARTITION: &str = "dlq-partition";
    /// Offset of the original record.
    pub const OFFSET: &str = "dlq-offset";
    /// The time that the log has for the original record, RFC 3339, where it has one.
    pub const RECORD_TIME: &str = "dlq-record-time";
    /// Only where the topic takes no letter of this size: the length of the original value. Of it, and
    /// of the key where that is too large too, the letter has the beginning; then it has no headers of
    /// the original but that it came back.
    pub const TRUNCATED_FROM: &str = "dlq-truncated-from";
    /// When the letter was written, RFC 3339.
    pub const TIME: &str = "dlq-time";
}

/// The port to the dead-letter topic.
pub trait LetterBox: Send + Sync + 'static {
    /// Delivers one letter and waits for the confirmation of all in-sync replicas.
    ///
    /// # Errors
    /// Why it is not known to be delivered.
    fn deliver(&self, record: &BadRecord) -> impl Future<Output = Result<(), String>> + Send;
}

/// The port to the log, for records whose bytes nobody has kept.
pub trait Originals: Send + Sync + 'static {
    /// Reads records again from where they stand, in the order asked for; nothing for one that is
    /// not in the log any more.
    ///
    /// # Errors
    /// Why the log could not be read.
    fn read(
        &self,
        wanted: Vec<Origin>,
    ) -> impl Future<Output = Result<Vec<Option<Original>>, String>> + Send;
}

/// Batches of letters that may be under way: all there are. One whose letters cannot go must not have a place that
/// another needs, and what bounds them is their credit.
pub const BATCHES_AT_ONCE: usize = usize::MAX;

/// Letters that are on their way to the broker at once. Each has a request of its own: more of them would only wait in
/// the client, some for longer than a letter may take, and would be sent twice.
const LETTERS_AT_ONCE: usize = 400;

/// Delivers letters until each is confirmed, or another reader has its record.
pub struct DeadLetters<L, O> {
    letters: L,
    originals: O,
    lanes: Lanes,
    backoff: Backoff,
    /// Whose turn it is to read again what stands in a partition. Many batches may wait for one that cannot be
    /// read, and one of them finds out when it can.
    turns: Mutex<BTreeMap<i32, Arc<Turn>>>,
    under_way: Semaphore,
}

type Turn = tokio::sync::Mutex<()>;

/// What is under way until a letter has arrived.
type Owed = (Receipt<Note>, Option<Letter>);

/// Attempts on the same thing that failed.
struct Failed {
    attempts: u32,
    pauses: Pace,
}

impl<L: LetterBox, O: Originals> DeadLetters<L, O> {
    /// `backoff`: between the attempts on the same letter.
    pub fn new((letters, originals): (L, O), lanes: Lanes, backoff: Backoff) -> Self {
        Self {
            letters,
            originals,
            lanes,
            backoff,
            turns: Mutex::default(),
            under_way: Semaphore::new(LETTERS_AT_ONCE),
        }
    }

    fn turn(&self, partition: i32) -> Arc<Turn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(partition).or_default())
    }

    /// Before the next attempt.
    async fn failed(&self, origin: &Origin, failed: &mut Failed, cause: &str) {
        self.lanes.letter_answered();
        failed.attempts += 1;
        let (attempt, pause) = (failed.attempts, failed.pauses.next());
        let pause = pause.unwrap_or(self.backoff.max);
        if attempt % 10 == 1 {
            let Origin {
                partition, offset, ..
            } = origin;
            warn!(partition, offset, attempt, ?pause, %cause, "dead letter not delivered, its partition waits");
        }
        tokio::time::sleep(pause).await;
    }

    fn nothing_failed(&self) -> Failed {
        Failed {
            attempts: 0,
            pauses: self.backoff.pace(),
        }
    }

    async fn deliver(&self, record: BadRecord, (receipt, letter): Owed) {
        let mut failed = self.nothing_failed();
        while let Err(cause) = self.attempt(&record).await {
            self.failed(&record.origin, &mut failed, &cause).await;
            if self.lanes.is_superseded(receipt.position()) {
                return;
            }
        }
        self.lanes.letter_answered();
        metrics::dead_lettered(1);
        receipt.settle(Outcome::DeadLettered, None);
        drop(letter);
    }

    /// Who was not taken rests without a place among those that are on their way.
    async fn attempt(&self, record: &BadRecord) -> Result<(), String> {
        let place = self.under_way.acquire().await;
        let delivered = self.letters.deliver(record).await;
        drop(place);
        delivered
    }

    async fn deliver_all(&self, letters: Vec<(BadRecord, Owed)>) {
        let each = letters
            .into_iter()
            .map(|(record, owed)| self.deliver(record, owed));
        join_all(each).await;
    }

    /// Reads again what these documents came in. Nothing, once nobody waits for them any more.
    async fn whole(&self, refused: Vec<(Incoming, String)>, owed: &[Owed]) -> Vec<BadRecord> {
        let wanted: Vec<Origin> = refused.iter().map(|(one, _)| one.origin.clone()).collect();
        let Some(first) = wanted.first() else {
            return Vec::new();
        };
        let turn = self.turn(first.partition);
        let turn = turn.lock().await;
        let mut failed = self.nothing_failed();
        let originals = loop {
            let superseded = |(receipt, _): &Owed| self.lanes.is_superseded(receipt.position());
            if owed.iter().all(superseded) {
                return Vec::new();
            }
            match self.originals.read(wanted.clone()).await {
                Ok(originals) => break originals,
                Err(cause) => self.failed(first, &mut failed, &cause).await,
            }
        };
        drop(turn);
        let records = refused.into_iter().zip(originals);
        records
            .map(|((incoming, reason), original)| bad_record(incoming, reason, original))
            .collect()
    }
}

impl<L: LetterBox, O: Originals> BatchSink<Rejected> for DeadLetters<L, O> {
    async fn write(&self, batch: Vec<Rejected>) {
        let (mut whole, mut refused) = (Vec::new(), BTreeMap::<_, (Vec<_>, Vec<_>)>::new());
        for Rejected {
            value,
            receipt,
            letter,
        } in batch
        {
            match value {
                Rejection::Record(record) => whole.push((record, (receipt, letter))),
                Rejection::Document { incoming, reason } => {
                    let of_partition = refused.entry(incoming.origin.partition).or_default();
                    of_partition.0.push((*incoming, reason));
                    of_partition.1.push((receipt, letter));
                }
            }
        }
        // All letters of a batch travel together; each is settled when it has arrived. What is read again is
        // read for each partition apart: one whose leader is away must not keep the others' letters.
        let again = refused.into_values().map(async |(refused, owed)| {
            let records = self.whole(refused, &owed).await;
            self.deliver_all(records.into_iter().zip(owed).collect())
                .await;
        });
        tokio::join!(self.deliver_all(whole), join_all(again));
    }
}

/// A record whose document was refused, as it stands in the log. Where it does not stand there any
/// more, it is made again of what was read of it, and the reason says so.
fn bad_record(incoming: Incoming, reason: String, original: Option<Original>) -> BadRecord {
    let Incoming {
        purchase,
        origin,
        came_back,
        ..
    } = incoming;
    let Some(original) = original else {
        let id = purchase.id().to_hex().to_vec();
        let mut headers = vec![(wire::PURCHASE_ID.to_owned(), Some(id))];
        if came_back {
            // Where it stood first, nobody has kept; that it came back must be known wherever it is met.
            let place = wire::place(&origin.topic, origin.partition, origin.offset);
            headers.push((wire::REPLAY_OF.to_owned(), Some(place.into_bytes())));
        }
        return BadRecord {
            original: Original {
                key: Some(purchase.user_id().as_str().as_bytes().to_vec()),
                value: Some(wire::encode_value(&purchase)),
                headers,
                time: None,
            },
            reason: format!(
                "{reason} (the log has the record no more: this letter is made of what was read of it)"
            ),
            came_back,
            origin,
        };
    };
    BadRecord {
        original,
        reason,
        came_back,
        origin,
    }
}

#[cfg(test)]
mod tests;
