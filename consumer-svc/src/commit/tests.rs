//! The commit stage against a coordinator that can refuse.

mod again;
mod late;
mod overtaken;
mod starts;
mod statistics;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};

use actors::{ChildSpec, Epoch, Outcome, Position, Strategy, SupervisorSpec, System};
use tokio::sync::oneshot;

use super::*;
use crate::flow::{Recall, Released, Standing};
use crate::lane::Lanes;
use crate::lane::tests::{heard, patient};
use crate::mark::Mark;
use crate::tally::memory::MemoryTallies;
use crate::tally::tests::sale;

/// Remembers what was committed; answers from a script, then accepts.
#[derive(Default)]
struct Coordinator {
    script: Mutex<Vec<CommitError>>,
    /// The next commit gets no turn before this one says so.
    starved: Mutex<Option<mpsc::Receiver<()>>>,
    accepted: Mutex<Vec<(i32, u64)>>,
    /// Accepted or not, in turn or not.
    asked: Mutex<Vec<(i32, u64)>>,
    /// What stands in every log.
    log: Mutex<Vec<Mark>>,
    /// The partitions whose log was looked at.
    looks: Mutex<Vec<i32>>,
    /// Nobody shows what stands in it.
    is_hidden: AtomicBool,
    /// What it says to who asks where to start.
    standings: Mutex<Learnt>,
    /// Who asks where to start waits for this, and tells that he does.
    silent: Mutex<Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>>,
    /// Looked at with every commit: what it must not be ahead of.
    tallies: Arc<MemoryTallies>,
}

impl Committer for Coordinator {
    fn commit(&self, positions: &[(i32, u64)], warrant: &Warrant) -> Result<(), CommitError> {
        self.asked.lock().unwrap().extend_from_slice(positions);
        // Not with the lock in hand.
        let starved = self.starved.lock().unwrap().take();
        if let Some(turn) = starved {
            turn.recv().ok();
        }
        if !warrant.take() {
            return Err(CommitError::Withdrawn);
        }
        if let Some(error) = self.script.lock().unwrap().pop() {
            return Err(error);
        }
        for (partition, next) in positions {
            let saved = self.tallies.get(*partition).map(|tally| tally.upto());
            assert!(
                saved >= Some(*next),
                "{next} committed, statistics saved up to {saved:?}"
            );
        }
        self.accepted.lock().unwrap().extend_from_slice(positions);
        Ok(())
    }

    fn standings(&self, _: &[i32]) -> Learnt {
        let silent = self.silent.lock().unwrap().take();
        if let Some((asked, answer)) = silent {
            asked.send(()).unwrap();
            answer.recv().ok();
        }
        self.standings.lock().unwrap().clone()
    }

    async fn print(&self, partition: i32, offset: u64) -> Result<Option<Print>, String> {
        self.looks.lock().unwrap().push(partition);
        if self.is_hidden.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let log = self.log.lock().unwrap();
        Ok(log
            .iter()
            .find(|mark| mark.offset == offset)
            .map(|mark| mark.print))
    }
}

/// A record of the log that all tests read.
fn mark(offset: u64) -> Mark {
    Mark {
        offset,
        print: Print(offset),
    }
}

struct Bench {
    system: System,
    commit: Addr<CommitMsg>,
    coordinator: Arc<Coordinator>,
    tallies: Arc<MemoryTallies>,
    recalls: Arc<AtomicUsize>,
    lanes: Lanes,
    /// The end of every log.
    end: u64,
    /// The group has no offset: it starts where the log does.
    uncommitted: bool,
    /// Nobody said where it starts when it was assigned.
    unknown: bool,
}

impl Bench {
    async fn start(script: Vec<CommitError>) -> Self {
        Self::on(Arc::default(), script).await
    }

    /// One that saves and commits when it is told to.
    async fn told() -> Self {
        Self::paced(Arc::default(), vec![], 1_000 * SOON).await
    }

    fn tick(&self) {
        self.commit.send(CommitMsg::Tick).ok().unwrap();
    }

    /// A process of its own on a database that others know too.
    async fn on(tallies: Arc<MemoryTallies>, script: Vec<CommitError>) -> Self {
        Self::paced(tallies, script, Duration::from_millis(5)).await
    }

