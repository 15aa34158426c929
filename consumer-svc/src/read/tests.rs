//! Readers: what they take, where they wait, and where they stop.

mod bench;

use self::bench::{Bench, SOON, Setup};
use super::*;
use crate::lane::Cause;

fn good(offsets: std::ops::Range<u64>) -> Vec<(u64, bool)> {
    offsets.map(|offset| (offset, true)).collect()
}

fn one(log: Vec<(u64, bool)>) -> Setup {
    Setup {
        logs: vec![log],
        ..Setup::default()
    }
}

#[tokio::test]
async fn everything_read_is_stored_once_and_committed() {
    let bench = Bench::start(Setup {
        start: 5,
        ..one(good(5..30))
    })
    .await;
    bench
        .until("all committed", |bench| bench.position(0) == Some(30))
        .await;
    assert_eq!(bench.stored(0), (5..30).collect::<Vec<_>>());
    assert_eq!(bench.logs[0].seeks.lock().unwrap().len(), 0);
    bench
        .until("credits back", |bench| bench.credits.in_use().count == 0)
        .await;
    assert_eq!(bench.lane(0).pulse().pending(), 0);
}

#[tokio::test]
async fn a_bad_record_between_good_ones_blocks_nothing() {
    let bench = Bench::start(one(vec![(0, true), (1, false), (2, true)])).await;
    bench
        .until("all committed", |bench| bench.position(0) == Some(3))
        .await;
    assert_eq!(bench.stored(0), vec![0, 2]);
}

#[tokio::test]
async fn a_failed_record_is_read_again_from_what_is_settled() {
    let bench = Bench::start(Setup {
        fail_once: Some(6),
        ..one(good(0..12))
    })
    .await;
    bench
        .until("all committed", |bench| bench.position(0) == Some(12))
        .await;
    let stored = bench.stored(0);
    assert!((0..12).all(|offset| stored.contains(&offset)), "{stored:?}");
    let seeks = bench.logs[0].seeks.lock().unwrap().clone();
    assert!(seeks.len() == 1 && seeks[0] <= 6, "{seeks:?}");
    assert_eq!(bench.lane(0).pulse().pending(), 0);
}

#[tokio::test]
async fn a_client_that_goes_back_by_itself_is_set_again_and_nothing_is_read_twice() {
    let mut log = good(0..30);
    log[2].1 = false;
    let bench = Bench::start(Setup {
        start: 5,
        ..one(log)
    })
    .await;
    bench
        .until("all committed", |bench| bench.position(0) == Some(30))
        .await;
    let log = &bench.logs[0];
    for times in 1..=2 {
        log.position.store(0, Ordering::SeqCst);
        bench
            .until("it is set again", |_| {
                log.seeks.lock().unwrap().len() == times
            })
            .await;
    }
    assert_eq!(*log.seeks.lock().unwrap(), [30, 30]);
    log.records.lock().unwrap().extend(good(30..40));
    bench
        .until("all committed", |bench| bench.position(0) == Some(40))
        .await;
    assert_eq!(bench.stored(0), (5..40).collect::<Vec<_>>());
    assert_eq!(bench.lettered(), [] as [u64; 0]);
    let (pending, used) = (bench.lane(0).pulse().pending(), bench.credits.in_use());
    assert_eq!((pending, used.count, bench.restarts(0)), (0, 0, 0));
}

#[tokio::test]
async fn a_reader_whose_client_is_not_to_be_set_yet_waits_for_it_and_does_not_fail() {
    let bench = Bench::start(Setup {
        hold_writes: true,
        fail_once: Some(6),
        ..one(good(0..12))
    })
    .await;
    let log = &bench.logs[0];
    log.unready.store(8, Ordering::SeqCst);
    bench.sink.held.add_permits(1);
    bench
        .until("all committed", |bench| bench.position(0) == Some(12))
        .await;
    assert_eq!(log.unready.load(Ordering::SeqCst), 0, "it was tried again");
    assert_eq!(log.seeks.lock().unwrap().len(), 1);
    assert_eq!(bench.restarts(0), 1, "for the record that failed");
}

