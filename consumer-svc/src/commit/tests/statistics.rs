//! What the commit stage counts, on a database that can go away, hang, and belong to others too.

use super::*;
use crate::lane::Cause;
use crate::tally::Tally;

#[tokio::test]
async fn after_a_crash_between_saving_and_committing_nothing_is_counted_twice() {
    let bench = Bench::start(vec![]).await;
    let (epoch, _) = bench.open(0, 0).await;
    bench
        .until("the first commit", |bench| !bench.accepted().is_empty())
        .await;
    // From here on the coordinator takes nothing, so the process dies with its statistics ahead.
    let refusals = vec![CommitError::Retryable("moving".into()); 1_000];
    *bench.coordinator.script.lock().unwrap() = refusals;
    bench.serve(0, epoch, 0..5);
    bench
        .until("five saved", |bench| bench.counted(0) == (5, 5))
        .await;
    assert_eq!(bench.accepted(), vec![(0, 0)]);
    let tallies = Arc::clone(&bench.tallies);
    drop(bench);

    let successor = Bench::on(tallies, vec![]).await;
    let (epoch, next) = successor.open(0, 0).await;
    assert_eq!(next, 0, "what was not committed is read again");
    successor.serve(0, epoch, 0..7);
    let released = successor.release(0, SOON, false).await;
    assert!(released.committed);
    assert_eq!(successor.counted(0), (7, 7));
    assert_eq!(successor.accepted().last(), Some(&(0, 7)));
}

#[tokio::test]
async fn a_former_owner_that_saves_late_changes_nothing() {
    let former = Bench::start(vec![]).await;
    let (epoch, _) = former.open(0, 0).await;
    former
        .until("the first commit", |bench| !bench.accepted().is_empty())
        .await;
    former.serve(0, epoch, 0..3);
    former
        .until("three committed", |bench| {
            bench.accepted().last() == Some(&(0, 3))
        })
        .await;
    // It counts on, and its save hangs, while the partition goes to somebody else.
    let late = former.tallies.get(0).map(|mut tally| {
        tally.fold(3, &sale(3, "Pen", 10, 0));
        tally.fold(4, &sale(4, "Pen", 10, 0));
        tally
    });
    let owner = Bench::on(Arc::clone(&former.tallies), vec![]).await;
    let (epoch, _) = owner.open(0, 3).await;
    owner.serve(0, epoch, 3..4);
    owner
        .until("four committed", |bench| {
            bench.accepted().last() == Some(&(0, 4))
        })
        .await;
    // The late one reaches further than the owner's: a fold of the same log, so it may stand.
    former.tallies.save(0, &late.unwrap()).await.unwrap();
    assert_eq!(owner.counted(0), (5, 5));
    owner.serve(0, epoch, 4..9);
    let released = owner.release(0, SOON, false).await;
    assert!(released.committed);
    assert_eq!(owner.counted(0), (9, 9));
    // And one that comes later still finds a larger one.
    let stale = Tally::starting_at(0);
    former.tallies.save(0, &stale).await.unwrap();
    assert_eq!(owner.counted(0), (9, 9));
}

#[tokio::test]
async fn while_statistics_cannot_be_saved_nothing_is_committed() {
    let bench = Bench::start(vec![]).await;
    let (epoch, _) = bench.open(0, 0).await;
    bench
        .until("the first commit", |bench| !bench.accepted().is_empty())
        .await;
    bench.tallies.set_down(true);
    bench.serve(0, epoch, 0..4);
    let released = bench.release(0, Duration::from_millis(80), false).await;
    assert_eq!((released.next, released.committed), (4, false));
    assert_eq!(bench.accepted(), vec![(0, 0)]);
    bench.tallies.set_down(false);
    // The next epoch reads again, counts and commits.
    let (epoch, _) = bench.open(0, 0).await;
    bench.serve(0, epoch, 0..4);
    bench
        .until("four committed", |bench| {
            bench.accepted().last() == Some(&(0, 4))
        })
        .await;
    assert_eq!(bench.counted(0), (4, 4));
}

#[tokio::test]
async fn statistics_that_were_not_saved_are_saved_when_the_database_is_back() {
    let bench = Bench::start(vec![]).await;
    let (epoch, _) = bench.open(0, 0).await;
    bench.tallies.set_down(true);
    bench.serve(0, epoch, 0..4);
    bench.tallies.set_down(false);
    bench
        .until("four committed", |bench| {
            bench.accepted().last() == Some(&(0, 4))
        })
        .await;
    assert_eq!(bench.counted(0), (4, 4));
}

#[tokio::test]
async fn a_hanging_database_does_not_hold_up_the_mailbox() {
    let bench = Bench::start(vec![]).await;
    let (epoch, _) = bench.open(0, 0).await;
    bench.tallies.freeze().await;
    bench.serve(0, epoch, 0..4);
    let (_, opened) = bench.begin_to_open(1, 5);
    let released = bench.release(0, Duration::from_millis(50), false).await;
    assert_eq!((released.next, released.unsettled), (4, 0));
    bench.tallies.thaw();
    assert_eq!(tokio::time::timeout(SOON, opened).await.unwrap(), Ok(5));
}

