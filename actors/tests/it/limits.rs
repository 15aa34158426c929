//! The limits a pipeline is given: for writes, for sources that open or have nothing, for a drain; and
//! what is left of it after a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actors::testkit::{
    Callback, Fault, Faults, MemoryLane, MemorySink, MemorySource, until, until_within,
};
use actors::{
    BatchLimits, ChildSpec, Cost, Epoch, Failure, Overrun, Passed, Pulled, Rate, Source,
    StartError, Strategy, SupervisorSpec, System,
};

use crate::pipelines::{SMALL, lane, numbers, running};
use crate::support::{SECOND, eager};

const WRITE: Callback = Callback::Named("write");

#[tokio::test(start_paused = true)]
async fn a_write_has_the_time_it_is_given_also_without_a_watch_and_too_many_hung_ones_escalate() {
    let faults = Faults::new().always(WRITE, Fault::Hang);
    let sink = MemorySink::new().faults(&faults);
    let flow = numbers("p").write_within(40 * SECOND);
    let (system, pipeline) = running(flow, &sink).await;
    let kept = lane(0..5).endless();
    pipeline.open(0, move |_| kept.source()).await.unwrap();
    let ended = tokio::time::timeout(600 * SECOND, system.ended()).await;
    let exit = ended.unwrap().to_string();
    assert!(
        exit.ends_with("the sink did not write it within 40s"),
        "{exit}"
    );
    assert_eq!(faults.calls(WRITE), 6, "once, and five restarts");
    assert_eq!(pipeline.credits().in_use(), Cost::default());
}

