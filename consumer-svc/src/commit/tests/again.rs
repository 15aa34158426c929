//! A log that becomes another one while it is read.

use actors::testkit::{until, until_within};

use super::*;
use crate::lane::{Cause, Lane};

const SECOND: Duration = Duration::from_secs(1);

fn other(offset: u64) -> Mark {
    Mark {
        offset,
        print: Print(1_000 + offset),
    }
}

/// What stands in the log from now on.
fn stands(bench: &Bench, log: &[Mark]) {
    *bench.coordinator.log.lock().unwrap() = log.to_vec();
}

async fn served(bench: &Bench, epoch: Epoch, offsets: std::ops::Range<u64>) {
    let end = offsets.end;
    bench.serve(0, epoch, offsets);
    until("saved", || {
        bench
            .tallies
            .get(0)
            .is_some_and(|tally| tally.upto() == end)
    })
    .await;
}

fn remembered(bench: &Bench) -> Option<Mark> {
    bench.tallies.get(0).unwrap().mark()
}

fn lane(bench: &Bench) -> Lane {
    bench.lanes.get(0).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_made_anew_while_it_is_read_stops_its_partition() {
    let bench = Bench::start(vec![]).await;
    stands(&bench, &[mark(0)]);
    let (epoch, _) = bench.open(0, 0).await;
    served(&bench, epoch, 0..10).await;
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(lane(&bench).halted(), None, "it is the same");

    // Filled beyond where it was read, it is read on.
    stands(&bench, &[other(0), other(10)]);
    served(&bench, epoch, 10..20).await;
    until("stopped", || lane(&bench).halted().is_some()).await;
    let stopped = lane(&bench);
    let halt = stopped.halted().unwrap();
    assert_eq!(halt.cause, Cause::OtherLog);
    for part in ["at offset 0 stands another record", "KAFKA_TOPIC"] {
        assert!(halt.to_string().contains(part), "{halt}");
    }
    assert_eq!(
        remembered(&bench),
        Some(mark(0)),
        "the next owner finds it out, too"
    );
    let looks = bench.coordinator.looks.lock().unwrap().len();
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(bench.coordinator.looks.lock().unwrap().len(), looks);
}

#[tokio::test(start_paused = true)]
async fn a_newer_record_is_remembered_once_the_older_one_still_stood_there_after_it_was_read() {
    let bench = Bench::start(vec![]).await;
    stands(&bench, &[mark(0), mark(10)]);
    let (epoch, _) = bench.open(0, 0).await;
    served(&bench, epoch, 0..10).await;
    served(&bench, epoch, 10..20).await;
    assert_eq!(remembered(&bench), Some(mark(0)));
    tokio::time::sleep(6 * SECOND).await;
    served(&bench, epoch, 20..21).await;
    assert_eq!(remembered(&bench), Some(mark(10)));

    // Retention removes it: what was read since is believed.
    stands(&bench, &[]);
    tokio::time::sleep(6 * SECOND).await;
    served(&bench, epoch, 21..22).await;
    assert_eq!(remembered(&bench), Some(mark(20)));
    assert_eq!(lane(&bench).halted(), None);
}

#[tokio::test(start_paused = true)]
async fn partitions_are_looked_at_in_turn_and_no_more_often_the_more_they_are() {
    let bench = Bench::start(vec![]).await;
    for partition in [0, 3, 7] {
        let (epoch, _) = bench.open(partition, 0).await;
        bench.serve(partition, epoch, 0..1);
    }
    let began = tokio::time::Instant::now();
    until_within(60 * SECOND, "seven looks", || {
        bench.coordinator.looks.lock().unwrap().len() == 7
    })
    .await;
    assert!(began.elapsed() > 30 * SECOND, "{:?}", began.elapsed());
    let looks = bench.coordinator.looks.lock().unwrap().clone();
    assert_eq!(looks, [0, 3, 7, 0, 3, 7, 0]);
}
