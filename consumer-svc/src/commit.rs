//! Commit stage: counts what was stored, and moves offsets; nothing else does either.
//!
//! In: what was read and what was settled. Out: statistics through [`TallyStore`], and after them
//! synchronous commits through [`Committer`], newest position only, one at a time, on a blocking
//! thread: the client reports no result for asynchronous ones
//! (<https://github.com/fede1024/rust-rdkafka/issues/856>).
//! It must not commit beyond what is counted in saved statistics, nor for an epoch that is over;
//! and its mailbox never waits for the database or the coordinator.

mod again;
pub mod kafka;
mod ledger;
mod opening;
mod release;
mod saving;
mod start;
mod warrant;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::{Addr, Backoff, Cx, Epoch, Failure, Settle, Settled, Stage, Timer};
use tracing::{debug, warn};

use self::again::Looks;
use self::ledger::Ledger;
use self::opening::{Pending, Reader};
use self::release::Release;
use self::start::Starts;
pub use self::warrant::Warrant;
use crate::flow::{CommitError, CommitMsg, Learnt, Note};
use crate::mark::Print;
use crate::metrics;
use crate::tally::TallyStore;

/// The port to the broker.
pub trait Committer: Send + Sync + 'static {
    /// Commits next offsets by partition, once it has used the warrant, which is the last thing before
    /// they are the client's. Blocks until the coordinator has answered.
    ///
    /// # Errors
    /// Why they are not known to be committed.
    fn commit(&self, positions: &[(i32, u64)], warrant: &Warrant) -> Result<(), CommitError>;

    /// Where the group stands in these partitions, as far as anybody says. Blocks, for seconds at most.
    fn standings(&self, partitions: &[i32]) -> Learnt;

    /// The record that stands at this offset; `None` if there is none any more. Whoever waits no longer may drop
    /// it.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    fn print(
        &self,
        partition: i32,
        offset: u64,
    ) -> impl Future<Output = Result<Option<Print>, String>> + Send;
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

/// The stage. Its books live and die with it; after a restart every reader opens anew.
pub struct Commit<C, T> {
    committer: Arc<C>,
    tallies: Arc<T>,
    /// From one tick to the next: the interval, and longer while saving or committing fails.
    pace: Backoff,
    ledger: Ledger,
    /// Partitions that are not read yet: where to start is being asked, and then their statistics.
    openings: BTreeMap<i32, Pending>,
    readers: HashMap<i32, Reader>,
    releases: Vec<Release>,
    starts: Starts,
    looks: Looks,
    /// At most one round of saving is under way; the next one takes what is newest then.
    saving: bool,
    /// Epochs of the partitions whose commit is under way. At most one commit is, so that an older
    /// position never overtakes a newer one.
    committing: BTreeMap<i32, Epoch>,
    /// Of that commit.
    warrant: Warrant,
    /// Consecutive rounds of saving that failed, for the backoff.
    unsaved: u32,
    /// Consecutive refusals, for the backoff.
    refused: u32,
    tick: Option<Timer>,
    draining: bool,
}

/// A release polls its own deadline at this pace when nothing else wakes it.
const RELEASE_PACE: Duration = Duration::from_millis(20);

impl<C: Committer, T: TallyStore> Commit<C, T> {
    /// `interval`: how often moved positions are saved and committed.
    pub fn new(committer: Arc<C>, tallies: Arc<T>, interval: Duration) -> Self {
        Self {
            committer,
            tallies,
            pace: Backoff {
                min: interval,
                max: interval * 16,
                ..Backoff::default()
            },
            ledger: Ledger::default(),
            openings: BTreeMap::new(),
            readers: HashMap::new(),
            releases: Vec::new(),
            starts: Starts::new(),
            looks: Looks::new(),
            saving: false,
            committing: BTreeMap::new(),
            warrant: Warrant::default(),
            unsaved: 0,
            refused: 0,
            tick: None,
            draining: false,
        }
    }

    /// Arms the next tick: soon while a release waits, backed off while saving or committing fails.
    fn arm(&mut self, cx: &mut Cx<CommitMsg>) {
        let pause = if self.releases.is_empty() {
            // No chance is needed: one member commits for a partition.
            self.pace.delay(self.refused.max(self.unsaved), 0.0)
        } else {
            RELEASE_PACE
        };
        self.tick = Some(cx.send_after(pause, CommitMsg::Tick));
    }

    /// Starts whatever is due and not under way: saving first, and committing what is saved.
    fn advance(&mut self, cx: &mut Cx<CommitMsg>) {
        self.save(cx);
        self.commit(cx);
    }

    /// Starts one commit of everything that is due, unless one is under way.
    fn commit(&mut self, cx: &mut Cx<CommitMsg>) {
        if !self.committing.is_empty() {
            return;
        }
        let mut positions = self.ledger.due();
        positions.retain(|(partition, _)| !self.is_lost(*partition));
        if positions.is_empty() {
            return;
        }
        let epochs = positions.iter().filter_map(|(partition, _)| {
            let epoch = self.ledger.epoch(*partition)?;
            Some((*partition, epoch))
        });
        self.committing = epochs.collect();
        self.warrant = Warrant::default();
        let (committer, warrant) = (Arc::clone(&self.committer), self.warrant.clone());
        cx.spawn_blocking(move || {
            let started = Instant::now();
            let result = committer.commit(&positions, &warrant);
            if result != Err(CommitError::Withdrawn) {
                metrics::commit(started.elapsed(), result.is_ok());
            }
            CommitMsg::Committed { positions, result }
        });
    }

