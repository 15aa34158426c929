//! Pipelines: order, batches, failures, rate, pause, and lanes that come and go.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::testkit::{Callback, Fault, Faults, MemoryLane, MemorySink, run_pipeline, until};
use actors::{
    BatchLimits, Cost, Event, Fate, Flow, Intensity, Outcome, Pipeline, Sink, Step, System,
    Unusable,
};

use crate::support::{Notes, SECOND};

pub(crate) const SMALL: BatchLimits = BatchLimits {
    count: 10,
    bytes: 1000,
    age: Duration::from_millis(20),
};

/// Numbers as text in, numbers out.
pub(crate) fn numbers(name: &str) -> Flow<String, u64> {
    Flow::new(name, |text: &String| parsed(text)).batches(SMALL)
}

pub(crate) fn parsed(text: &str) -> Step<u64> {
    match text.parse() {
        Ok(number) => Step::Next(number),
        Err(error) => Step::Fail(Box::new(error)),
    }
}

pub(crate) fn lane(numbers: impl IntoIterator<Item = u64>) -> MemoryLane<String> {
    MemoryLane::new(numbers.into_iter().map(|number| number.to_string()))
}

pub(crate) async fn running(
    flow: Flow<String, u64>,
    sink: &MemorySink<u64>,
) -> (System, Pipeline<String>) {
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
async fn a_flush_has_written_what_is_under_way_long_before_its_age() {
    let hour = BatchLimits {
        age: 3600 * SECOND,
        ..SMALL
    };
    let sink = MemorySink::new();
    let (_system, pipeline) = running(numbers("p").workers(2).batches(hour), &sink).await;
    let kept = lane(0..13).endless();
    let source = kept.clone();
    pipeline.open(0, move |_| source.source()).await.unwrap();
    until("a batch is full", || kept.committed() == 10).await;
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(kept.committed(), 10, "the rest is too few and too young");
    pipeline.flush();
    until("the rest is written", || kept.committed() == 13).await;
    assert_eq!(sink.batches().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn while_every_writer_is_busy_age_does_not_cut_batches_small() {
    for per_key in [false, true] {
        let sink = MemorySink::new().slow(SECOND);
        let mut flow = numbers("p").key(|_| 0);
        if per_key {
            flow = flow.batches_per_key(1);
        }
        let (_system, pipeline) = running(flow, &sink).await;
        let kept = lane(0..1).endless();
        let source = kept.clone();
        pipeline.open(0, move |_| source.source()).await.unwrap();
        for number in 1..=12 {
            // Each of them is older than its age before the next one comes.
            tokio::time::sleep(SMALL.age * 2).await;
            kept.push(number.to_string());
        }
        until("all are written", || kept.committed() == 13).await;
        let sizes: Vec<_> = sink.batches().iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, 10, 2], "per key: {per_key}");
    }
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
async fn a_sink_that_fails_or_panics_again_and_again_ends_the_pipeline_with_its_own_words() {
    for (fault, cause) in [
        (Fault::Error, "not written: planned error"),
        (Fault::Panic, "the sink panicked: planned panic"),
    ] {
        let faults = Faults::new().always(Callback::Named("write"), fault);
        let sink = MemorySink::new().faults(&faults);
        let flow = numbers("p").intensity(Intensity {
            restarts: 3,
            within: 3600 * SECOND,
        });
        let (system, pipeline) = running(flow, &sink).await;
        let kept = lane(0..5).endless();
        pipeline.open(0, move |_| kept.source()).await.unwrap();
        let exit = system.ended().await.to_string();
        let cause = format!("record 0 of lane 0 failed: {cause}");
        assert!(exit.ends_with(&cause), "{exit}");
        let writer = system.handle().tree();
        let writer = writer.find("write-0").unwrap();
        assert_eq!(writer.restarts, 0, "it has nothing to do with it");
    }
}

/// A sink that panics on one number, and keeps the others with the time.
#[derive(Default)]
struct Picky(Mutex<Vec<(u64, tokio::time::Instant)>>);

impl Sink<u64, ()> for Picky {
    async fn write(&self, batch: &[u64]) -> Vec<Fate<()>> {
        assert!(!batch.contains(&7), "seven");
        let now = tokio::time::Instant::now();
        self.0
            .lock()
            .unwrap()
            .extend(batch.iter().map(|number| (*number, now)));
        batch.iter().map(|_| Fate::Stored(None)).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_the_sink_panics_on_goes_to_the_failed_handler_alone_and_those_behind_it_wait() {
    for (per_key, watch) in [(false, false), (true, false), (false, true)] {
        let (sink, notes) = (Arc::<Picky>::default(), Notes::default());
        let told = notes.clone();
        let mut flow = numbers("p").on_failed(move |failed| {
            let Unusable::Ready(number) = failed.record else {
                panic!("it came as far as the sink")
            };
            told.add(format!("{number} {}", failed.cause));
            async {
                tokio::time::sleep(SECOND).await;
                Outcome::DeadLettered
            }
        });
        if per_key {
            flow = flow.batches_per_key(2);
        }
        if watch {
            flow = flow.watch(10 * SECOND);
        }
        let began = tokio::time::Instant::now();
        let ran = run_pipeline(flow, Arc::clone(&sink), vec![lane(0..40)]).await;
        assert!(ran.drain.is_clean(), "{:?}", ran.drain);
        assert_eq!(notes.all(), ["7 the sink panicked: seven"]);
        assert_eq!(ran.lanes[0].committed(), 40);
        let written = sink.0.lock().unwrap();
        let numbers: Vec<u64> = written.iter().map(|(number, _)| *number).collect();
        assert_eq!(
            numbers,
            (0..40).filter(|number| *number != 7).collect::<Vec<_>>()
        );
        for (number, at) in written.iter() {
            assert_eq!(*number > 7, *at - began >= SECOND, "{number}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_sink_that_does_not_come_again_costs_nothing() {
    let faults = Faults::new().at(Callback::Named("write"), 2, Fault::Panic);
    let sink = MemorySink::new().faults(&faults);
    let (system, pipeline) = running(numbers("p"), &sink).await;
    let mut events = system.handle().events();
    let kept = lane(0..40).endless();
    let source = kept.clone();
    pipeline.open(0, move |_| source.source()).await.unwrap();
    until("it is committed", || kept.committed() == 40).await;
    assert_eq!(sink.written(), (0..40).collect::<Vec<_>>());
    assert!(system.drain(SECOND).await.is_clean());
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, Event::Failed { .. }), "{event:?}");
    }
}
