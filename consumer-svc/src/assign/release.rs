//! The protocol around a rebalance, apart from any client: starting readers, giving back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actors::{Addr, ChildSpec, Children, Epoch};
use futures_util::future::join_all;
use tracing::{debug, info, warn};

use super::ReleasePace;
use crate::flow::{CommitMsg, DeadLetterMsg, Released, Standing, WriteMsg};
use crate::lane::{Cause, Lane, Lanes};
use crate::metrics;

/// A partition that is ready to be read.
pub struct Assigned<P> {
    /// The partition.
    pub partition: i32,
    /// Where the group stands in it; nothing if nobody could say so in time.
    pub standing: Option<Standing>,
    /// What the reader opens.
    pub records: Arc<P>,
    /// What the stages share of it.
    pub lane: Lane,
}

/// A partition, where the group stands in it if that is known, and its records.
pub(super) type Ready<P> = (i32, Option<Standing>, P);

/// Makes the child that reads a partition. Given by the wiring, so that this stage knows no reader.
pub type MakeReader<P> = Box<dyn Fn(Assigned<P>) -> ChildSpec + Send + Sync>;

/// Runs and stops the readers of this member.
pub struct Assignment<P> {
    /// The supervisor of the readers.
    pub readers: Children,
    /// Makes one of them.
    pub make: MakeReader<P>,
    /// The commit stage.
    pub commit: Addr<CommitMsg>,
    /// The batch writer, to be flushed when a partition goes.
    pub write: Addr<WriteMsg>,
    /// The dead letters, likewise.
    pub dead_letter: Addr<DeadLetterMsg>,
    /// How long giving back may take.
    pub pace: ReleasePace,
    /// The present assignment.
    pub held: Held,
}

/// Partitions this member holds, and what became of those it gave back last.
#[derive(Clone)]
pub struct Held {
    /// The partitions.
    pub lanes: Lanes,
    given_back: Arc<Mutex<GivenBack>>,
}

/// The account of the last time that partitions were given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenBack {
    /// Partitions.
    pub partitions: usize,
    /// Records that were read and left unsettled; their next owner reads them again.
    pub unsettled: usize,
    /// Partitions whose last position is not known to be committed.
    pub uncommitted: usize,
}

impl GivenBack {
    /// Whether nothing was left to the next owner.
    pub fn is_whole(&self) -> bool {
        self.unsettled == 0 && self.uncommitted == 0
    }
}

impl Held {
    /// Nothing is held and nothing was given back.
    pub fn new(lanes: Lanes) -> Self {
        let given_back = Arc::default();
        Self { lanes, given_back }
    }

    /// The partitions, in order.
    pub fn partitions(&self) -> Vec<i32> {
        self.lanes.partitions()
    }

    /// What became of the partitions that were given back last.
    pub fn given_back(&self) -> GivenBack {
        *self
            .given_back
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn account(&self, given_back: GivenBack) {
        *self
            .given_back
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = given_back;
    }
}

impl<P: Send + Sync + 'static> Assignment<P> {
    /// Starts a reader for each partition. One of which nobody knows where to start has a reader, too,
    /// which begins once that is known.
    ///
    /// # Errors
    /// The first reader that would not start, and why.
    pub async fn start(&self, partitions: Vec<Ready<P>>) -> Result<(), String> {
        // What an earlier assignment left is not what this one leaves.
        self.held.account(GivenBack::default());
        for (partition, standing, records) in partitions {
            let lane = self.held.lanes.open(partition);
            if let Some(Err(reason)) = standing.map(|standing| standing.is_in_log()) {
                lane.halt(Cause::OffsetGone, reason);
            }
            let child = (self.make)(Assigned {
                partition,
                standing,
                records: Arc::new(records),
                lane,
            });
            self.readers
                .start(child)
                .await
                .map_err(|error| format!("reader of partition {partition}: {error}"))?;
        }
        metrics::assigned(&self.held.partitions());
        Ok(())
    }