#[tokio::test]
async fn a_partition_waits_for_its_statistics_and_may_go_again_meanwhile() {
    let bench = Bench::start(vec![]).await;
    bench.tallies.set_down(true);
    let (_, mut first) = bench.begin_to_open(0, 3);
    let released = bench.release(0, SOON, false).await;
    let untouched = Released {
        partition: 0,
        next: 3,
        committed: true,
        unsettled: 0,
    };
    assert_eq!(released, untouched);
    let (_, second) = bench.begin_to_open(0, 3);
    bench.tallies.set_down(false);
    assert_eq!(tokio::time::timeout(SOON, second).await.unwrap(), Ok(3));
    assert!(first.try_recv().is_err(), "the first epoch was over");
}

#[tokio::test]
async fn only_what_grew_is_saved_again() {
    let bench = Bench::start(vec![]).await;
    let (_, epoch) = (bench.open(0, 0).await, bench.open(1, 0).await.0);
    bench
        .until("both committed", |bench| bench.accepted().len() == 2)
        .await;
    bench.serve(1, epoch, 0..1);
    bench
        .until("the sale committed", |bench| {
            bench.accepted().contains(&(1, 1))
        })
        .await;
    let report = bench.system.drain(SOON).await;
    assert!(report.is_clean(), "{report:?}");
    let saves = bench.tallies.log();
    assert_eq!(saves.iter().filter(|(lane, _)| *lane == 0).count(), 1);
}

#[tokio::test]
async fn statistics_of_another_log_stop_the_partition_before_anything_is_read() {
    let bench = Bench {
        end: 5,
        ..Bench::start(vec![]).await
    };
    bench.tallies.save(0, &Tally::starting_at(6)).await.unwrap();
    let (_, mut opened) = bench.begin_to_open(0, 0);
    let lane = bench.lanes.get(0).unwrap();
    bench.until("stopped", |_| lane.halted().is_some()).await;
    let halt = lane.halted().unwrap();
    assert_eq!(halt.cause, Cause::OtherLog);
    assert!(halt.reason.contains("reach to offset 6"), "{}", halt.reason);
    assert!(opened.try_recv().is_err(), "its reader must not begin");
    let released = bench.release(0, SOON, false).await;
    assert_eq!((released.next, released.unsettled), (0, 0));
    assert_eq!(bench.accepted(), vec![]);
}

#[tokio::test]
async fn a_partition_that_is_stopped_before_it_is_opened_leaves_no_trace() {
    let bench = Bench::start(vec![]).await;
    // Stops all that are assigned from here on.
    bench.lanes.halt_all(Cause::OffsetGone, "gone");
    let (_, mut opened) = bench.begin_to_open(0, 500);
    let released = bench.release(0, SOON, false).await;
    assert_eq!((released.next, released.committed), (500, true));
    assert!(opened.try_recv().is_err(), "its reader must not begin");
    assert_eq!((bench.accepted(), bench.tallies.get(0)), (vec![], None));
}

async fn reason_of_stop(bench: &Bench, start: u64) -> (Cause, String) {
    let (_, mut opened) = bench.begin_to_open(0, start);
    let lane = bench.lanes.get(0).unwrap();
    bench.until("stopped", |_| lane.halted().is_some()).await;
    assert!(opened.try_recv().is_err(), "its reader must not begin");
    let halt = lane.halted().unwrap();
    (halt.cause, halt.to_string())
}

/// Ten records were read and counted.
pub(super) async fn ten_counted() -> Arc<MemoryTallies> {
    let bench = Bench::start(vec![]).await;
    let (epoch, _) = bench.open(0, 0).await;
    bench.serve(0, epoch, 0..10);
    bench
        .until("ten saved", |bench| bench.counted(0) == (10, 10))
        .await;
    assert_eq!(bench.tallies.get(0).unwrap().mark(), Some(mark(0)));
    Arc::clone(&bench.tallies)
}

#[tokio::test]
async fn a_log_that_was_filled_again_is_known_by_its_records_for_another_one() {
    let tallies = ten_counted().await;
    for uncommitted in [false, true] {
        let bench = Bench {
            uncommitted,
            ..Bench::on(Arc::clone(&tallies), vec![]).await
        };
        let other = Mark {
            print: Print(77),
            ..mark(0)
        };
        bench.coordinator.log.lock().unwrap().push(other);
        let (cause, reason) = reason_of_stop(&bench, 0).await;
        assert_eq!(cause, Cause::OtherLog);
        for part in ["at offset 0 stands another record", "KAFKA_TOPIC"] {
            assert!(reason.contains(part), "{reason}");
        }
    }
}

