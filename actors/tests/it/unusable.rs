//! The failed handler: whatever it does, the record is settled, and nobody else is held up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actors::testkit::{
    Callback, Fault, Faults, MemoryLane, MemorySink, kill_part, run_pipeline, until, until_within,
};
use actors::{Cost, Exit, Flow, Outcome, State, Unusable};

use crate::pipelines::{lane, numbers, running};
use crate::support::{Notes, SECOND};

const DECIDE: Callback = Callback::Named("decide");

/// Says what it was given, and dead-letters it, unless a fault is planned.
fn handled(flow: Flow<String, u64>, faults: &Faults, notes: &Notes) -> Flow<String, u64> {
    let (faults, notes) = (faults.clone(), notes.clone());
    flow.on_failed(move |failed| {
        let record = match failed.record {
            Unusable::Raw(text) => text,
            Unusable::Ready(number) => number.to_string(),
        };
        notes.add(format!("{record}: {}", failed.cause));
        // Once where nothing can be awaited, and once where it can.
        faults.sync_point(Callback::Named("called"));
        let faults = faults.clone();
        async move {
            if faults.point(DECIDE).await.is_ok() {
                Outcome::DeadLettered
            } else {
                Outcome::Failed
            }
        }
    })
}

/// A lane with one record that a step fails, one that a step panics on, one whose key panics, and one
/// that the sink refuses.
fn four_kinds(faults: &Faults, notes: &Notes) -> (Flow<String, u64>, MemorySink<u64>) {
    let flow = numbers("p")
        .key(|text| {
            assert!(text != "3", "no key for {text}");
            0
        })
        .filter(|number| {
            assert!(*number != 5, "a step for {number}");
            true
        });
    let sink = MemorySink::new().refusing(|number| *number == 7);
    (handled(flow, faults, notes), sink)
}