    async fn paced(tallies: Arc<MemoryTallies>, script: Vec<CommitError>, pace: Duration) -> Self {
        let coordinator = Arc::new(Coordinator {
            script: Mutex::new(script),
            tallies: Arc::clone(&tallies),
            ..Coordinator::default()
        });
        let database = Arc::clone(&tallies);
        let commit = Addr::new("commit");
        let shared = Arc::clone(&coordinator);
        let child = ChildSpec::stage("commit", &commit, move |_| {
            Commit::new(Arc::clone(&shared), Arc::clone(&database), pace)
        });
        let system = System::start(
            "test",
            SupervisorSpec::new(Strategy::OneForOne).child(child),
        )
        .await
        .unwrap();
        Self {
            system,
            commit,
            coordinator,
            tallies,
            recalls: Arc::default(),
            lanes: patient(),
            end: 1_000,
            uncommitted: false,
            unknown: false,
        }
    }

    async fn open(&self, partition: i32, start: u64) -> (Epoch, u64) {
        let (epoch, opened) = self.begin_to_open(partition, start);
        let next = tokio::time::timeout(SOON, opened).await;
        (epoch, next.unwrap().unwrap())
    }

    fn begin_to_open(&self, partition: i32, start: u64) -> (Epoch, oneshot::Receiver<u64>) {
        let (epoch, recalls) = (Epoch::next(), Arc::clone(&self.recalls));
        let recall: Recall = Arc::new(move || {
            recalls.fetch_add(1, Ordering::SeqCst);
        });
        let (told, hears) = oneshot::channel();
        let opened = Box::new(move |next| {
            if told.send(next).is_err() {
                debug!("the test does not listen");
            }
        });
        let open = CommitMsg::Open {
            partition,
            epoch,
            standing: self.standing(partition, start),
            lane: self.lanes.open(partition),
            recall,
            opened,
        };
        self.commit.send(open).ok().unwrap();
        (epoch, hears)
    }

    fn admit(&self, partition: i32, epoch: Epoch, offsets: &[u64]) {
        self.commit
            .send(CommitMsg::Admit {
                partition,
                epoch,
                offsets: offsets.to_vec(),
                mark: offsets.first().map(|offset| mark(*offset)),
            })
            .ok()
            .unwrap();
    }

    fn settle(&self, partition: i32, epoch: Epoch, seq: u64, outcome: Outcome) {
        let position = Position {
            lane: partition as u32,
            epoch,
            seq,
        };
        CommitOutlet(self.commit.clone()).settled(vec![Settled {
            position,
            outcome,
            note: None,
        }]);
    }

    /// Settles a record that was the first of its purchase, for 0.10.
    fn sell(&self, partition: i32, epoch: Epoch, seq: u64) {
        let position = Position {
            lane: partition as u32,
            epoch,
            seq,
        };
        CommitOutlet(self.commit.clone()).settled(vec![Settled {
            position,
            outcome: Outcome::Stored,
            note: Some(sale(seq as u32, "Pen", 10, 0)),
        }]);
    }

    /// Reads and sells these offsets.
    fn serve(&self, partition: i32, epoch: Epoch, offsets: std::ops::Range<u64>) {
        self.admit(partition, epoch, &offsets.clone().collect::<Vec<_>>());
        for offset in offsets {
            self.sell(partition, epoch, offset);
        }
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + SOON;
        while !holds(self) {
            assert!(tokio::time::Instant::now() < deadline, "never: {what}");
            tokio::task::yield_now().await;
        }
    }

    /// Purchases in the saved statistics, and how far they reach.
    fn counted(&self, partition: i32) -> (u64, u64) {
        let tally = self.tallies.get(partition).unwrap();
        let total = tally.counts().total;
        assert_eq!(total.revenue.get() as u64, total.purchases * 10);
        (total.purchases, tally.upto())
    }

    async fn release(&self, partition: i32, wait: Duration, lost: bool) -> Released {
        let ask = self.commit.ask(SOON, |reply| CommitMsg::Release {
            partitions: vec![partition],
            wait,
            lost,
            reply,
        });
        ask.await.unwrap()[0]
    }

    fn accepted(&self) -> Vec<(i32, u64)> {
        self.coordinator.accepted.lock().unwrap().clone()
    }
}

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_released_partition_commits_what_was_settled_and_is_fenced() {
    let bench = Bench::start(vec![]).await;
    let (epoch, next) = bench.open(1, 7).await;
    assert_eq!(next, 7);
    bench.admit(1, epoch, &[7, 8]);
    bench.settle(1, epoch, 8, Outcome::Stored);
    bench.settle(1, epoch, 7, Outcome::DeadLettered);
    let released = bench.release(1, SOON, false).await;
    assert_eq!(
        released,
        Released {
            partition: 1,
            next: 9,
            committed: true,
            unsettled: 0
        }
    );
    assert_eq!(bench.accepted().last(), Some(&(1, 9)));
    // What arrives now changes nothing.
    bench.settle(1, epoch, 9, Outcome::Stored);
    assert_eq!(bench.release(1, SOON, false).await.next, 0);
}