#[tokio::test(start_paused = true)]
async fn a_limit_for_writes_goes_before_that_of_the_watch() {
    let faults = Faults::new().at(WRITE, 1, Fault::Slow(50 * SECOND));
    let sink = MemorySink::new().faults(&faults);
    let flow = numbers("p").watch(60 * SECOND).write_within(55 * SECOND);
    let (system, pipeline) = running(flow, &sink).await;
    let kept = lane(0..5).endless();
    let source = kept.clone();
    pipeline.open(0, move |_| source.source()).await.unwrap();
    until_within(52 * SECOND, "it is written", || kept.committed() == 5).await;
    assert_eq!(faults.calls(WRITE), 1, "it was waited for");
    assert!(system.drain(SECOND).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_does_not_open_in_its_time_is_a_failed_start() {
    let faults = Faults::new().always(Callback::Named("open"), Fault::Hang);
    let sink = MemorySink::new();
    let (system, pipeline) = running(numbers("p").open_within(7 * SECOND), &sink).await;
    let kept = lane(0..5).faults(&faults);
    let began = tokio::time::Instant::now();
    let source = kept.clone();
    let opened = pipeline.open(0, move |_| source.source()).await;
    assert_eq!(began.elapsed(), 7 * SECOND);
    let why = "0: did not start: not up within 7s".to_owned();
    assert_eq!(opened, Err(StartError::Failed(why)));
    faults.clear();
    // And one that hangs when it is opened once more, after a failure.
    let hangs = Faults::new().at(Callback::Named("open"), 2, Fault::Hang);
    let fails = hangs.at(Callback::Named("commit"), 1, Fault::Error);
    let kept = lane(0..5).endless().faults(&fails);
    let source = kept.clone();
    pipeline.open(0, move |_| source.source()).await.unwrap();
    until("the third one commits", || kept.committed() == 5).await;
    assert_eq!(system.handle().tree().find("lanes/0").unwrap().restarts, 2);
    assert!(system.drain(SECOND).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_drain_may_take_as_long_as_its_parts_are_given() {
    for (patience, clean) in [(None, false), (Some(90 * SECOND), true)] {
        let sink = MemorySink::new().slow(60 * SECOND);
        let flow = numbers("p");
        let flow = match patience {
            Some(patience) => flow.patience(patience),
            None => flow,
        };
        let (system, pipeline) = running(flow, &sink).await;
        let kept = lane(0..5).endless();
        let source = kept.clone();
        pipeline.open(0, move |_| source.source()).await.unwrap();
        until("it is under way", || pipeline.credits().in_use().count == 5).await;
        let report = system.drain(3600 * SECOND).await;
        assert_eq!(report.is_clean(), clean, "{report:?}");
        assert_eq!(kept.committed(), if clean { 5 } else { 0 });
        if !clean {
            let first = &report.laggards[0];
            assert_eq!(first.path, "t/lanes/0");
            assert_eq!(first.overrun, Overrun::Draining);
        }
    }
}

/// Has nothing for a while, and does not wait.
struct Hasty {
    inner: MemorySource<String>,
    pulls: Arc<AtomicU32>,
}

impl Source for Hasty {
    type Item = String;
    type Note = ();

    async fn open(&mut self, epoch: Epoch) -> Result<u64, Failure> {
        self.inner.open(epoch).await
    }

    async fn pull(&mut self, most: usize) -> Result<Option<Vec<Pulled<String>>>, Failure> {
        if self.pulls.fetch_add(1, Ordering::SeqCst) < 100 {
            return Ok(Some(Vec::new()));
        }
        self.inner.pull(most).await
    }

    async fn commit(&mut self, passed: Passed<()>) -> Result<(), Failure> {
        self.inner.commit(passed).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_gives_nothing_without_waiting_is_asked_again_after_a_pause() {
    let (pipeline, spec) = numbers("p").build(Arc::new(MemorySink::new()));
    let system = System::start("t", spec).await.unwrap();
    let (kept, pulls) = (lane(0..5).endless(), Arc::<AtomicU32>::default());
    let (source, counted) = (kept.clone(), Arc::clone(&pulls));
    let began = tokio::time::Instant::now();
    let make = move |_| Hasty {
        inner: source.source(),
        pulls: Arc::clone(&counted),
    };
    pipeline.open(0, make).await.unwrap();
    until("it has something", || kept.committed() == 5).await;
    assert!(began.elapsed() >= SECOND, "a hundred pauses of 10 ms");
    assert!(system.drain(SECOND).await.is_clean());
}

/// A pipeline under a supervisor of its own, whose sink always panics.
async fn nested(vital: bool) -> (System, actors::Pipeline<String>, MemoryLane<String>) {
    let faults = Faults::new().always(WRITE, Fault::Panic);
    let sink = MemorySink::<u64>::new().faults(&faults);
    let (pipeline, spec) = numbers("p").build(Arc::new(sink));
    let mut child = ChildSpec::supervisor("p", spec);
    if vital {
        child = child.vital();
    }
    let root: SupervisorSpec = eager(Strategy::OneForOne).child(child);
    let system = System::start("t", root).await.unwrap();
    let kept = lane(0..5).endless();
    let source = kept.clone();
    pipeline.open(0, move |_| source.source()).await.unwrap();
    (system, pipeline, kept)
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_is_restarted_has_no_lanes_until_they_are_opened_again() {
    let (system, pipeline, kept) = nested(false).await;
    let place = || system.handle().tree().find("p").unwrap().clone();
    until("it gave up once", || place().restarts == 1).await;
    until("it is back", || place().find("lanes").is_some()).await;
    assert_eq!(pipeline.lanes(), Vec::<u32>::new());
    let source = kept.clone();
    pipeline.open(0, move |_| source.source()).await.unwrap();
    assert_eq!(pipeline.lanes(), [0]);
    until("it gave up again", || place().restarts == 2).await;
    system.drain(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_vital_pipeline_that_gives_up_takes_its_supervisor_along() {
    let (system, _pipeline, _kept) = nested(true).await;
    let exit = system.ended().await.to_string();
    assert!(exit.contains("planned panic"), "{exit}");
}

#[tokio::test(start_paused = true)]
async fn a_chunk_above_the_burst_goes_in_parts_of_it() {
    let sink = MemorySink::new();
    let rate = Rate {
        per_second: 10.0,
        burst: 5,
    };
    let (_system, pipeline) = running(numbers("p").rate(rate).chunk(500), &sink).await;
    let left = lane(0..1000);
    let first = left.clone();
    pipeline.open(0, move |_| first.source()).await.unwrap();
    for second in 1..=9_u64 {
        tokio::time::sleep(SECOND).await;
        let committed = left.committed();
        let due = 10 * second;
        assert!(
            (due - 5..=due + 5).contains(&committed),
            "{committed} after {second} s at ten a second"
        );
        assert!(pipeline.credits().in_use().count <= 10);
    }
}

#[tokio::test(start_paused = true)]
async fn who_stands_behind_a_long_line_that_moves_is_not_taken_for_stalled() {
    let sink = MemorySink::new().slow(2 * SECOND);
    let ten = BatchLimits { count: 10, ..SMALL };
    let flow = numbers("p").batches(ten).chunk(10).watch(10 * SECOND);
    let (_system, pipeline) = running(flow, &sink).await;
    let lanes = [lane(0..1000), lane(1000..1010)];
    for (number, kept) in (0..).zip(&lanes) {
        let kept = kept.clone();
        pipeline.open(number, move |_| kept.source()).await.unwrap();
        // The second comes when the first has filled the line.
        tokio::time::sleep(SECOND).await;
    }
    let done = || lanes[0].committed() == 1000 && lanes[1].committed() == 10;
    until_within(600 * SECOND, "both are done", done).await;
    assert_eq!(sink.written().len(), 1010, "nothing was delivered again");
}

#[tokio::test(start_paused = true)]
async fn a_smaller_burst_reaches_who_waits_for_credit() {
    let sink = MemorySink::new().slow(10 * SECOND);
    let credits = Cost {
        count: 50,
        bytes: 1_000_000,
    };
    let (_system, pipeline) = running(numbers("p").credits(credits).chunk(50), &sink).await;
    let left = lane(0..1000);
    let first = left.clone();
    pipeline.open(0, move |_| first.source()).await.unwrap();
    tokio::time::sleep(SECOND).await;
    pipeline.set_rate(Some(Rate {
        per_second: 1.0,
        burst: 5,
    }));
    // The first fifty are written in ten seconds each batch, and then five may go at once.
    until_within(600 * SECOND, "the first are written", || {
        left.committed() >= 50
    })
    .await;
    tokio::time::sleep(SECOND / 2).await;
    let under_way = pipeline.credits().in_use().count;
    assert!(under_way <= 10, "{under_way} of fifty");
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_kept_after_a_pause_and_by_those_who_stood_in_line_for_a_larger_one() {
    let rate = |per_second, burst| Rate { per_second, burst };
    let sink = MemorySink::new();
    let (_system, pipeline) = running(numbers("p").rate(rate(1.0, 1)), &sink).await;
    for number in 0..50 {
        let kept = lane(0..100).endless();
        pipeline.open(number, move |_| kept.source()).await.unwrap();
    }
    tokio::time::sleep(SECOND / 2).await;
    pipeline.pause();
    tokio::time::sleep(3600 * SECOND).await;
    let before = sink.written().len();
    pipeline.resume();
    tokio::time::sleep(SECOND / 2).await;
    let came = sink.written().len() - before;
    assert!(came <= 2, "{came} at one a second");
    // All of them stand in line for five hundred.
    pipeline.set_rate(Some(rate(0.001, 500)));
    tokio::time::sleep(SECOND).await;
    let before = sink.written().len();
    pipeline.set_rate(Some(rate(10.0, 2)));
    tokio::time::sleep(SECOND).await;
    let came = sink.written().len() - before;
    assert!((5..=12).contains(&came), "{came} at ten a second");
}
