//! Records that the database does not take now, while it takes others: they are tried again here, with the
//! same ids, until it does.
//!
//! In: what an attempt of a writer left. Out: the same as of any attempt. All of them are one heap, tried
//! in turns after a pause, however many batches they came from; so what never passes costs an attempt now
//! and then, and no writer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use actors::{Backoff, Cx, Failure, Pace, Stage};
use tokio::sync::Notify;
use tracing::{debug, info, warn};

use super::{Attempts, Left, PurchaseStore, Unwritten};

/// Records in one attempt. A document is small, so the bytes are few.
const CHUNK: usize = 1_000;

/// What the stage takes.
pub struct AgainMsg(Word);

enum Word {
    /// These were not taken, for this reason.
    Push(Vec<Unwritten>, String),
    /// The pause is over.
    Rested,
    /// An attempt is.
    Tried(Left),
}

impl AgainMsg {
    pub(super) fn push(later: Vec<Unwritten>, cause: String) -> Self {
        Self(Word::Push(later, cause))
    }
}

/// Tries again.
pub struct WriteAgain<S> {
    attempts: Arc<Attempts<S>>,
    resting: VecDeque<Unwritten>,
    pauses: Pace,
    failed: u32,
    since: Instant,
    /// Ends the pause.
    closing: Arc<Notify>,
    is_closing: bool,
}

impl<S: PurchaseStore> WriteAgain<S> {
    /// With a pause of `backoff` after every attempt that did not take everything.
    pub fn new(attempts: Arc<Attempts<S>>, backoff: Backoff) -> Self {
        Self {
            attempts,
            resting: VecDeque::new(),
            pauses: backoff.pace(),
            failed: 0,
            since: Instant::now(),
            closing: Arc::default(),
            is_closing: false,
        }
    }

    fn rest(&mut self, cause: &str, cx: &mut Cx<AgainMsg>) {
        self.failed += 1;
        let (records, attempt) = (self.resting.len(), self.failed);
        let pause = self.pauses.next().unwrap_or_default();
        // The first refusal and then every tenth.
        if attempt % 10 == 1 {
            warn!(records, attempt, ?pause, %cause, "not written while others are, will be retried with the same ids");
        }
        let closing = Arc::clone(&self.closing);
        cx.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = closing.notified() => {}
            }
            AgainMsg(Word::Rested)
        });
    }

    fn attempt(&mut self, cx: &mut Cx<AgainMsg>) {
        let lanes = &self.attempts.lanes;
        // What a former reader left is read again by the one that took its place, here or elsewhere.
        self.resting
            .retain(|one| !lanes.is_superseded(one.delivery.receipt.position()));
        let chunk: Vec<Unwritten> = {
            let count = self.resting.len().min(CHUNK);
            self.resting.drain(..count).collect()
        };
        if chunk.is_empty() {
            if self.failed > 0 && !self.is_closing {
                info!(attempts = self.failed, took = ?self.since.elapsed(), "nothing is left to be written again");
            }
            self.failed = 0;
            self.pauses.reset();
            return;
        }
        let (attempts, began) = (Arc::clone(&self.attempts), Instant::now());
        cx.spawn(async move { AgainMsg(Word::Tried(attempts.attempt(chunk, began).await)) });
    }
}

impl<S: PurchaseStore> Stage for WriteAgain<S> {
    type Msg = AgainMsg;

    async fn handle(&mut self, msg: AgainMsg, cx: &mut Cx<AgainMsg>) -> Result<(), Failure> {
        match msg.0 {
            Word::Push(later, cause) => {
                self.resting.extend(later);
                if cx.in_flight() == 0 {
                    self.since = Instant::now();
                    self.rest(&cause, cx);
                } else {
                    debug!(%cause, "more is to be written again");
                }
            }
            Word::Rested => self.attempt(cx),
            Word::Tried(Left { later, cause, .. }) => {
                // An answer is a sign of life of all who wait for their turn behind it.
                self.attempts.wait(self.resting.iter());
                if !self.is_closing {
                    self.resting.extend(later);
                }
                match cause {
                    Some(cause) if !self.resting.is_empty() => self.rest(&cause, cx),
                    _ => self.attempt(cx),
                }
            }
        }
        Ok(())
    }

    /// Whose records these are has given his partitions back, and waited for them before he did: nobody
    /// waits for them now, and they are read again.
    async fn drained(&mut self, _: &mut Cx<AgainMsg>) -> Result<(), Failure> {
        self.is_closing = true;
        self.resting.clear();
        self.closing.notify_one();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