#[tokio::test]
async fn a_release_waits_for_unsettled_work_and_no_longer_than_told() {
    let bench = Bench::start(vec![]).await;
    let (epoch, _) = bench.open(0, 0).await;
    bench.admit(0, epoch, &[0, 1]);
    bench.settle(0, epoch, 0, Outcome::Stored);
    let released = bench.release(0, Duration::from_millis(60), false).await;
    assert_eq!(
        released,
        Released {
            partition: 0,
            next: 1,
            committed: true,
            unsettled: 1
        }
    );
}

#[tokio::test]
async fn a_commit_that_was_refused_for_now_is_retried_with_the_newest_position() {
    let refusals = vec![CommitError::Retryable("loading".into()); 3];
    let bench = Bench::start(refusals).await;
    let (epoch, _) = bench.open(0, 0).await;
    bench.admit(0, epoch, &[0, 1, 2]);
    for seq in 0..3 {
        bench.settle(0, epoch, seq, Outcome::Stored);
    }
    let released = bench.release(0, SOON, false).await;
    assert!(released.committed);
    assert_eq!(bench.accepted().last(), Some(&(0, 3)));
}

#[tokio::test]
async fn a_commit_of_a_lost_generation_fences_the_partition() {
    let bench = Bench::start(vec![CommitError::Fenced("generation".into())]).await;
    let (epoch, _) = bench.open(0, 0).await;
    bench.admit(0, epoch, &[0]);
    bench.settle(0, epoch, 0, Outcome::Stored);
    let released = bench.release(0, SOON, false).await;
    assert!(!released.committed);
    assert_eq!(bench.accepted(), vec![]);
}

#[tokio::test]
async fn a_failed_record_calls_its_reader_back_and_its_next_epoch_resumes() {
    let bench = Bench::start(vec![]).await;
    let (epoch, _) = bench.open(0, 0).await;
    bench.admit(0, epoch, &[0, 1]);
    bench.settle(0, epoch, 0, Outcome::Stored);
    bench.settle(0, epoch, 1, Outcome::Failed);
    let (_, next) = bench.open(0, 0).await;
    assert_eq!((next, bench.recalls.load(Ordering::SeqCst)), (1, 1));
    let report = bench.system.drain(SOON).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(bench.accepted().last(), Some(&(0, 1)));
}

#[tokio::test]
async fn a_partition_with_a_failed_record_is_given_back_with_what_was_settled_before_it() {
    let bench = Bench::start(vec![]).await;
    let (epoch, _) = bench.open(0, 0).await;
    bench
        .until("the first commit", |bench| !bench.accepted().is_empty())
        .await;
    // It takes a while until the settled is saved, and the release comes before that.
    bench.tallies.freeze().await;
    bench.admit(0, epoch, &[0, 1, 2]);
    bench.settle(0, epoch, 0, Outcome::Stored);
    bench.settle(0, epoch, 1, Outcome::Failed);
    let (released, ()) = tokio::join!(bench.release(0, SOON, false), async {
        bench
            .until("called back", |bench| {
                bench.recalls.load(Ordering::SeqCst) == 1
            })
            .await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        bench.tallies.thaw();
    });
    let left = (released.next, released.committed, released.unsettled);
    assert_eq!(left, (1, true, 2));
    assert_eq!(bench.accepted().last(), Some(&(0, 1)));
}

#[tokio::test]
async fn a_stopped_partition_is_given_back_without_waiting_for_what_it_was_stopped_for() {
    let bench = Bench::start(vec![]).await;
    let (epoch, _) = bench.open(0, 0).await;
    bench.admit(0, epoch, &[0, 1, 2]);
    bench.settle(0, epoch, 0, Outcome::Stored);
    let lane = bench.lanes.get(0).unwrap();
    lane.halt(crate::lane::Cause::BadRecords, "refused");
    bench.settle(0, epoch, 1, Outcome::Failed);
    let released = bench.release(0, 60 * SOON, false).await;
    let left = (released.next, released.committed, released.unsettled);
    assert_eq!(left, (1, true, 0));
    let recalls = bench.recalls.load(Ordering::SeqCst);
    assert_eq!(recalls, 0, "nobody reads it again");
}