const TEXTS: [&str; 9] = ["0", "one", "2", "3", "4", "5", "6", "7", "8"];

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_panics_or_hangs_once_is_asked_again() {
    for (callback, fault) in [
        (DECIDE, Fault::Error),
        (DECIDE, Fault::Panic),
        (DECIDE, Fault::Hang),
        (DECIDE, Fault::Slow(40 * SECOND)),
        (Callback::Named("called"), Fault::Panic),
    ] {
        for nth in 1..=4 {
            let (faults, notes) = (Faults::new().at(callback, nth, fault), Notes::default());
            let (flow, sink) = four_kinds(&faults, &notes);
            let kept = MemoryLane::<String>::new(TEXTS.map(str::to_owned));
            let ran = run_pipeline(flow, Arc::new(sink.clone()), vec![kept]).await;
            let case = format!("{callback:?} {fault:?} at call {nth}");
            assert!(ran.drain.is_clean(), "{case}: {:?}", ran.drain);
            assert_eq!(ran.lanes[0].committed(), 9, "{case}");
            assert_eq!(
                ran.pipeline.credits().in_use(),
                Cost::default(),
                "{case}: a credit leaked"
            );
            let outcomes: Vec<_> = ran.lanes[0]
                .take_settled()
                .iter()
                .map(|settled| settled.outcome == Outcome::DeadLettered)
                .collect();
            let dead = [false, true, false, true, false, true, false, true, false];
            assert_eq!(outcomes, dead, "{case}");
            assert!(
                notes.all().len() > 4,
                "{case}: asked again: {:?}",
                notes.all()
            );
            for cause in [
                "one: invalid digit found in string",
                "3: the key panicked: no key for 3",
                "5: panicked: a step for 5",
                "7: refused",
            ] {
                assert!(notes.has(cause), "{case}: {:?}", notes.all());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_holds_up_neither_other_lanes_nor_the_records_of_its_batch() {
    let (faults, notes) = (Faults::new().always(DECIDE, Fault::Hang), Notes::default());
    let flow = handled(numbers("p").decide_within(3600 * SECOND), &faults, &notes);
    let sink = MemorySink::new().refusing(|number| *number == 1);
    let (system, pipeline) = running(flow, &sink).await;
    let lanes = [lane(0..5).endless(), lane(100..150).endless()];
    for (number, kept) in (0..).zip(&lanes) {
        let kept = kept.clone();
        pipeline.open(number, move |_| kept.source()).await.unwrap();
    }
    until("the other lane is done", || lanes[1].committed() == 50).await;
    assert_eq!(
        lanes[0].committed(),
        1,
        "up to the one nobody decides about"
    );
    let report = system.drain(SECOND).await;
    assert!(report.took < 3 * SECOND, "{report:?}");
    let late: Vec<_> = report.laggards.iter().map(|l| l.path.as_str()).collect();
    assert!(late.contains(&"t/lanes/0"), "{late:?}");
    assert_eq!(pipeline.credits().in_use(), Cost::default());
}

#[tokio::test(start_paused = true)]
async fn a_handler_has_no_more_time_than_the_watch_and_a_write_before_it_counts_by_itself() {
    // Each keeps its limit of 3.75 s, and both together take longer than the watch waits.
    let takes = 3 * SECOND;
    let faults = Faults::new().always(DECIDE, Fault::Slow(takes));
    let notes = Notes::default();
    let flow = handled(numbers("p").watch(5 * SECOND), &faults, &notes);
    let sink = MemorySink::new()
        .slow(takes)
        .refusing(|number| *number == 1);
    let (_system, pipeline) = running(flow, &sink).await;
    let kept = lane(1..2);
    let source = kept.clone();
    pipeline.open(0, move |_| source.source()).await.unwrap();
    until("it is decided", || kept.committed() == 1).await;
    assert_eq!((faults.calls(DECIDE), pipeline.fenced()), (1, 0));
    // One that takes longer than that is given up before the watch has the record delivered again.
    let faults = Faults::new().at(DECIDE, 1, Fault::Slow(50 * SECOND));
    let flow = handled(numbers("p").watch(5 * SECOND), &faults, &notes);
    let (_system, pipeline) = running(flow, &MemorySink::new()).await;
    let kept = MemoryLane::<String>::new(["x".to_owned()]);
    let source = kept.clone();
    pipeline.open(0, move |_| source.source()).await.unwrap();
    until("it is decided", || kept.committed() == 1).await;
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!((faults.calls(DECIDE), pipeline.fenced()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_says_after_its_time_is_counted_and_changes_nothing() {
    let faults = Faults::new().at(DECIDE, 1, Fault::Slow(50 * SECOND));
    let notes = Notes::default();
    let flow = handled(numbers("p").watch(5 * SECOND), &faults, &notes).decide_within(30 * SECOND);
    let sink = MemorySink::new();
    let (_system, pipeline) = running(flow, &sink).await;
    let kept = MemoryLane::<String>::new(["x".to_owned()]);
    let source = kept.clone();
    pipeline.open(0, move |_| source.source()).await.unwrap();
    until("the watchdog had it delivered again", || {
        kept.committed() == 1
    })
    .await;
    assert_eq!(pipeline.fenced(), 0);
    // The first handler is given up after its half minute, and answers after fifty seconds.
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(pipeline.fenced(), 1, "settled once, and late");
    assert_eq!((kept.committed(), notes.all().len()), (1, 2));
    assert_eq!(pipeline.credits().in_use(), Cost::default());
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_decides_ends_the_pipeline_with_the_cause() {
    for (fault, why) in [
        (Fault::Error, ""),
        (Fault::Panic, "; the failed handler panicked: planned panic"),
        (Fault::Hang, "; the failed handler did not answer within 1s"),
    ] {
        let (faults, notes) = (Faults::new().always(DECIDE, fault), Notes::default());
        let flow = handled(numbers("p"), &faults, &notes)
            .decide_within(SECOND)
            .intensity(actors::Intensity {
                restarts: 3,
                within: 3600 * SECOND,
            });
        let (system, pipeline) = running(flow, &MemorySink::new()).await;
        let kept = MemoryLane::<String>::new(["x".to_owned()]);
        let opened = kept.clone();
        pipeline.open(0, move |_| opened.source()).await.unwrap();
        let exit = system.ended().await.to_string();
        let cause =
            format!("0: failed: record 0 of lane 0 failed: invalid digit found in string{why}");
        assert!(exit.ends_with(&cause), "{exit}");
        assert_eq!(kept.committed(), 0);
        assert_eq!(notes.all().len(), 4, "once, and three restarts");
        assert_eq!(pipeline.credits().in_use(), Cost::default());
    }
}

/// Seven records under three keys; the step panics on the second one when it first sees it.
fn panics_once(answer: impl Fn() -> Option<Outcome> + Send + Sync + 'static) -> Flow<String, u64> {
    let answer = Arc::new(answer);
    let steps = Faults::new().at(Callback::Named("step"), 2, Fault::Panic);
    numbers("p")
        .filter(move |_| {
            steps.sync_point(Callback::Named("step"));
            true
        })
        .key(|text| text.parse::<u64>().unwrap_or(0) % 3)
        .batches(actors::BatchLimits {
            count: 1,
            ..crate::pipelines::SMALL
        })
        .on_failed(move |_| {
            let answer = answer();
            async move {
                tokio::time::sleep(SECOND).await;
                match answer {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            }
        })
}

/// A later record of a key was written before an earlier one, because the earlier one's step panicked,
/// nobody decided about it, and its step did its work when it was delivered again.
#[tokio::test(start_paused = true)]
async fn what_is_behind_a_record_whose_step_panicked_waits_until_it_is_decided_about() {
    for (answer, of_its_key) in [
        (Some(Outcome::DeadLettered), &[4][..]),
        (Some(Outcome::Failed), &[1, 4]),
        (None, &[1, 4]),
    ] {
        let sink = MemorySink::new();
        let flow = panics_once(move || answer).watch(5 * SECOND);
        let (system, pipeline) = running(flow, &sink).await;
        let kept = lane(0..7);
        let source = kept.clone();
        pipeline.open(0, move |_| source.source()).await.unwrap();
        tokio::time::sleep(SECOND / 2).await;
        assert_eq!(sink.written(), [0, 2, 3, 5, 6], "other keys go on");
        until_within(60 * SECOND, "all are settled", || kept.committed() == 7).await;
        let written = sink.written().into_iter();
        let written: Vec<_> = written.filter(|number| number % 3 == 1).collect();
        assert_eq!(written, of_its_key, "{answer:?}");
        assert!(system.drain(60 * SECOND).await.is_clean());
    }
}

/// The same where the worker that knew of it died meanwhile, with nothing behind the record yet.
#[tokio::test(start_paused = true)]
async fn the_death_of_a_worker_lets_nobody_pass_a_record_that_is_not_decided_about() {
    for outcome in [Outcome::Failed, Outcome::DeadLettered] {
        let (once, asked) = (AtomicBool::new(true), Arc::<AtomicBool>::default());
        let told = Arc::clone(&asked);
        let flow = numbers("p")
            .filter(move |number| {
                assert!(*number > 0 || !once.swap(false, Ordering::SeqCst), "once");
                true
            })
            .on_failed(move |_| {
                told.store(true, Ordering::SeqCst);
                async move {
                    tokio::time::sleep(20 * SECOND).await;
                    outcome
                }
            });
        let sink = MemorySink::new();
        let (system, pipeline) = running(flow, &sink).await;
        let kept = lane(0..1).endless();
        let source = kept.clone();
        pipeline.open(0, move |_| source.source()).await.unwrap();
        until("it is asked", || asked.load(Ordering::SeqCst)).await;
        assert!(kill_part(&pipeline, "work-0"));
        let worker = || system.handle().tree().find("work-0").unwrap().clone();
        until("it is there again", || {
            worker().restarts == 1 && worker().state == State::Running
        })
        .await;
        (1..5).for_each(|number: u64| kept.push(number.to_string()));
        until_within(60 * SECOND, "all is committed", || kept.committed() == 5).await;
        assert_eq!(sink.written(), [0, 1, 2, 3, 4], "{outcome:?}");
        assert!(system.drain(30 * SECOND).await.exit == Exit::Drained);
    }
}
