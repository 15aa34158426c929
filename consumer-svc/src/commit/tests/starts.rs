//! Partitions of which nobody says where to start when they are assigned.

use actors::testkit::until;

use super::*;
use crate::lane::Cause;

impl Bench {
    /// Where the group stands in a partition, if that is said when it is assigned.
    pub(super) fn standing(&self, partition: i32, start: u64) -> Option<Standing> {
        let known = Standing {
            partition,
            committed: (!self.uncommitted).then_some(start),
            first: if self.uncommitted { start } else { 0 },
            end: self.end,
        };
        (!self.unknown).then_some(known)
    }

    async fn without_leader() -> Self {
        Self {
            unknown: true,
            ..Self::start(vec![]).await
        }
    }

    /// From now on it is known where these start.
    fn learns(&self, known: Vec<Standing>) {
        let unknown = [(1, "no leader".to_owned())].into();
        *self.coordinator.standings.lock().unwrap() = Learnt {
            known,
            unknown,
            ..Learnt::default()
        };
    }
}

fn standing(partition: i32, next: u64) -> Standing {
    Standing {
        partition,
        committed: Some(next),
        first: 0,
        end: 1_000,
    }
}

#[tokio::test]
async fn a_partition_without_a_leader_waits_alone_and_begins_when_its_start_is_known() {
    let bench = Bench::without_leader().await;
    bench.learns(vec![standing(0, 7)]);
    let (epoch, opened) = bench.begin_to_open(0, 0);
    let (_, waiting) = bench.begin_to_open(1, 0);
    let next = tokio::time::timeout(SOON, opened).await;
    assert_eq!(next.unwrap().unwrap(), 7, "where the group stands");
    bench.serve(0, epoch, 7..9);
    bench
        .until("two committed", |bench| {
            bench.accepted().last() == Some(&(0, 9))
        })
        .await;
    assert!(waiting.is_empty(), "it is not opened");
    bench.learns(vec![standing(1, 3)]);
    let next = tokio::time::timeout(SOON, waiting).await;
    assert_eq!(next.unwrap().unwrap(), 3);
    bench
        .until("its early commit", |bench| {
            bench.accepted().contains(&(1, 3))
        })
        .await;
}

#[tokio::test]
async fn what_is_learnt_for_an_epoch_that_is_over_begins_nothing() {
    let bench = Bench::without_leader().await;
    let (old, _gone) = bench.begin_to_open(0, 0);
    let (_, mut opened) = bench.begin_to_open(0, 0);
    let stood = CommitMsg::Stood {
        asked: vec![(0, old)],
        found: Learnt {
            known: vec![standing(0, 3)],
            ..Learnt::default()
        },
    };
    bench.commit.send(stood).ok().unwrap();
    // Answered behind it.
    let released = bench.release(1, SOON, false).await;
    assert_eq!(released.partition, 1);
    assert!(opened.try_recv().is_err(), "others may have read on");
    bench.learns(vec![standing(0, 5)]);
    let next = tokio::time::timeout(SOON, opened).await;
    assert_eq!(next.unwrap().unwrap(), 5);
}

#[tokio::test]
async fn one_that_goes_while_it_waits_leaves_no_work() {
    let bench = Bench::without_leader().await;
    let (_, opened) = bench.begin_to_open(0, 0);
    let released = bench.release(0, SOON, false).await;
    assert_eq!((released.committed, released.unsettled), (true, 0));
    assert!(opened.await.is_err(), "nobody reads it any more");
    assert!(bench.system.drain(SOON).await.is_clean());
    assert_eq!(bench.accepted(), []);
}

#[tokio::test]
async fn a_drain_does_not_wait_for_what_nobody_knows() {
    let bench = Bench::without_leader().await;
    let ((asked, asks), (answer, answers)) = (mpsc::channel(), mpsc::channel());
    *bench.coordinator.silent.lock().unwrap() = Some((asked, answers));
    let (_, opened) = bench.begin_to_open(0, 0);
    // A question that nobody answers is under way.
    let asks = tokio::task::spawn_blocking(move || asks.recv_timeout(SOON));
    asks.await.unwrap().unwrap();
    assert!(bench.system.drain(Duration::from_secs(1)).await.is_clean());
    drop((opened, answer));
}

#[tokio::test]
async fn a_drain_does_not_wait_for_a_log_that_nobody_shows() {
    let bench = Bench::on(super::statistics::ten_counted().await, vec![]).await;
    bench.coordinator.is_hidden.store(true, Ordering::SeqCst);
    let (_, opened) = bench.begin_to_open(0, 5);
    bench
        .until("its mark is looked for", |bench| {
            !bench.coordinator.looks.lock().unwrap().is_empty()
        })
        .await;
    let drained = bench.system.drain(Duration::from_secs(1)).await;
    assert!(drained.is_clean(), "{drained:?}");
    drop(opened);
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_long_says_so_with_its_cause_until_it_begins() {
    let said: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    let hears = Arc::clone(&said);
    let lanes = heard(Box::new(move |told| hears.lock().unwrap().push(told)));
    let bench = Bench {
        lanes,
        ..Bench::without_leader().await
    };
    bench.learns(vec![]);
    let (_, opened) = bench.begin_to_open(1, 0);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(
        said.lock().unwrap().last(),
        Some(&None),
        "a leader is elected in that time"
    );
    tokio::time::sleep(Duration::from_secs(20)).await;
    let told = said.lock().unwrap().last().cloned().unwrap().unwrap();
    for part in [
        "partition 1 stopped",
        "no leader",
        Cause::StartUnknown.remedy(),
    ] {
        assert!(told.contains(part), "{told}");
    }
    bench.learns(vec![standing(1, 3)]);
    assert_eq!(opened.await.unwrap(), 3);
    bench
        .until("ready again", |_| {
            said.lock().unwrap().last() == Some(&None)
        })
        .await;
}

#[tokio::test]
async fn a_start_outside_the_log_stops_the_partition_also_when_it_is_learnt_late() {
    let bench = Bench::without_leader().await;
    bench.learns(vec![standing(1, 2_000)]);
    let (_, opened) = bench.begin_to_open(1, 0);
    let lane = bench.lanes.get(1).unwrap();
    bench
        .until("stopped", |_| {
            let halt = lane.halted();
            halt.is_some_and(|halt| halt.cause == Cause::OffsetGone)
        })
        .await;
    drop(opened);
}

#[tokio::test(start_paused = true)]
async fn once_its_start_is_known_the_leader_is_not_blamed_any_more_nor_a_database_that_had_no_time()
{
    let said: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    let hears = Arc::clone(&said);
    let lanes = heard(Box::new(move |told| hears.lock().unwrap().push(told)));
    let bench = Bench {
        lanes,
        ..Bench::without_leader().await
    };
    bench.learns(vec![]);
    bench.tallies.freeze().await;
    let (_, opened) = bench.begin_to_open(1, 0);
    tokio::time::sleep(Duration::from_secs(40)).await;
    let last = || said.lock().unwrap().last().cloned().flatten();
    assert!(last().is_some_and(|told| told.contains("no leader")));
    bench.learns(vec![standing(1, 3)]);
    until("it goes on", || last().is_none()).await;
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert_eq!(last(), None, "the database may take its time");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(last().is_some_and(|told| told.contains("has not answered")));
    bench.tallies.thaw();
    assert_eq!(opened.await.unwrap(), 3);
    until("ready again", || last().is_none()).await;
}
