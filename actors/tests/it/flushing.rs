//! What is written before its batch is full or old enough, and what is not.

use std::time::Duration;

use actors::testkit::{Callback, Fault, Faults, MemorySink, kill_part, until};
use actors::{Backoff, BatchLimits, Closed, Flow, Outcome, Pipeline, System};

use crate::pipelines::{SMALL, lane, numbers, running};
use crate::support::SECOND;

const HOUR: Duration = Duration::from_secs(3600);

/// Only a flush has anything written within an hour, and who is killed comes back after another.
fn patient() -> Flow<String, u64> {
    let slow = Backoff {
        min: HOUR,
        max: HOUR,
        ..Backoff::default()
    };
    let limits = BatchLimits { age: HOUR, ..SMALL };
    numbers("p").batches(limits).backoff(slow)
}

/// Opens lanes with so many records, and waits until these are in batches.
async fn batched(
    flow: Flow<String, u64>,
    sink: &MemorySink<u64>,
    lanes: &[std::ops::Range<u64>],
) -> (System, Pipeline<String>) {
    let (system, pipeline) = running(flow, sink).await;
    for (number, records) in (0..).zip(lanes) {
        let source = lane(records.clone()).endless();
        let opened = pipeline.open(number, move |_| source.source()).await;
        opened.unwrap();
    }
    let all: usize = lanes.iter().map(|records| records.clone().count()).sum();
    until("all are on their way", || {
        pipeline.credits().in_use().count == all
    })
    .await;
    tokio::time::sleep(SECOND).await;
    assert!(sink.written().is_empty());
    (system, pipeline)
}

#[tokio::test(start_paused = true)]
async fn what_others_batch_stays_when_a_lane_is_closed() {
    let by_rest = |text: &String| text.parse::<u64>().unwrap_or(0) % 3;
    for flow in [
        patient(),
        patient().key(by_rest),
        patient().key(by_rest).batches_per_key(3),
    ] {
        let sink = MemorySink::new();
        let (system, pipeline) = batched(flow, &sink, &[0..4, 10..14, 20..21]).await;
        assert_eq!(pipeline.close(1, SECOND).await, Ok(Closed::Committed));
        let mut written = sink.written();
        written.sort_unstable();
        assert_eq!(written, [10, 11, 12, 13]);
        pipeline.flush();
        until("everybody's is written", || sink.written().len() == 9).await;
        assert!(system.drain(SECOND).await.is_clean());
    }
}

#[tokio::test(start_paused = true)]
async fn lanes_that_are_closed_at_once_share_their_batches() {
    let sink = MemorySink::new().slow(SECOND);
    let lanes: Vec<_> = (0..8).map(|lane| lane * 10..lane * 10 + 1).collect();
    let (_system, pipeline) = batched(patient(), &sink, &lanes).await;
    let closing = (0..8).map(|lane| {
        let pipeline = pipeline.clone();
        tokio::spawn(async move { pipeline.close(lane, 10 * SECOND).await })
    });
    for closing in closing.collect::<Vec<_>>() {
        assert_eq!(closing.await.unwrap(), Ok(Closed::Committed));
    }
    let batches = sink.batches().len();
    assert!(batches <= 2, "{batches} writes one after the other");
}

#[tokio::test(start_paused = true)]
async fn a_flush_is_not_lost_although_nobody_is_at_home_at_the_workers() {
    for closing in [true, false] {
        let sink = MemorySink::new();
        let (_system, pipeline) = batched(patient(), &sink, &[0..4, 10..14]).await;
        assert!(kill_part(&pipeline, "work-0"));
        tokio::time::sleep(SECOND).await;
        if closing {
            assert_eq!(pipeline.close(1, SECOND).await, Ok(Closed::Committed));
            assert_eq!(sink.written(), [10, 11, 12, 13]);
        } else {
            pipeline.flush();
            until("all are written", || sink.written().len() == 8).await;
        }
    }
}

/// What waits behind a record that is with the failed handler comes to its writer after the flush.
#[tokio::test(start_paused = true)]
async fn what_comes_to_a_writer_after_the_flush_of_its_lane_is_written_too() {
    let (sink, steps) = (MemorySink::new(), Faults::new());
    let steps = steps.at(Callback::Named("step"), 2, Fault::Panic);
    let flow = patient()
        .filter(move |_| {
            steps.sync_point(Callback::Named("step"));
            true
        })
        .on_failed(async |_| {
            tokio::time::sleep(3 * SECOND).await;
            Outcome::DeadLettered
        });
    let (system, pipeline) = batched(flow, &sink, &[0..4, 10..11]).await;
    assert_eq!(pipeline.close(0, 5 * SECOND).await, Ok(Closed::Committed));
    assert_eq!(sink.batches(), [vec![0], vec![2, 3]]);
    assert!(system.drain(SECOND).await.is_clean());
}
