//! Commit stage: moves offsets, and nothing else does.
//!
//! In: what was read and what was settled. Out: synchronous commits through [`Committer`], newest
//! position only, one at a time, on a blocking thread: the client reports no result for
//! asynchronous ones (<https://github.com/fede1024/rust-rdkafka/issues/856>).
//! It must not commit for an epoch that is over.

pub mod kafka;
mod ledger;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::{Addr, Cx, Failure, Reply, Settle, Settled, Stage, Timer};
use tracing::{debug, info, warn};

use self::ledger::Ledger;
use crate::flow::{CommitError, CommitMsg, Note, Recall, Released};
use crate::metrics;

/// The port to the group coordinator.
pub trait Committer: Send + Sync + 'static {
    /// Commits next offsets by partition. Blocks until the coordinator has answered.
    fn commit(&self, positions: &[(i32, u64)]) -> Result<(), CommitError>;
}

/// Delivers settlements to the commit stage. A settlement that finds it dead is dropped: the
/// partition's next epoch begins at what was committed.
pub struct CommitOutlet(pub Addr<CommitMsg>);

impl Settle<Note> for CommitOutlet {
    fn settled(&self, batch: Vec<Settled<Note>>) {
        metrics::settled(&batch);
        if self.0.send(CommitMsg::Settled(batch)).is_err() {
            debug!("settlements dropped, the commit stage is being replaced");
        }
    }
}

/// A release that waits for unsettled work or for a commit.
struct Release {
    partitions: Vec<i32>,
    until: Instant,
    lost: bool,
    reply: Reply<Vec<Released>>,
}

/// The stage. Its books live and die with it; after a restart every reader opens anew.
pub struct Commit<C> {
    committer: Arc<C>,
    interval: Duration,
    ledger: Ledger,
    recalls: HashMap<i32, Recall>,
    releases: Vec<Release>,
    /// At most one commit is under way, so that an older position never overtakes a newer one.
    committing: bool,
    /// Consecutive refusals, for the backoff.
    refused: u32,
    tick: Option<Timer>,
    draining: bool,
}

/// A release polls its own deadline at this pace when nothing else wakes it.
const RELEASE_PACE: Duration = Duration::from_millis(20);

impl<C: Committer> Commit<C> {
    /// `interval`: how often moved positions are committed.
    pub fn new(committer: Arc<C>, interval: Duration) -> Self {
        Self {
            committer,
            interval,
            ledger: Ledger::default(),
            recalls: HashMap::new(),
            releases: Vec::new(),
            committing: false,
            refused: 0,
            tick: None,
            draining: false,
        }
    }

    /// Arms the next tick: soon while a release waits, backed off while the coordinator refuses.
    fn arm(&mut self, cx: &mut Cx<CommitMsg>) {
        let pause = if self.releases.is_empty() {
            self.interval * 2u32.pow(self.refused.min(4))
        } else {
            RELEASE_PACE
        };
        self.tick = Some(cx.send_after(pause, CommitMsg::Tick));
    }

    /// Starts one commit of everything that moved, unless one is under way.
    fn commit(&mut self, cx: &mut Cx<CommitMsg>) {
        if self.committing {
            return;
        }
        let lost: Vec<i32> = self
            .releases
            .iter()
            .filter(|release| release.lost)
            .flat_map(|release| release.partitions.clone())
            .collect();
        let mut positions = self.ledger.due(None);
        positions.retain(|(partition, _)| !lost.contains(partition));
        if positions.is_empty() {
            return;
        }
        self.committing = true;
        let committer = Arc::clone(&self.committer);
        cx.spawn_blocking(move || {
            let started = Instant::now();
            let result = committer.commit(&positions);
            metrics::commit(started.elapsed(), result.is_ok());
            CommitMsg::Committed { positions, result }
        });
    }

    fn committed(&mut self, positions: &[(i32, u64)], result: Result<(), CommitError>) {
        self.committing = false;
        match result {
            Ok(()) => {
                self.refused = 0;
                self.ledger.committed(positions);
                for (partition, next) in positions {
                    metrics::committed(*partition, *next);
                }
                debug!(?positions, "committed");
            }
            Err(CommitError::Fenced(cause)) => {
                // The group has moved on; the revocation that tells us is on its way.
                for (partition, _) in positions {
                    self.fence(*partition);
                }
                warn!(%cause, ?positions, "commit refused, partitions fenced");
            }
            Err(error) => {
                self.refused = self.refused.saturating_add(1);
                warn!(%error, ?positions, attempt = self.refused, "commit failed, will be retried with newer positions");
            }
        }
    }