#[tokio::test]
async fn without_credits_nothing_more_is_read() {
    let bench = Bench::start(Setup {
        credits: 8,
        hold_writes: true,
        ..one(good(0..100))
    })
    .await;
    bench
        .until("credits used up", |bench| bench.credits.in_use().count > 4)
        .await;
    for _ in 0..200 {
        tokio::task::yield_now().await;
        assert!(
            bench.logs[0].position.load(Ordering::SeqCst) <= 8,
            "read beyond its credits"
        );
    }
    bench.sink.held.add_permits(1);
    bench
        .until("all committed", |bench| bench.position(0) == Some(100))
        .await;
}

#[tokio::test]
async fn a_closing_reader_takes_nothing_more() {
    let bench = Bench::start(Setup {
        credits: 8,
        hold_writes: true,
        ..one(good(0..100))
    })
    .await;
    bench
        .until("credits used up", |bench| bench.credits.in_use().count > 4)
        .await;
    bench.lanes.close(0);
    let stopped = bench.readers.stop("0", SOON).await;
    assert!(stopped.is_ok(), "{stopped:?}");
    assert!(bench.logs[0].position.load(Ordering::SeqCst) <= 8);
}

#[tokio::test]
async fn a_partition_waits_at_its_bound_for_its_oldest_record_and_the_others_go_on() {
    let mut first = good(0..500);
    first[3].1 = false;
    let bench = Bench::start(Setup {
        logs: vec![first, good(0..500)],
        credits: 1_000,
        ahead: 50,
        hold_letters: true,
        ..Setup::default()
    })
    .await;
    bench
        .until("the other is committed", |bench| {
            bench.position(1) == Some(500)
        })
        .await;
    // All behind the letter is stored, so credits are back and do not hold it.
    bench
        .until("it came to its bound", |bench| {
            bench.lane(0).pulse().pending() == 50 && bench.credits.in_use().count <= 4
        })
        .await;
    assert_eq!(bench.position(0), Some(3));
    assert_eq!(bench.logs[0].position.load(Ordering::SeqCst), 53);
    bench.letters.open.add_permits(1);
    bench
        .until("all committed", |bench| bench.position(0) == Some(500))
        .await;
    assert_eq!(bench.restarts(0), 0);
}

#[tokio::test]
async fn letters_that_are_not_delivered_keep_their_own_credit_and_not_that_of_what_they_were_read_with()
 {
    // One in each of ten turns, of which five are all the credit there is.
    let first = (0..40).map(|offset| (offset, offset % 4 != 1)).collect();
    let bench = Bench::start(Setup {
        logs: vec![first, good(0..100)],
        credits: 20,
        hold_letters: true,
        ..Setup::default()
    })
    .await;
    bench
        .until("both are read, and stored but for the bad ones", |bench| {
            bench.position(1) == Some(100) && bench.stored(0).len() == 30
        })
        .await;
    bench
        .until("ten are left, with a credit each", |bench| {
            bench.credits.in_use()
                == Cost {
                    count: 10,
                    bytes: 100,
                }
        })
        .await;
    bench.letters.open.add_permits(1);
    bench
        .until("all credits are back", |bench| {
            bench.position(0) == Some(40) && bench.credits.in_use() == Cost::default()
        })
        .await;
}

#[tokio::test]
async fn a_run_of_bad_records_stops_its_partition_before_the_one_too_many() {
    let mut first = good(0..5);
    first.extend((5..40).map(|offset| (offset, false)));
    let bench = Bench::start(Setup {
        logs: vec![first, good(0..100)],
        bad_run: 10,
        ..Setup::default()
    })
    .await;
    bench
        .until("the other is committed", |bench| {
            bench.position(1) == Some(100)
        })
        .await;
    bench
        .until("what came before is committed", |bench| {
            bench.position(0) == Some(14)
        })
        .await;
    assert_eq!(bench.lettered(), (5..14).collect::<Vec<_>>());
    let told = bench.stopped.lock().unwrap().clone().expect("a reason");
    for part in ["partition 0 stopped", "BAD_RUN_LIMIT", "offset 14"] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(bench.restarts(0), 0, "a restart would let more pass");
}

