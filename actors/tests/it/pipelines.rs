//! Pipelines: order, batches, failures, rate, pause, and lanes that come and go.

use std::sync::Arc;
use std::time::Duration;

use actors::testkit::{
    Callback, Fault, Faults, MemoryLane, MemorySink, run_pipeline, until, until_within,
};
use actors::{
    BatchLimits, Cost, Flow, Outcome, Pipeline, Rate, StartError, Step, StopOutcome, System,
    Unusable,
};

use crate::support::{Notes, SECOND};

const SMALL: BatchLimits = BatchLimits {
    count: 10,
    bytes: 1000,
    age: Duration::from_millis(20),
};

/// Numbers as text in, numbers out.
fn numbers(name: &str) -> Flow<String, u64> {
    Flow::new(name, |text: &String| match text.parse() {
        Ok(number) => Step::Next(number),
        Err(error) => Step::Fail(Box::new(error)),
    })
    .batches(SMALL)
}

fn lane(numbers: impl IntoIterator<Item = u64>) -> MemoryLane<String> {
    MemoryLane::new(numbers.into_iter().map(|number| number.to_string()))
}

async fn running(flow: Flow<String, u64>, sink: &MemorySink<u64>) -> (System, Pipeline<String>) {
    let (pipeline, spec) = flow.build(Arc::new(sink.clone()));
    (System::start("t", spec).await.unwrap(), pipeline)
}

#[tokio::test(start_paused = true)]
async fn everything_is_written_in_order_of_its_key_and_committed() {
    let sink = MemorySink::new().slow(SECOND / 100);
    let flow = numbers("p")
        .workers(3)
        .writers(2)
        .key(|text| text.parse::<u64>().unwrap_or(0) % 7);
    let lanes = vec![lane(0..500), lane(1000..1500)];
    let ran = run_pipeline(flow, Arc::new(sink.clone()), lanes).await;
    assert!(ran.drain.is_clean(), "{:?}", ran.drain);
    let written = sink.written();
    assert_eq!(written.len(), 1000);
    for lane in [0..500, 1000..1500] {
        for key in 0..7 {
            let of_key: Vec<_> = written
                .iter()
                .filter(|n| lane.contains(*n) && *n % 7 == key)
                .collect();
            assert!(of_key.is_sorted(), "lane {lane:?} key {key}");
        }
    }
    assert!(ran.lanes.iter().all(|lane| lane.committed() == 500));
    assert_eq!(ran.pipeline.credits().in_use(), Cost::default());
}

#[tokio::test(start_paused = true)]
async fn batches_of_one_key_hold_one_key_and_keys_are_written_side_by_side() {
    let sink = MemorySink::new().slow(SECOND);
    let flow = numbers("p")
        .key(|text| text.parse::<u64>().unwrap_or(0) % 4)
        .batches_per_key(4);
    let began = tokio::time::Instant::now();
    run_pipeline(flow, Arc::new(sink.clone()), vec![lane(0..80)]).await;
    assert!(
        began.elapsed() < 3 * SECOND,
        "two batches a key, four keys at once: {:?}",
        began.elapsed()
    );
    for batch in sink.batches() {
        assert!(batch.iter().all(|n| n % 4 == batch[0] % 4) && batch.is_sorted());
    }
}

