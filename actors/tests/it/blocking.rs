//! Callbacks that cannot wait, and block their threads: while they do, everything else goes on and a
//! drain ends; when they are over, nothing is left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actors::testkit::{Callback, Fault, Faults, MemorySink, Probe, until};
use actors::{Addr, BatchLimits, Cost, Flow, Overrun, StartError, Step, Strategy, System};

use crate::pipelines::{SMALL, lane};
use crate::roles::{BLOCKING, Counted, faulty};
use crate::support::{SECOND, eager};

const MOMENT: Duration = Duration::from_millis(50);

/// What a callback did that blocks as long as the fault says, at its first call.
async fn block_in_a_pipeline(callback: Callback, fault: Fault) {
    let case = format!("{callback:?} {fault:?}");
    let faults = Faults::new().at(callback, 1, fault);
    let (alive, sink) = (Arc::<AtomicUsize>::default(), MemorySink::new());
    let (pipeline, spec) = faulty(&faults, &sink);
    let system = System::start("t", spec.kill_grace(MOMENT)).await.unwrap();
    let kept = lane(0..10).endless();
    let (opening, make) = (pipeline.clone(), Counted::maker(&kept, &alive, &faults));
    let opened = tokio::spawn(async move { opening.open(0, make).await });
    let blocks = || faults.calls(callback) > 0;
    if callback != Callback::Drop {
        until(&case, blocks).await;
    }
    let hangs = fault == Fault::Hang;
    if !hangs || callback == Callback::Drop {
        until(&case, || kept.committed() == 10).await;
    }
    let report = system.drain(if hangs { MOMENT } else { 5 * SECOND }).await;
    assert!(blocks(), "{case}");
    assert!(report.took < 10 * SECOND, "{case}: {report:?}");
    let mut late = report.laggards.iter().map(|late| late.overrun);
    // Work of a task is given up with the lane whose task it is, and not by its name.
    let owned = [
        Callback::Named("write begins"),
        Callback::Named("key"),
        Callback::Drop,
    ];
    assert_eq!(
        late.any(|overrun| overrun == Overrun::Stuck),
        hangs && !owned.contains(&callback),
        "{case}: {report:?}"
    );
    assert_eq!(report.is_clean(), !hangs, "{case}: {report:?}");
    faults.release();
    until(&format!("{case}: no source is left"), || {
        alive.load(Ordering::SeqCst) == 0
    })
    .await;
    until(&format!("{case}: no credit is left"), || {
        pipeline.credits().in_use() == Cost::default()
    })
    .await;
    assert_eq!(
        opened.await.unwrap().is_ok(),
        !(hangs && callback == Callback::Make),
        "{case}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_callback_of_a_pipeline_that_blocks_its_thread_holds_up_no_drain_and_leaks_nothing() {
    for callback in BLOCKING {
        for fault in [Fault::Hang, Fault::Slow(MOMENT)] {
            block_in_a_pipeline(callback, fault).await;
        }
    }
}

/// One lane's key or step blocks; those of another lane, for which there is another worker, go on.
async fn noticed_beside_one_that_moves(point: &'static str) {
    let faults = Faults::new().at(Callback::Named(point), 1, Fault::Hang);
    let blocks = |name: &'static str| {
        let faults = faults.clone();
        move |number: u64| {
            if name == point && number == 0 {
                faults.sync_point(Callback::Named(point));
            }
        }
    };
    let (key, step) = (blocks("key"), blocks("step"));
    let batches = BatchLimits {
        age: Duration::from_millis(1),
        ..SMALL
    };
    let number = |text: &String| text.parse::<u64>().unwrap();
    let flow = Flow::new("p", move |text: &String| {
        step(number(text));
        Step::Next(number(text))
    });
    let flow = flow
        .batches(batches)
        .watch(4 * MOMENT)
        .workers(2)
        .patience(MOMENT);
    let (pipeline, spec) = flow
        .key(move |text: &String| {
            key(number(text));
            // Two keys that have a worker each.
            number(text).min(1)
        })
        .build::<(), _>(Arc::new(MemorySink::new()));
    let system = System::start("t", spec.kill_grace(MOMENT)).await.unwrap();
    let lanes = [lane(0..3).endless(), lane(1..2).endless()];
    for (number, kept) in (0..).zip(&lanes) {
        let kept = kept.clone();
        pipeline.open(number, move |_| kept.source()).await.unwrap();
    }
    let moves = lanes[1].clone();
    let moving = tokio::spawn(async move {
        loop {
            moves.push("1".to_owned());
            tokio::time::sleep(MOMENT / 10).await;
        }
    });
    if point == "key" {
        // Its thread is lost, and the lane goes on with another.
        until("the lane was restarted", || lanes[0].committed() == 3).await;
    } else {
        let ended = tokio::time::timeout(20 * SECOND, system.ended()).await;
        let ended = ended.expect("it gives up").to_string();
        assert!(ended.contains("work-"), "{ended}");
    }
    moving.abort();
    faults.release();
    system.drain(5 * SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_and_a_step_that_block_are_noticed_also_while_other_lanes_move() {
    noticed_beside_one_that_moves("key").await;
    noticed_beside_one_that_moves("step").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_stage_that_blocks_where_it_is_made_or_dropped_is_named_and_goes_in_the_end() {
    for callback in [Callback::Make, Callback::Drop] {
        for fault in [Fault::Hang, Fault::Slow(MOMENT)] {
            let case = format!("{callback:?} {fault:?}");
            let (probe, addr) = (Probe::<u8>::new(), Addr::new("a"));
            let faults = Faults::new().at(callback, 1, fault);
            let stage = probe.clone();
            let child = faults.child("a", &addr, move |_| stage.stage());
            let spec = eager(Strategy::OneForOne).kill_grace(MOMENT);
            let started = System::start("t", spec.child(child.start_within(4 * MOMENT))).await;
            let hangs = fault == Fault::Hang;
            if hangs && callback == Callback::Make {
                let error = started.map(drop).unwrap_err().to_string();
                assert!(error.ends_with("it blocks its thread"), "{case}: {error}");
            } else {
                let report = started.unwrap().drain(4 * MOMENT).await;
                let stuck = report
                    .laggards
                    .iter()
                    .any(|late| late.overrun == Overrun::Stuck);
                assert_eq!(
                    (stuck, report.is_clean()),
                    (hangs, !hangs),
                    "{case}: {report:?}"
                );
            }
            faults.release();
            until(&case, || probe.alive() == 0).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_block_on_a_runtime_of_one_thread_is_refused() {
    let (probe, addr) = (Probe::<u8>::new(), Addr::new("a"));
    let faults = Faults::new().always(Callback::Make, Fault::Hang);
    let child = faults.child("a", &addr, move |_| probe.stage());
    let started = System::start("t", eager(Strategy::OneForOne).child(child)).await;
    assert!(
        matches!(&started, Err(StartError::Failed(why)) if why.contains("the flavor multi_thread")),
        "{started:?}"
    );
}