#[tokio::test]
async fn a_group_without_an_offset_goes_on_in_the_log_that_it_has_counted_and_in_no_other() {
    let tallies = ten_counted().await;
    let lost = async || Bench {
        uncommitted: true,
        ..Bench::on(Arc::clone(&tallies), vec![]).await
    };
    let unknown = reason_of_stop(&lost().await, 0).await;
    assert_eq!(unknown.0, Cause::OtherLog);
    assert!(unknown.1.contains("nothing is committed"), "{}", unknown.1);
    let removed = reason_of_stop(&lost().await, 13).await;
    assert_eq!(removed.0, Cause::OffsetGone);
    assert!(
        removed.1.contains("3 records were removed"),
        "{}",
        removed.1
    );

    let known = lost().await;
    known.coordinator.log.lock().unwrap().push(mark(0));
    let (epoch, next) = known.open(0, 0).await;
    assert_eq!(next, 0, "all is read again, and known");
    known.serve(0, epoch, 0..12);
    let released = known.release(0, SOON, false).await;
    assert!(released.committed);
    assert_eq!(known.counted(0), (12, 12), "and nothing is counted twice");
}

#[tokio::test]
async fn a_committed_offset_goes_on_where_retention_has_removed_the_mark() {
    let bench = Bench::on(ten_counted().await, vec![]).await;
    assert_eq!(bench.open(0, 10).await.1, 10);
}

#[tokio::test]
async fn what_statistics_have_forgotten_is_shown_as_soon_as_they_are_loaded() {
    let gauges = crate::metrics::tests::Gauges::default();
    let _here = ::metrics::set_default_local_recorder(&gauges);
    let bench = Bench {
        end: 5_000,
        ..Bench::start(vec![]).await
    };
    // There is room for a thousand that have others between them.
    let mut tally = Tally::starting_at(0);
    (0..1_002).for_each(|number| tally.refuse(number * 2));
    bench.tallies.put(0, tally);
    bench.open(0, 2_003).await;
    let shown = || gauges.of("purchases_statistics_refusals_forgotten");
    assert_eq!(shown(), 2.0);
    // And again after the partition was away.
    bench.release(0, SOON, false).await;
    metrics::let_go(0);
    assert_eq!(shown(), 0.0);
    bench.open(0, 2_003).await;
    assert_eq!(shown(), 2.0);
}

/// What readiness was told last.
type Told = Arc<Mutex<Option<String>>>;

async fn overheard(tallies: Arc<MemoryTallies>) -> (Bench, Told) {
    let told = Told::default();
    let hears = Arc::clone(&told);
    let lanes = heard(Box::new(move |reason| *hears.lock().unwrap() = reason));
    let bench = Bench {
        lanes,
        ..Bench::on(tallies, vec![]).await
    };
    (bench, told)
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_waits_long_for_its_statistics_says_so_until_it_has_them() {
    let (bench, told) = overheard(Arc::default()).await;
    bench.tallies.set_down(true);
    let (_, opened) = bench.begin_to_open(0, 3);
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(*told.lock().unwrap(), None, "it may be back at once");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let said = told.lock().unwrap().clone().expect("a reason");
    for part in ["partition 0 stopped", "not available: down", "MONGODB_URI"] {
        assert!(said.contains(part), "{said}");
    }
    bench.tallies.set_down(false);
    assert_eq!(opened.await, Ok(3));
    assert_eq!(*told.lock().unwrap(), None, "ready again by itself");
}

#[tokio::test(start_paused = true)]
async fn a_database_that_never_answers_for_the_statistics_is_told_of() {
    let (bench, told) = overheard(Arc::default()).await;
    bench.tallies.freeze().await;
    let (_, opened) = bench.begin_to_open(0, 3);
    tokio::time::sleep(Duration::from_secs(31)).await;
    let said = told.lock().unwrap().clone().expect("a reason");
    assert!(said.contains("has not answered"), "{said}");
    bench.tallies.thaw();
    assert_eq!(opened.await, Ok(3));
    assert_eq!(*told.lock().unwrap(), None);
}

#[tokio::test]
async fn statistics_that_this_version_cannot_read_are_told_of_at_once_with_the_remedy() {
    let (bench, told) = overheard(Arc::default()).await;
    bench.tallies.garble(Some("field form"));
    let (_, opened) = bench.begin_to_open(0, 3);
    bench
        .until("told", |_| told.lock().unwrap().is_some())
        .await;
    let said = told.lock().unwrap().clone().unwrap();
    for part in [
        "partition 0 stopped",
        "field form",
        "the version that wrote them",
    ] {
        assert!(said.contains(part), "{said}");
    }
    bench.tallies.garble(None);
    assert_eq!(tokio::time::timeout(SOON, opened).await.unwrap(), Ok(3));
    assert_eq!(*told.lock().unwrap(), None);
}