#[tokio::test]
async fn a_lost_offset_stops_its_partition_at_once_and_without_a_jump() {
    let bench = Bench::start(one(good(0..10))).await;
    bench
        .until("read", |bench| bench.position(0) == Some(10))
        .await;
    *bench.logs[0].broken.lock().unwrap() = Some(SourceError::Lost(Halt {
        cause: Cause::OffsetGone,
        reason: "offset 10 is not in the log".into(),
    }));
    bench
        .until("stopped", |bench| bench.stopped.lock().unwrap().is_some())
        .await;
    assert_eq!((bench.restarts(0), bench.position(0)), (0, Some(10)));
}

#[tokio::test]
async fn what_the_client_gets_over_by_itself_restarts_nobody() {
    let bench = Bench::start(one(good(0..10))).await;
    *bench.logs[0].broken.lock().unwrap() = Some(SourceError::Passing("no leader".into()));
    bench
        .until("read on", |bench| bench.position(0) == Some(10))
        .await;
    assert_eq!(bench.restarts(0), 0);
}

/// In memory alone: every attempt on a real broker or database has a deadline of its own, so nothing from
/// outside leaves a record unsettled for ever.
#[tokio::test]
async fn a_stuck_partition_is_read_again_by_a_new_reader_and_the_others_are_left_alone() {
    let bench = Bench::start(Setup {
        logs: vec![good(0..20), good(0..20)],
        stall: Duration::from_millis(400),
        hang_once: Some((0, 7)),
        ..Setup::default()
    })
    .await;
    bench
        .until("both are committed", |bench| {
            (bench.position(0), bench.position(1)) == (Some(20), Some(20))
        })
        .await;
    assert_eq!((bench.restarts(0), bench.restarts(1)), (1, 0));
    let stored = bench.stored(0);
    assert!((0..20).all(|offset| stored.contains(&offset)), "{stored:?}");
}

#[tokio::test]
async fn a_partition_that_is_known_to_wait_is_not_stuck() {
    let mut log = good(0..20);
    log[7].1 = false;
    let bench = Bench::start(Setup {
        stall: Duration::from_millis(300),
        hold_letters: true,
        ..one(log)
    })
    .await;
    let until = tokio::time::Instant::now() + Duration::from_millis(900);
    bench
        .until("three times as long as a stall", |bench| {
            bench.lanes.letter_answered();
            tokio::time::Instant::now() > until
        })
        .await;
    assert_eq!((bench.restarts(0), bench.position(0)), (0, Some(7)));
    bench.letters.open.add_permits(1);
    bench
        .until("all committed", |bench| bench.position(0) == Some(20))
        .await;
}

#[tokio::test]
async fn eight_stopped_partitions_use_up_none_of_the_restarts_that_the_others_have() {
    let bench = Bench::start(Setup {
        logs: (0..9).map(|_| good(0..8)).collect(),
        refused: 8,
        hold_writes: true,
        ..Setup::default()
    })
    .await;
    bench
        .until("all is read", |bench| {
            (0..9).all(|partition| bench.lane(partition).pulse().pending() == 8)
        })
        .await;
    for partition in 0..8 {
        let refused = "the database refuses it";
        bench.lane(partition).halt(Cause::BadRecords, refused);
    }
    bench.sink.held.add_permits(1);
    bench
        .until("the other one is committed", |bench| {
            bench.position(8) == Some(8)
        })
        .await;
    bench
        .until("nobody waits for the stopped ones", |bench| {
            (0..8).all(|partition| bench.lane(partition).pulse().pending() == 0)
        })
        .await;
    for partition in 0..9 {
        assert_eq!(bench.restarts(partition), 0, "partition {partition}");
        assert_eq!(
            bench.position(partition),
            Some(if partition < 8 { 0 } else { 8 })
        );
    }
}