    /// Gives back whatever is held, and answers what that was. Who holds nothing leaves nothing,
    /// whatever was left the last time: the account is of this time.
    pub async fn release_all(&self, lost: bool) -> Vec<i32> {
        let held = self.held.partitions();
        if held.is_empty() {
            self.held.account(GivenBack::default());
        } else {
            self.give_back(&held, lost, self.pace.leave).await;
        }
        held
    }

    /// Gives partitions back: stop reading, finish what was read, commit, fence. When this returns
    /// no reader of them lives, whatever happened. Fencing comes last on purpose: a fence before
    /// the drain turns every record in flight into a duplicate.
    pub async fn release(&self, partitions: &[i32], lost: bool) {
        self.give_back(partitions, lost, self.pace.settle).await;
    }

    async fn give_back(&self, partitions: &[i32], lost: bool, wait: Duration) {
        let began = std::time::Instant::now();
        for partition in partitions {
            self.held.lanes.close(*partition);
        }
        // Whoever reads a closed one from here on takes nothing.
        let last = Epoch::next();
        join_all(partitions.iter().map(|partition| self.stop(*partition))).await;
        // Half-full batches need not wait for their age.
        if self.write.send(WriteMsg::Flush).is_err()
            || self.dead_letter.send(DeadLetterMsg::Flush).is_err()
        {
            debug!("nothing to flush, the writer is being replaced");
        }
        let wanted = partitions.to_vec();
        // The commit stage keeps the deadline itself; the margin is for its answer.
        let answer = self
            .commit
            .ask(wait + self.pace.stop, |reply| CommitMsg::Release {
                partitions: wanted,
                wait,
                lost,
                reply,
            })
            .await;
        match answer {
            Ok(released) => {
                self.held.account(GivenBack {
                    partitions: released.len(),
                    unsettled: released.iter().map(|one| one.unsettled).sum(),
                    uncommitted: released.iter().filter(|one| !one.committed).count(),
                });
                self.report(&released, lost, began.elapsed());
            }
            Err(error) => {
                let uncommitted = partitions.len();
                self.held.account(GivenBack {
                    partitions: uncommitted,
                    unsettled: 0,
                    uncommitted,
                });
                warn!(?partitions, %error, "partitions given back without a last commit; their next owner reads again what was not committed")
            }
        }
        // However it went, they are not ours any more, and what is left of them is not tried any further.
        self.held.lanes.given_back(partitions, last);
        // Again, because the last commit came after the lanes were closed.
        partitions.iter().copied().for_each(metrics::let_go);
        metrics::assigned(&self.held.partitions());
    }

    async fn stop(&self, partition: i32) {
        match self
            .readers
            .stop(&partition.to_string(), self.pace.stop)
            .await
        {
            Ok(outcome) => debug!(partition, ?outcome, "reader stopped"),
            Err(error) => debug!(partition, %error, "no reader to stop"),
        }
    }

