//! A fault in every callback of every role of a pipeline, in the supervisor itself, in owned tasks and
//! among subscribers: nothing deadlocks, nothing leaks, nothing is lost.
//!
//! The callbacks of stages and their factories are in `panics.rs`, those of batch sinks in
//! `batching.rs`, the failed handler in `unusable.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actors::testkit::{
    Callback, Fault, Faults, MemoryLane, MemorySink, MemorySource, Settlements, panic_supervisor,
    until,
};
use actors::{
    Addr, BatchLimits, ChildSpec, Children, Cost, Cx, Epoch, Event, Failure, Fate, Flow, NoEvent,
    Outcome, Passed, Pipeline, Pulled, Sink, Source, Stage, Step, StopOutcome, Strategy,
    SupervisorSpec, System,
};
use tokio::time::timeout;

use crate::children::running as with_dynamic;
use crate::panics::every_fault;
use crate::pipelines::{SMALL, lane, numbers, parsed};
use crate::support::{Do, Doer, Notes, SECOND, eager, receipt};

/// A source that is counted, and fails where it is made and dropped as well.
pub(crate) struct Counted {
    inner: MemorySource<String>,
    alive: Arc<AtomicUsize>,
    faults: Faults,
}

impl Counted {
    pub(crate) fn maker(
        kept: &MemoryLane<String>,
        alive: &Arc<AtomicUsize>,
        faults: &Faults,
    ) -> impl Fn(Epoch) -> Self + Send + Sync + 'static {
        let (kept, alive, faults) = (kept.clone(), Arc::clone(alive), faults.clone());
        move |_| Self::new(&kept, &alive, &faults)
    }

    fn new(kept: &MemoryLane<String>, alive: &Arc<AtomicUsize>, faults: &Faults) -> Self {
        faults.sync_point(Callback::Make);
        alive.fetch_add(1, Ordering::SeqCst);
        Self {
            inner: kept.source(),
            alive: Arc::clone(alive),
            faults: faults.clone(),
        }
    }
}

impl Source for Counted {
    type Item = String;
    type Note = ();

    async fn open(&mut self, epoch: Epoch) -> Result<u64, Failure> {
        self.inner.open(epoch).await
    }

    async fn pull(&mut self, most: usize) -> Result<Option<Vec<Pulled<String>>>, Failure> {
        self.inner.pull(most).await
    }

    async fn commit(&mut self, passed: Passed<()>) -> Result<(), Failure> {
        self.inner.commit(passed).await
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
        self.faults.sync_point(Callback::Drop);
    }
}

/// Whether a lane gets over it by itself, or when it is closed and opened again.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Over {
    ByItself,
    Reopened,
}

fn expected(callback: Callback, fault: Fault) -> Over {
    match (callback, fault) {
        // A source that is not there yet, or has nothing to give, is waited for.
        (Callback::Named("open" | "pull"), Fault::Hang) => Over::Reopened,
        _ => Over::ByItself,
    }
}

/// The callbacks of a pipeline that cannot wait.
pub(crate) const BLOCKING: [Callback; 8] = [
    Callback::Named("key"),
    Callback::Named("first"),
    Callback::Named("step"),
    Callback::Named("map"),
    Callback::Named("filter"),
    Callback::Named("write begins"),
    Callback::Make,
    Callback::Drop,
];

/// A sink that can also fail before it gives its future.
struct Begins {
    inner: MemorySink<u64>,
    faults: Faults,
}

impl Sink<u64, ()> for Begins {
    fn write(&self, batch: &[u64]) -> impl Future<Output = Vec<Fate<()>>> + Send {
        self.faults.sync_point(Callback::Named("write begins"));
        self.inner.write(batch)
    }
}

/// A pipeline with a fault point in every callback.
pub(crate) fn faulty(
    faults: &Faults,
    sink: &MemorySink<u64>,
) -> (Pipeline<String>, SupervisorSpec) {
    let point = |name: &'static str| {
        let faults = faults.clone();
        move || faults.sync_point(Callback::Named(name))
    };
    let (key, first) = (point("key"), point("first"));
    let (step, map, filter) = (point("step"), point("map"), point("filter"));
    let flow = Flow::new("p", move |text: &String| {
        first();
        Step::Next(text.clone())
    });
    flow.then(|text| parsed(&text))
        .key(move |_| {
            key();
            0
        })
        .then(move |number| {
            step();
            Step::Next(number)
        })
        .map(move |number| {
            map();
            number
        })
        .filter(move |_| {
            filter();
            true
        })
        .on_failed(|_| async { Outcome::Failed })
        .chunk(3)
        .batches(BatchLimits { count: 2, ..SMALL })
        .watch(5 * SECOND)
        .build(Arc::new(Begins {
            inner: sink.clone(),
            faults: faults.clone(),
        }))
}