#[tokio::test(start_paused = true)]
async fn steps_change_filter_and_fail_and_the_failed_handler_sees_every_unusable_record() {
    let (notes, sink) = (Notes::default(), MemorySink::new().refusing(|n| *n == 130));
    let seen = notes.clone();
    let flow = numbers("p")
        .filter(|n| n % 2 == 0)
        .map(|n| n * 10)
        .then(|n| {
            if n == 120 {
                panic!("planned panic")
            } else {
                Step::Next(n + 10)
            }
        })
        .on_failed(move |failed| {
            let record = match failed.record {
                Unusable::Raw(text) => text,
                Unusable::Ready(number) => number.to_string(),
            };
            seen.add(format!(
                "{} {record}: {}",
                failed.position.seq, failed.cause
            ));
            async { Outcome::DeadLettered }
        });
    let texts = ["2", "x", "3", "12", "4", "8"].map(str::to_owned);
    let lane: MemoryLane<String> = MemoryLane::new(texts.into_iter().chain(["14".to_owned()]));
    let flow_sink = Arc::new(sink.clone().refusing(|n| *n == 150));
    let ran = run_pipeline(flow, flow_sink, vec![lane]).await;
    assert_eq!(sink.written(), [30, 50, 90]);
    let mut failed = notes.all();
    failed.sort();
    assert_eq!(
        failed,
        [
            "1 x: invalid digit found in string",
            "3 12: panicked: planned panic",
            "6 150: refused"
        ]
    );
    assert_eq!(ran.lanes[0].committed(), 7);
    let outcomes: Vec<_> = ran.lanes[0]
        .take_settled()
        .iter()
        .map(|settled| settled.outcome)
        .collect();
    use Outcome::{DeadLettered, Stored};
    assert_eq!(
        outcomes,
        [
            Stored,
            DeadLettered,
            Stored,
            DeadLettered,
            Stored,
            Stored,
            DeadLettered
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_fails_its_lane_which_begins_again_at_its_commit() {
    let faults = Faults::new()
        .at(Callback::Named("write"), 3, Fault::Error)
        .at(Callback::Named("write"), 6, Fault::Panic);
    let sink = MemorySink::new().faults(&faults);
    let ran = run_pipeline(numbers("p"), Arc::new(sink.clone()), vec![lane(0..200)]).await;
    assert_eq!(ran.lanes[0].committed(), 200);
    let mut written = sink.written();
    written.sort();
    written.dedup();
    assert_eq!(
        written,
        (0..200).collect::<Vec<_>>(),
        "at least once, each of them"
    );
}

#[tokio::test(start_paused = true)]
async fn a_source_may_fail_anywhere() {
    for callback in ["open", "pull", "commit"] {
        for fault in [Fault::Error, Fault::Panic] {
            // The first `open` is the start itself, which may fail: the second is a restart.
            let faults = Faults::new().at(Callback::Named(callback), 2, fault).at(
                Callback::Named("pull"),
                1,
                fault,
            );
            let sink = MemorySink::new();
            let ran = run_pipeline(
                numbers("p"),
                Arc::new(sink.clone()),
                vec![lane(0..50).faults(&faults)],
            )
            .await;
            assert_eq!(ran.lanes[0].committed(), 50, "{callback} {fault:?}");
        }
    }
}

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
    let second = left.clone();
    pipeline.open(0, move |_| second.source()).await.unwrap();
    tokio::time::sleep(70 * SECOND).await;
    assert_eq!(
        left.committed(),
        0,
        "written under the old epoch, so not committed under the new"
    );
    until_within(90 * SECOND, "written again", || left.committed() == 5).await;
    assert_eq!(sink.written().len(), 10);
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
}

#[test]
fn zero_capacities_are_refused_by_name() {
    let refused = |build: fn()| {
        let panic = std::panic::catch_unwind(build).unwrap_err();
        panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap()
    };
    assert!(refused(|| drop(numbers("p").workers(0))).contains("zero workers"));
    assert!(refused(|| drop(numbers("p").writers(0))).contains("zero writers"));
    assert!(refused(|| drop(numbers("p").chunk(0))).contains("zero records"));
    assert!(refused(|| drop(numbers("p").batches_per_key(0))).contains("zero batches"));
    assert!(
        refused(|| drop(numbers("p").rate(Rate {
            per_second: 0.0,
            burst: 1
        })))
        .contains("lets nothing pass")
    );
    let none = Cost { count: 0, bytes: 1 };
    let build = move || {
        drop(
            numbers("p")
                .credits(none)
                .build::<(), _>(Arc::new(MemorySink::new())),
        )
    };
    assert!(std::panic::catch_unwind(build).is_err());
}
