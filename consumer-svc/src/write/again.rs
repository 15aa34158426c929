//! Records that the database does not take now, while it takes others: they are tried again here, with the
//! same ids, until it does.
//!
//! In: what an attempt of a writer left. Out: the same as of any attempt. All of them are one heap, however
//! many batches they came from, of which is tried what is due, one attempt at a time; so what never passes
//! costs an attempt now and then, and no writer.

mod resting;

use std::sync::Arc;
use std::time::Duration;

use actors::{Backoff, Cx, Failure, Pace, Stage};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{info, warn};

use self::resting::Resting;
use super::{Attempts, Left, PurchaseStore, Unwritten};

/// Records in one attempt. A document is small, so the bytes are few.
const CHUNK: usize = 1_000;
const SECOND: Duration = Duration::from_secs(1);
/// That some are not taken is told, not chanted.
const TOLD: Duration = Duration::from_secs(60);

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
    resting: Resting<Unwritten>,
    /// Chance, as the pauses of a second: what it leaves of one.
    seconds: Pace,
    failed: u32,
    since: Instant,
    told: Option<Instant>,
    /// Whether the attempt under way has some that came to the longest pause.
    has_old: bool,
    /// Ends the pause: somebody may be due sooner, or it is the end.
    sooner: Arc<Notify>,
    is_closing: bool,
}

impl<S: PurchaseStore> WriteAgain<S> {
    /// Each record rests for a pause of `backoff` after an attempt that did not take it.
    pub fn new(attempts: Arc<Attempts<S>>, backoff: Backoff) -> Self {
        let (min, max) = (SECOND, SECOND);
        Self {
            attempts,
            resting: Resting::new(backoff, CHUNK),
            seconds: Backoff {
                min,
                max,
                ..backoff
            }
            .pace(),
            failed: 0,
            has_old: false,
            since: Instant::now(),
            told: None,
            sooner: Arc::default(),
            is_closing: false,
        }
    }

    fn not_taken(&mut self, later: Vec<Unwritten>, cause: &str) {
        let share = self.seconds.next().unwrap_or(SECOND).as_secs_f64();
        let now = (Instant::now(), share);
        self.resting.push(later, |one| one.tries, now);
        self.failed += 1;
        if self.told.is_none_or(|told| told.elapsed() >= TOLD) {
            self.told = Some(Instant::now());
            let (records, attempt) = (self.resting.len(), self.failed);
            warn!(records, attempt, %cause, "not written while others are, will be retried with the same ids");
        }
    }

    /// Until the next may be due.
    fn rest(&self, cx: &mut Cx<AgainMsg>) {
        let Some(due) = self.resting.look_at(Instant::now()) else {
            return;
        };
        let sooner = Arc::clone(&self.sooner);
        cx.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = sooner.notified() => {}
            }
            AgainMsg(Word::Rested)
        });
    }

    /// Tries what is due, or rests.
    fn attempt(&mut self, cx: &mut Cx<AgainMsg>) {
        let lanes = &self.attempts.lanes;
        // What a former reader left is read again by the one that took its place, here or elsewhere.
        self.resting
            .retain(|one| !lanes.is_superseded(one.delivery.receipt.position()));
        if self.resting.is_empty() {
            if self.failed > 0 && !self.is_closing {
                info!(attempts = self.failed, took = ?self.since.elapsed(), "nothing is left to be written again");
            }
            (self.failed, self.told) = (0, None);
            return;
        }
        let chunk = self.resting.take_due(Instant::now());
        if chunk.is_empty() {
            return self.rest(cx);
        }
        self.has_old = chunk.iter().any(|one| self.resting.is_old(one.tries));
        let (attempts, began) = (Arc::clone(&self.attempts), std::time::Instant::now());
        cx.spawn(async move { AgainMsg(Word::Tried(attempts.attempt(chunk, began).await)) });
    }
}

impl<S: PurchaseStore> Stage for WriteAgain<S> {
    type Msg = AgainMsg;

    async fn handle(&mut self, msg: AgainMsg, cx: &mut Cx<AgainMsg>) -> Result<(), Failure> {
        match msg.0 {
            Word::Push(later, cause) => {
                if self.failed == 0 {
                    self.since = Instant::now();
                }
                self.not_taken(later, &cause);
                if cx.in_flight() == 0 {
                    self.rest(cx);
                } else {
                    self.sooner.notify_one();
                }
            }
            Word::Rested => {
                // Who rests is known to.
                self.attempts.wait(self.resting.iter());
                self.attempt(cx);
            }
            Word::Tried(Left { later, cause, .. }) => {
                // An answer is a sign of life of all who wait for their turn behind it.
                self.attempts.wait(self.resting.iter());
                match cause {
                    Some(cause) if !self.is_closing => self.not_taken(later, &cause),
                    None if self.has_old => self.resting.hurry(Instant::now()),
                    _ => {}
                }
                self.attempt(cx);
            }
        }
        Ok(())
    }

    /// Whose records these are has given his partitions back, and waited for them before he did: nobody
    /// waits for them now, and they are read again.
    async fn drained(&mut self, _: &mut Cx<AgainMsg>) -> Result<(), Failure> {
        self.is_closing = true;
        self.resting.clear();
        self.sooner.notify_one();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