async fn survive(callback: Callback, nth: u64, fault: Fault) {
    let case = format!("{callback:?} {fault:?} at call {nth}");
    let faults = Faults::new().at(callback, nth, fault);
    let alive = Arc::<AtomicUsize>::default();
    let sink = MemorySink::new().faults(&faults);
    let (pipeline, spec) = faulty(&faults, &sink);
    let system = System::start("t", spec).await.unwrap();
    let kept = lane(0..10).faults(&faults).endless();
    let open = async || {
        let make = Counted::maker(&kept, &alive, &faults);
        timeout(SECOND, pipeline.open(0, make)).await
    };
    if matches!(open().await, Ok(Err(_))) {
        // A failed first start is told to who asked, and not tried again.
        drop(open().await);
    }
    let over = expected(callback, fault);
    for _ in 0..60 {
        if kept.committed() == 10 {
            break;
        }
        tokio::time::sleep(SECOND).await;
    }
    if kept.committed() < 10 && over == Over::Reopened {
        drop(pipeline.close(0, SECOND).await);
        let opened = open().await;
        assert!(matches!(opened, Ok(Ok(_))), "{case}: {opened:?}");
        until("it is committed", || kept.committed() == 10).await;
    }
    assert_eq!(kept.committed(), 10, "{case}");
    let report = system.drain(5 * SECOND).await;
    assert!(report.took <= 7 * SECOND, "{case}: {report:?}");
    // An opening or a commit is never dropped half way: one that hangs for ever stays, with its source.
    let owned = ["open", "commit"].map(Callback::Named).contains(&callback);
    let stays = owned && fault == Fault::Hang && faults.calls(callback) >= nth;
    let stays = usize::from(stays);
    let left = || alive.load(Ordering::SeqCst);
    until(&format!("{case}: no source is left"), || left() == stays).await;
    assert_eq!(pipeline.credits().in_use(), Cost::default(), "{case}");
    assert!(pipeline.lanes().is_empty(), "{case}");
    let mut written = sink.written();
    written.dedup();
    assert!(written.len() >= 10, "{case}");
    let seqs: Vec<_> = kept
        .take_settled()
        .iter()
        .map(|settled| settled.position.seq)
        .collect();
    assert_eq!(seqs, (0..10).collect::<Vec<_>>(), "{case}");
}