    fn report(&self, released: &[Released], lost: bool, took: Duration) {
        for Released {
            partition,
            next,
            committed,
            unsettled,
        } in released
        {
            if !lost && (*unsettled > 0 || !committed) {
                warn!(
                    partition,
                    next,
                    committed,
                    unsettled,
                    ?took,
                    "partition given back with work left; its next owner reads it again"
                );
            } else {
                info!(
                    partition,
                    next,
                    committed,
                    unsettled,
                    lost,
                    ?took,
                    "partition given back"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use actors::{Cx, Failure, Position, Stage, Strategy, SupervisorSpec, System};

    use super::*;
    use crate::lane::tests::patient;

    /// No stage answers, so a release leaves its last position uncommitted.
    fn alone() -> Assignment<()> {
        Assignment {
            readers: Children::new(),
            make: Box::new(|_| unreachable!("nothing is read")),
            commit: Addr::new("commit"),
            write: Addr::new("write"),
            dead_letter: Addr::new("dead_letter"),
            pace: ReleasePace {
                stop: Duration::from_millis(5),
                settle: Duration::from_millis(5),
                leave: Duration::from_secs(5),
            },
            held: Held::new(patient()),
        }
    }

    #[tokio::test]
    async fn who_leaves_holding_nothing_leaves_no_work_whatever_was_left_before() {
        let assignment = alone();
        assignment.held.lanes.open(0);
        assignment.release(&[0], false).await;
        assert!(!assignment.held.given_back().is_whole());
        assert!(assignment.release_all(false).await.is_empty());
        assert_eq!(assignment.held.given_back(), GivenBack::default());
    }

    #[tokio::test]
    async fn who_leaves_holding_a_partition_accounts_for_it() {
        let assignment = alone();
        assignment.held.lanes.open(0);
        assert_eq!(assignment.release_all(false).await, [0]);
        assert_eq!(assignment.held.given_back().uncommitted, 1);
    }

    fn at(lane: u32, epoch: Epoch) -> Position {
        let seq = 7;
        Position { lane, epoch, seq }
    }

    #[tokio::test]
    async fn what_is_left_of_a_partition_is_given_up_once_it_is_given_back_whoever_answers() {
        let assignment = alone();
        let lanes = &assignment.held.lanes;
        let old = Epoch::next();
        for partition in [0, 1] {
            lanes.open(partition).begin(old);
        }
        assert!(!lanes.is_superseded(at(0, old)));
        assignment.release(&[0], false).await;
        assert!(lanes.is_superseded(at(0, old)) && !lanes.is_superseded(at(1, old)));
        // What is read of it when it comes back is another thing.
        let new = Epoch::next();
        assert!(!lanes.is_superseded(at(0, new)));
        lanes.open(0).begin(new);
        assert!(!lanes.is_superseded(at(0, new)) && lanes.is_superseded(at(0, old)));
    }

    /// Notes how long each release may take, and lets go at once.
    struct Books(Arc<Mutex<Vec<Duration>>>);

    impl Stage for Books {
        type Msg = CommitMsg;

        async fn handle(&mut self, msg: CommitMsg, _: &mut Cx<CommitMsg>) -> Result<(), Failure> {
            if let CommitMsg::Release { wait, reply, .. } = msg {
                self.0.lock().unwrap().push(wait);
                reply.send(Vec::new()).map_err(|_| "nobody waits")?;
            }
            Ok(())
        }
    }

    #[tokio::test]
    async fn who_leaves_has_longer_to_settle_than_who_gives_a_partition_to_others() {
        let assignment = alone();
        let waits: Arc<Mutex<Vec<Duration>>> = Arc::default();
        let seen = Arc::clone(&waits);
        let books = ChildSpec::stage("commit", &assignment.commit, move |_| {
            Books(Arc::clone(&seen))
        });
        let root = SupervisorSpec::new(Strategy::OneForOne).child(books);
        let _system = System::start("test", root).await.unwrap();
        for partition in [0, 1] {
            assignment.held.lanes.open(partition);
        }
        assignment.release(&[0], false).await;
        assert_eq!(assignment.release_all(false).await, [1]);
        let ReleasePace { settle, leave, .. } = assignment.pace;
        assert_eq!(*waits.lock().unwrap(), [settle, leave]);
    }

    #[tokio::test]
    async fn a_new_assignment_begins_a_new_account() {
        let assignment = alone();
        assignment.held.lanes.open(0);
        assignment.release(&[0], false).await;
        assignment.start(Vec::new()).await.unwrap();
        assert_eq!(assignment.held.given_back(), GivenBack::default());
    }

    fn standing(committed: Option<u64>) -> Standing {
        Standing {
            partition: 0,
            committed,
            first: 10,
            end: 20,
        }
    }

    #[test]
    fn an_offset_outside_the_log_is_said_and_never_jumped_over() {
        for committed in [None, Some(10), Some(15), Some(20)] {
            assert_eq!(standing(committed).is_in_log(), Ok(()));
        }
        let removed = standing(Some(7)).is_in_log().unwrap_err();
        assert!(removed.contains("3 records were removed"), "{removed}");
        let anew = standing(Some(21)).is_in_log().unwrap_err();
        assert!(anew.contains("the log ends at 20"), "{anew}");
    }
}
