//! Lanes that come and go, and what holds them: credits, rate, pause, the watchdog.

use std::time::Duration;

use actors::testkit::{Callback, Fault, Faults, MemorySink, until, until_within};
use actors::{BatchLimits, Cost, Rate, StartError, StopOutcome};

use crate::pipelines::{SMALL, lane, numbers, running};
use crate::support::SECOND;

#[tokio::test(start_paused = true)]
async fn a_closed_lane_is_written_and_committed_and_the_others_go_on() {
    let sink = MemorySink::new().slow(SECOND);
    // Old enough only after an hour: closing has to flush.
    let hour = BatchLimits {
        age: Duration::from_secs(3600),
        ..SMALL
    };
    let (system, pipeline) = running(numbers("p").batches(hour), &sink).await;
    let (left, right) = (lane(0..5).endless(), lane(100..102).endless());
    for (number, lane) in [(0, &left), (1, &right)] {
        let lane = lane.clone();
        pipeline.open(number, move |_| lane.source()).await.unwrap();
    }
    let again = pipeline.open(0, |_| lane(0..1).source()).await;
    assert_eq!(again, Err(StartError::AlreadyThere("0".to_owned())));
    until("all are on their way", || {
        pipeline.credits().in_use().count == 7
    })
    .await;
    assert_eq!(
        pipeline.close(0, 10 * SECOND).await,
        Ok(StopOutcome::Drained)
    );
    assert_eq!((left.committed(), pipeline.lanes()), (5, vec![1]));
    left.push("5".to_owned());
    let reopened = left.clone();
    pipeline.open(0, move |_| reopened.source()).await.unwrap();
    until("it goes on where it was", || {
        pipeline.credits().in_use().count > 0
    })
    .await;
    right.push("102".to_owned());
    let report = system.drain(10 * SECOND).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((left.committed(), right.committed()), (6, 3));
    assert_eq!(sink.written().len(), 9);
    assert_eq!(
        pipeline.open(2, |_| lane(0..1).source()).await,
        Err(StartError::Drained)
    );
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_cannot_be_drained_in_time_is_given_up_and_its_late_settlements_are_harmless() {
    let sink = MemorySink::new().slow(60 * SECOND);
    let (_system, pipeline) = running(numbers("p"), &sink).await;
    let left = lane(0..5).endless();
    let first = left.clone();
    pipeline.open(0, move |_| first.source()).await.unwrap();
    until("all are on their way", || {
        pipeline.credits().in_use().count == 5
    })
    .await;
    assert_eq!(pipeline.close(0, SECOND).await, Ok(StopOutcome::Overran));
    assert_eq!(
        pipeline.credits().in_use(),
        Cost::default(),
        "what a dead lane has under way holds nobody's room"
    );
    assert_eq!(pipeline.fenced(), 0);
    let second = left.clone();
    pipeline.open(0, move |_| second.source()).await.unwrap();
    tokio::time::sleep(70 * SECOND).await;
    assert_eq!(
        left.committed(),
        0,
        "written under the old epoch, so not committed under the new"
    );
    assert_eq!(pipeline.fenced(), 5, "late, and counted");
    until_within(90 * SECOND, "written again", || left.committed() == 5).await;
    assert_eq!(sink.written().len(), 10);
    assert_eq!(pipeline.fenced(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_paused_pipeline_stands_still_and_goes_on() {
    let sink = MemorySink::new();
    let (_system, pipeline) = running(numbers("p"), &sink).await;
    let left = lane(0..5).endless();
    pipeline.pause();
    let first = left.clone();
    pipeline.open(0, move |_| first.source()).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert!(sink.written().is_empty());
    pipeline.resume();
    until("it is committed", || left.committed() == 5).await;
    pipeline.pause();
    left.push("5".to_owned());
    tokio::time::sleep(SECOND).await;
    assert_eq!(left.committed(), 5);
    assert_eq!(
        pipeline.close(0, SECOND).await,
        Ok(StopOutcome::Drained),
        "a paused lane drains too"
    );
}

#[tokio::test(start_paused = true)]
async fn the_rate_holds_and_may_be_changed() {
    let sink = MemorySink::new();
    let rate = Rate {
        per_second: 10.0,
        burst: 10,
    };
    let (_system, pipeline) = running(numbers("p").rate(rate).chunk(5), &sink).await;
    let left = lane(0..1000);
    let first = left.clone();
    pipeline.open(0, move |_| first.source()).await.unwrap();
    tokio::time::sleep(9 * SECOND).await;
    let committed = left.committed();
    assert!(
        (90..=110).contains(&committed),
        "{committed} after nine seconds at ten a second"
    );
    pipeline.set_rate(None);
    until("the rest is there at once", || left.committed() == 1000).await;
}

#[tokio::test(start_paused = true)]
async fn credits_bound_what_is_under_way_and_a_record_larger_than_all_passes_alone() {
    let sink = MemorySink::new().slow(SECOND);
    let flow = numbers("p").credits(Cost {
        count: 20,
        bytes: 1,
    });
    let (_system, pipeline) = running(flow, &sink).await;
    let left = lane(0..10);
    let first = left.clone();
    pipeline.open(0, move |_| first.source()).await.unwrap();
    tokio::time::sleep(SECOND / 2).await;
    assert_eq!(
        pipeline.credits().in_use().count,
        1,
        "bytes allow one at a time"
    );
    pipeline.credits().resize(Cost {
        count: 4,
        bytes: 100,
    });
    for _ in 0..5 {
        tokio::time::sleep(SECOND).await;
        assert!(pipeline.credits().in_use().count <= 4);
    }
    until("all are committed", || left.committed() == 10).await;
}

#[tokio::test(start_paused = true)]
async fn a_lane_whose_records_hang_in_the_sink_is_restarted_alone() {
    let faults = Faults::new().at(Callback::Named("write"), 1, Fault::Hang);
    let sink = MemorySink::new().faults(&faults);
    let flow = numbers("p").watch(5 * SECOND).batches_per_key(2);
    let (system, pipeline) = running(flow, &sink).await;
    let lanes = [lane(0..5), lane(100..105).endless()];
    for (number, lane) in (0..).zip(&lanes) {
        let lane = lane.clone();
        pipeline.open(number, move |_| lane.source()).await.unwrap();
    }
    until("the other lane is committed", || lanes[1].committed() == 5).await;
    tokio::time::sleep(8 * SECOND).await;
    let tree = system.handle().tree();
    assert_eq!(tree.find("lanes/0").unwrap().restarts, 1);
    assert_eq!(tree.find("lanes/1").unwrap().restarts, 0);
    assert!(
        pipeline.credits().in_use().count <= 5,
        "the hanging records of the lane before hold no room"
    );
}