#[tokio::test(start_paused = true)]
async fn a_fault_in_any_callback_of_a_pipeline_neither_deadlocks_nor_leaks() {
    let waiting = ["open", "pull", "commit", "write"].map(|name| (Callback::Named(name), true));
    // What these do instead of waiting is in `blocking.rs`.
    let others = BLOCKING.map(|callback| (callback, false));
    for (callback, waits) in waiting.into_iter().chain(others) {
        for nth in 1..=3 {
            for fault in every_fault(waits) {
                survive(callback, nth, fault).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_hangs_is_noticed_and_never_dropped() {
    let faults = Faults::new().at(Callback::Named("commit"), 1, Fault::Slow(60 * SECOND));
    let sink = MemorySink::<u64>::new();
    let (pipeline, spec) = numbers("p").watch(5 * SECOND).build(Arc::new(sink));
    let system = System::start("t", spec).await.unwrap();
    let kept = lane(0..3).faults(&faults).endless();
    let (source, alive) = (kept.clone(), Arc::<AtomicUsize>::default());
    let counted = Arc::clone(&alive);
    let make = move |_| Counted::new(&source, &counted, &Faults::new());
    pipeline.open(0, make).await.unwrap();
    until("another one committed", || kept.committed() == 3).await;
    assert_eq!(system.handle().tree().find("lanes/0").unwrap().restarts, 1);
    assert_eq!(alive.load(Ordering::SeqCst), 2);
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(
        (alive.load(Ordering::SeqCst), kept.take_settled().len()),
        (1, 3),
        "the first commit went to its end as well, and was refused"
    );
    assert!(system.drain(SECOND).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_panics_takes_its_children_along_and_is_restarted() {
    let (children, a, notes, book) = (
        Children::new(),
        Addr::new("a"),
        Notes::default(),
        Settlements::new(),
    );
    let system = with_dynamic(&children).await;
    children.start(Doer::child("a", &a, &notes)).await.unwrap();
    a.send(Do::Keep(receipt(1, &book))).unwrap();
    a.send(Do::Settle(SECOND, receipt(2, &book))).unwrap();
    a.send(Do::Hang).unwrap();
    a.send(Do::Keep(receipt(3, &book))).unwrap();
    until("it hangs", || a.depth() == 1).await;
    assert!(panic_supervisor(&children));
    let dynamic = || system.handle().tree().find("dynamic").unwrap().clone();
    until("it is restarted", || dynamic().restarts == 1).await;
    assert_eq!(
        dynamic().last_cause.as_deref(),
        Some("panicked: planned panic")
    );
    assert_eq!(
        notes.all(),
        ["a up", "a gone"],
        "gone before its successor is there"
    );
    until("owned work is done", || book.open() == 0).await;
    assert_eq!(book.with(Outcome::Stored), [2]);
    book.assert_each_once();
    until("it takes children again", || children.ids().is_empty()).await;
    children.start(Doer::child("a", &a, &notes)).await.unwrap();
    a.send(Do::Later(60 * SECOND, "slow")).unwrap();
    // And once more, in the middle of a drain.
    let (report, ()) = tokio::join!(system.drain(5 * SECOND), async {
        tokio::time::sleep(SECOND).await;
        assert!(panic_supervisor(&children));
    });
    assert_eq!(report.took, SECOND, "{report:?}");
    assert_eq!(notes.all().last().unwrap(), "a gone");
    assert!(!panic_supervisor(&children), "nobody is there any more");
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_panics_while_a_child_is_started_or_stopped_answers_who_waits() {
    let (children, a, notes) = (Children::new(), Addr::new("a"), Notes::default());
    let _system = with_dynamic(&children).await;
    let faults = Faults::new().always(Callback::Started, Fault::Hang);
    let (probe, b) = (actors::testkit::Probe::<u8>::new(), Addr::new("b"));
    let stage = probe.clone();
    let hanging = faults.child("b", &b, move |_| stage.stage());
    children.start(Doer::child("a", &a, &notes)).await.unwrap();
    a.send(Do::Hang).unwrap();
    let (started, stopped, ()) = tokio::join!(
        children.start(hanging),
        children.stop("a", Duration::from_secs(3600)),
        async {
            until("it is asked", || faults.calls(Callback::Started) == 1).await;
            assert!(panic_supervisor(&children));
        }
    );
    assert!(
        started.is_err() && stopped.is_err(),
        "{started:?} {stopped:?}"
    );
    assert_eq!(probe.alive(), 0);
    assert_eq!(notes.all(), ["a up", "a gone"]);
}

#[tokio::test]
async fn a_panic_on_a_blocking_thread_fails_its_actor_with_its_text() {
    struct Blocking;
    impl Stage for Blocking {
        type Msg = &'static str;
        async fn handle(&mut self, text: Self::Msg, cx: &mut Cx<Self::Msg>) -> Result<(), Failure> {
            cx.spawn_blocking(move || panic!("{text}"));
            Ok(())
        }
    }
    let addr = Addr::new("blocking");
    let child = ChildSpec::stage("blocking", &addr, |_| Blocking);
    let system = System::start("t", eager(Strategy::OneForOne).child(child))
        .await
        .unwrap();
    addr.send("boom").unwrap();
    let place = || system.handle().tree().children[0].clone();
    until("it is restarted", || place().restarts == 1).await;
    assert_eq!(place().last_cause.as_deref(), Some("panicked: boom"));
    assert!(system.drain(10 * SECOND).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn subscribers_that_panic_or_never_listen_hold_nobody_up() {
    let (children, notes) = (Children::new(), Notes::default());
    let system = System::start("t", SupervisorSpec::dynamic(&children))
        .await
        .unwrap();
    let mut deaf = system.handle().events();
    let mut fragile = system.handle().events();
    let broken = tokio::spawn(async move {
        let event = fragile.recv().await;
        panic!("planned panic at {event:?}")
    });
    let mut keen = system.handle().events();
    let a = Addr::new("a");
    for round in 0..600 {
        children.start(Doer::child("a", &a, &notes)).await.unwrap();
        let stopped = children.stop("a", SECOND).await;
        assert_eq!(stopped, Ok(StopOutcome::Drained), "round {round}");
        assert!(matches!(keen.try_recv(), Ok(Event::Started { .. })));
        assert!(matches!(keen.try_recv(), Ok(Event::Ended { .. })));
    }
    assert!(broken.await.unwrap_err().is_panic());
    assert!(system.drain(SECOND).await.is_clean());
    assert!(matches!(keen.try_recv(), Ok(Event::Ended { .. })));
    assert!(matches!(keen.try_recv(), Ok(Event::Drained { .. })));
    assert_eq!(keen.try_recv(), Err(NoEvent::NoneYet));
    let kept = (0..).map_while(|_| match deaf.try_recv() {
        Ok(_) => Some(1),
        Err(NoEvent::Missed(missed)) => Some(missed),
        Err(_) => None,
    });
    assert!(kept.sum::<u64>() > 1200, "what it missed was counted");
    drop(system);
    assert_eq!(keen.recv().await, Err(NoEvent::Over));
}
