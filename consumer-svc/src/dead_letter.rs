//! Dead letters: where records go that can never become a purchase.
//!
//! In: bad records, whole. Out: the same key, value and headers on the dead-letter topic, with
//! reason and origin in headers of their own. A record is settled only after its letter's
//! delivery is confirmed; until then its partition's offset stands still and credits run out,
//! which is the wanted pressure: nothing is skipped because the letters cannot be delivered.

pub mod kafka;

use std::time::Duration;

use actors::{BatchSink, Outcome, Receipt};
use tracing::warn;

use crate::flow::{BadRecord, Origin, Rejected};
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
    /// Only where the topic takes no letter of this size: the length of the original value, of
    /// which the letter has the beginning.
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

/// Delivers letters until each is confirmed.
pub struct DeadLetters<L> {
    letters: L,
    pause: Duration,
}

impl<L: LetterBox> DeadLetters<L> {
    /// `pause`: between two attempts on the same letter.
    pub fn new(letters: L, pause: Duration) -> Self {
        Self { letters, pause }
    }

    async fn deliver(&self, record: &BadRecord) {
        let mut attempt = 0u32;
        while let Err(cause) = self.letters.deliver(record).await {
            attempt += 1;
            if attempt % 10 == 1 {
                let Origin {
                    partition, offset, ..
                } = record.origin;
                warn!(partition, offset, attempt, %cause, "dead letter not delivered, its partition waits");
            }
            tokio::time::sleep(self.pause).await;
        }
    }
}

impl<L: LetterBox> BatchSink<Rejected> for DeadLetters<L> {
    async fn write(&self, batch: Vec<Rejected>) {
        // All letters of a batch travel together; each is settled when it has arrived.
        futures_util::future::join_all(batch.into_iter().map(
            async |Rejected { value, receipt }| {
                self.deliver(&value).await;
                metrics::dead_lettered(1);
                Receipt::settle(receipt, Outcome::DeadLettered, None);
            },
        ))
        .await;
    }
}

#[cfg(test)]
mod tests;
