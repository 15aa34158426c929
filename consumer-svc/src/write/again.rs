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

use self::resting::{Moment, Resting};
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
            since: Instant::now(),
            told: None,
            sooner: Arc::default(),
            is_closing: false,
        }
    }

    fn now(&mut self) -> Moment {
        let share = self.seconds.next().unwrap_or(SECOND).as_secs_f64();
        (Instant::now(), share)
    }

    fn not_taken(&mut self, later: Vec<Unwritten>, cause: &str) {
        let now = self.now();
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
        let now = self.now();
        let lanes = &self.attempts.lanes;
        // What a former reader left is read again by the one that took its place, here or elsewhere.
        let is_superseded = |one: &Unwritten| lanes.is_superseded(one.delivery.receipt.position());
        self.resting.retain(|one| !is_superseded(one), now);
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
            Word::Tried(left) => {
                // An answer is a sign of life of all who wait for their turn behind it.
                self.attempts.wait(self.resting.iter());
                let took_old = left.took.is_some_and(|tries| self.resting.is_old(tries));
                let is_all = left.cause.is_none();
                if let Some(cause) = left.cause.filter(|_| !self.is_closing) {
                    self.not_taken(left.later, &cause);
                }
                if !took_old {
                    let now = self.now();
                    self.resting.calm(now);
                } else if is_all {
                    self.resting.hurry(Instant::now());
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