    fn committed(&mut self, positions: &[(i32, u64)], result: Result<(), CommitError>) {
        let epochs = std::mem::take(&mut self.committing);
        match result {
            Ok(()) => {
                self.refused = 0;
                for (partition, next) in positions {
                    // One that was given away meanwhile is not ours to show, and one that came back may
                    // have to be read from further ahead: it is committed anew.
                    let epoch = self.ledger.epoch(*partition);
                    if epoch.is_some() && epoch == epochs.get(partition).copied() {
                        self.ledger.committed(&[(*partition, *next)]);
                        metrics::committed(*partition, *next);
                    }
                }
                debug!(?positions, "committed");
            }
            Err(CommitError::Fenced(cause)) => {
                // The group has moved on; the revocation that tells us is on its way.
                for (partition, epoch) in epochs {
                    // A partition that came back meanwhile is in another epoch, and ours again.
                    if self.ledger.epoch(partition) == Some(epoch) {
                        self.fence(partition);
                    }
                }
                warn!(%cause, ?positions, "commit refused, partitions fenced");
            }
            Err(CommitError::Withdrawn) => {
                debug!(
                    ?positions,
                    "commit withdrawn, a partition of it was given back"
                );
            }
            Err(error) => {
                self.refused = self.refused.saturating_add(1);
                warn!(%error, ?positions, attempt = self.refused, "commit failed, will be retried with newer positions");
            }
        }
    }

    fn fence(&mut self, partition: i32) {
        self.ledger.fence(partition);
        self.readers.remove(&partition);
        self.openings.remove(&partition);
    }

    fn settled(&mut self, batch: Vec<Settled<Note>>) {
        let applied = self.ledger.settle(batch);
        metrics::fenced(applied.fenced);
        for partition in applied.recall {
            let reader = self.readers.get(&partition);
            // A partition that is stopped is not read again, and its reader must not use up the
            // restarts that those of the others have in common.
            if let Some(stopped) = reader.filter(|reader| reader.lane.halted().is_some()) {
                stopped.lane.rest();
                continue;
            }
            warn!(
                partition,
                "a record failed, its reader starts over from what is settled"
            );
            if let Some(reader) = reader {
                (reader.recall)();
            }
        }
        for (partition, passed, next) in self.ledger.passed() {
            if let Some(reader) = self.readers.get(&partition) {
                reader.lane.passed(passed, next);
            }
        }
    }

    /// Whether the next step need not wait for the tick's pace.
    fn is_well(&self) -> bool {
        self.refused == 0 && self.unsaved == 0
    }
}

impl<C: Committer, T: TallyStore> Stage for Commit<C, T> {
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
                standing,
                lane,
                recall,
                opened,
            } => {
                let reader = Reader::new(recall, lane);
                let pending = Pending::new(epoch, standing, reader, opened);
                self.open(partition, pending, cx);
            }
            CommitMsg::Stood { asked, found } => self.stood(&asked, found, cx),
            CommitMsg::Loaded {
                partition,
                epoch,
                found,
            } => self.loaded(partition, epoch, found, cx),
            CommitMsg::Admit {
                partition,
                epoch,
                offsets,
                mark,
            } => {
                let late = offsets
                    .into_iter()
                    .filter(|offset| !self.ledger.admit(partition, epoch, *offset));
                metrics::fenced(late.count());
                if let Some(mark) = mark {
                    self.ledger.mark(partition, epoch, mark);
                }
            }
            CommitMsg::Settled(batch) => self.settled(batch),
            CommitMsg::Release {
                partitions,
                wait,
                lost,
                reply,
            } => {
                self.releases
                    .push(Release::new(partitions, wait, lost, reply));
                self.arm(cx);
            }
            CommitMsg::Tick => {
                self.ask_starts(cx);
                self.load_again(cx);
                self.advance(cx);
                self.look(cx);
                self.arm(cx);
            }
            CommitMsg::Looked { look, found } => self.looked(look, found),
            CommitMsg::Saved(saved) => {
                self.saved(saved)?;
                self.commit(cx);
            }
            CommitMsg::Committed { positions, result } => {
                self.committed(&positions, result);
                // The mailbox is closed: no tick comes any more for what moved meanwhile.
                if self.draining && self.is_well() {
                    self.advance(cx);
                }
            }
        }
        if !self.releases.is_empty() {
            // After a failure only the tick tries again, at its pace.
            if self.is_well() {
                self.advance(cx);
            }
            self.finish_releases();
        }
        Ok(())
    }

    async fn drained(&mut self, cx: &mut Cx<CommitMsg>) -> Result<(), Failure> {
        (self.tick, self.draining) = (None, true);
        self.openings.clear();
        self.starts.close();
        let open: Vec<i32> = self.ledger.partitions().collect();
        if !open.is_empty() {
            warn!(partitions = ?open, "draining while partitions are still assigned");
        }
        self.advance(cx);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