    fn fence(&mut self, partition: i32) {
        self.ledger.fence(partition);
        self.recalls.remove(&partition);
    }

    /// Answers every release whose partitions are settled and committed, or out of time.
    fn finish_releases(&mut self) {
        if self.committing {
            return;
        }
        let now = Instant::now();
        for release in std::mem::take(&mut self.releases) {
            let overdue = now >= release.until;
            let done = release
                .partitions
                .iter()
                .all(|partition| self.is_done(*partition, release.lost));
            if !done && !overdue {
                self.releases.push(release);
                continue;
            }
            let released: Vec<Released> = release
                .partitions
                .iter()
                .map(|partition| self.close(*partition))
                .collect();
            if release.reply.send(released).is_err() {
                debug!("nobody waits for the release any more");
            }
        }
    }

    fn is_done(&self, partition: i32, lost: bool) -> bool {
        match self.ledger.position(partition) {
            None => true,
            Some(_) if self.ledger.is_failed(partition) => true,
            Some((_, committed)) => self.ledger.pending(partition) == 0 && (committed || lost),
        }
    }

    fn close(&mut self, partition: i32) -> Released {
        let (next, committed) = self.ledger.position(partition).unwrap_or_default();
        let unsettled = self.ledger.pending(partition);
        self.fence(partition);
        Released {
            partition,
            next,
            committed,
            unsettled,
        }
    }
}

impl<C: Committer> Stage for Commit<C> {
    type Msg = CommitMsg;

    async fn started(&mut self, cx: &mut Cx<CommitMsg>) -> Result<(), Failure> {
        self.arm(cx);
        Ok(())
    }

    async fn handle(&mut self, msg: CommitMsg, cx: &mut Cx<CommitMsg>) -> Result<(), Failure> {
        match msg {
            CommitMsg::Open {
                partition,
                epoch,
                start,
                recall,
                reply,
            } => {
                let next = self.ledger.open(partition, epoch, start);
                self.recalls.insert(partition, recall);
                info!(partition, %epoch, next, "partition opened");
                if reply.send(next).is_err() {
                    debug!(partition, "the reader went away while opening");
                }
                self.commit(cx);
            }
            CommitMsg::Admit {
                partition,
                epoch,
                offsets,
            } => {
                let late = offsets
                    .into_iter()
                    .filter(|offset| !self.ledger.admit(partition, epoch, *offset));
                metrics::fenced(late.count());
            }
            CommitMsg::Settled(batch) => {
                let applied = self.ledger.settle(&batch);
                metrics::fenced(applied.fenced);
                for partition in applied.recall {
                    warn!(
                        partition,
                        "a record failed, its reader starts over from what is settled"
                    );
                    if let Some(recall) = self.recalls.get(&partition) {
                        recall();
                    }
                }
            }
            CommitMsg::Release {
                partitions,
                wait,
                lost,
                reply,
            } => {
                self.releases.push(Release {
                    partitions,
                    until: Instant::now() + wait,
                    lost,
                    reply,
                });
                self.arm(cx);
            }
            CommitMsg::Tick => {
                self.commit(cx);
                self.arm(cx);
            }
            CommitMsg::Committed { positions, result } => {
                self.committed(&positions, result);
                // The mailbox is closed: no tick comes any more for what moved meanwhile.
                if self.draining && self.refused == 0 {
                    self.commit(cx);
                }
            }
        }
        if !self.releases.is_empty() {
            // After a refusal only the tick tries again, at its pace.
            if self.refused == 0 {
                self.commit(cx);
            }
            self.finish_releases();
        }
        Ok(())
    }

    async fn drained(&mut self, cx: &mut Cx<CommitMsg>) -> Result<(), Failure> {
        (self.tick, self.draining) = (None, true);
        let open: Vec<i32> = self.ledger.partitions().collect();
        if !open.is_empty() {
            warn!(partitions = ?open, "draining while partitions are still assigned");
        }
        self.commit(cx);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
