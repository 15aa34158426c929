//! Who never drains and who blocks its thread: stops end all the same, whoever began them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::testkit::{Probe, kill, until, until_within};
use actors::{
    Addr, ChildSpec, Children, Exit, Intensity, Overrun, Shutdown, StartError, Strategy,
    SupervisorSpec, System,
};

use tokio::runtime::Handle;

use crate::support::{Do, Doer, Notes, SECOND, eager};

const MOMENT: Duration = Duration::from_millis(50);

/// root: a, inner: (b, c); nobody has a limit of its own.
async fn endless(root: SupervisorSpec, inner: SupervisorSpec) -> (System, [Addr<Do>; 3], Notes) {
    let (addrs, notes) = (["a", "b", "c"].map(Addr::new), Notes::default());
    let child = |name, addr| Doer::child(name, addr, &notes).shutdown(Shutdown::Infinity);
    let inner = inner
        .child(child("b", &addrs[1]))
        .child(child("c", &addrs[2]));
    let root = root
        .child(child("a", &addrs[0]))
        .child(ChildSpec::supervisor("inner", inner));
    let system = System::start("t", root).await.unwrap();
    notes.take();
    (system, addrs, notes)
}

/// The answer of what has to end, in a test that has to end as well.
pub(crate) async fn ends<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(60 * SECOND, what).await.unwrap()
}

fn none() -> Intensity {
    Intensity {
        restarts: 0,
        within: SECOND,
    }
}

#[tokio::test(start_paused = true)]
async fn a_meltdown_ends_although_a_child_never_drains() {
    let root = eager(Strategy::OneForOne)
        .intensity(none())
        .patience(5 * SECOND);
    let (system, [a, _, c], notes) = endless(root, eager(Strategy::OneForOne)).await;
    let began = tokio::time::Instant::now();
    c.send(Do::Hang).unwrap();
    a.send(Do::Fail("broken")).unwrap();
    assert_eq!(
        ends(system.ended()).await,
        Exit::MeltedDown("a: failed: broken".to_owned())
    );
    assert_eq!(
        began.elapsed(),
        30 * SECOND,
        "what `inner` gives when nothing is said"
    );
    assert_eq!(
        notes.all(),
        ["a gone", "c gone", "b gone"],
        "one deadline for all, and one of them took all of it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_restart_round_ends_although_a_child_never_drains() {
    let inner = eager(Strategy::RestForOne).patience(5 * SECOND);
    let (system, [_, b, c], notes) = endless(eager(Strategy::OneForOne), inner).await;
    let began = tokio::time::Instant::now();
    c.send(Do::Hang).unwrap();
    b.send(Do::Fail("broken")).unwrap();
    until("the round is over", || notes.has("c up")).await;
    assert!((5 * SECOND..6 * SECOND).contains(&began.elapsed()));
    assert_eq!(notes.all(), ["b gone", "c gone", "b up", "c up"]);
    assert!(system.drain(SECOND).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_failed_start_ends_although_a_child_never_drains() {
    let (a, b) = (Addr::new("a"), Addr::new("b"));
    let (notes, probe) = (Notes::default(), Probe::<u8>::new());
    let faults = actors::testkit::Faults::new();
    let faults = faults.always(
        actors::testkit::Callback::Started,
        actors::testkit::Fault::Slow(SECOND),
    );
    let stage = probe.clone();
    let slow = faults
        .child("b", &b, move |_| stage.stage())
        .start_within(SECOND / 2);
    let spec = eager(Strategy::OneForOne)
        .child(Doer::child("a", &a, &notes).shutdown(Shutdown::Infinity))
        .child(slow);
    let began = tokio::time::Instant::now();
    let (started, ()) = tokio::join!(ends(System::start("t", spec)), async {
        until("a is home", || a.send(Do::Hang).is_ok()).await;
    });
    assert!(matches!(started, Err(StartError::Failed(_))));
    assert_eq!(began.elapsed(), 30 * SECOND + SECOND / 2);
    assert_eq!(
        (notes.all().last().unwrap().as_str(), probe.alive()),
        ("a gone", 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_a_dynamic_child_given_for_ever_does_not_hold_a_meltdown() {
    let (children, notes) = (Children::new(), Notes::default());
    let spec = SupervisorSpec::dynamic(&children)
        .intensity(none())
        .patience(5 * SECOND);
    let system = System::start("t", spec).await.unwrap();
    let (a, b) = (Addr::new("a"), Addr::new("b"));
    children
        .start(Doer::child("a", &a, &notes).shutdown(Shutdown::Infinity))
        .await
        .unwrap();
    children.start(Doer::child("b", &b, &notes)).await.unwrap();
    a.send(Do::Hang).unwrap();
    let (stopped, exit) = tokio::join!(ends(children.stop("a", Duration::MAX)), async {
        tokio::task::yield_now().await;
        b.send(Do::Fail("broken")).unwrap();
        ends(system.ended()).await
    });
    assert_eq!(stopped, Ok(actors::StopOutcome::Overran));
    assert_eq!(exit, Exit::MeltedDown("b: failed: broken".to_owned()));
}

/// Blocks whoever drops it until told to go on, or until nobody can tell any more.
struct Blocker(Mutex<Receiver<()>>);

impl Blocker {
    fn new() -> (Sender<()>, Self) {
        let (go_on, wait) = channel();
        (go_on, Self(Mutex::new(wait)))
    }

    fn block(&self) {
        // Ended by the drop of the other side.
        assert!(self.0.lock().unwrap().recv().is_err());
    }
}

impl Drop for Blocker {
    fn drop(&mut self) {
        self.block();
    }
}

/// What else goes on in a process: wakes the runtime from outside. A worker that blocks right after
/// it was the one to wait for timers would otherwise keep the others asleep in an idle runtime.
pub(crate) struct Traffic(Arc<AtomicBool>);

impl Traffic {
    pub(crate) fn new() -> Self {
        let (runtime, over) = (Handle::current(), Arc::<AtomicBool>::default());
        let watched = Arc::clone(&over);
        std::thread::spawn(move || {
            while !watched.load(Ordering::SeqCst) {
                runtime.spawn(async {});
                std::thread::park_timeout(Duration::from_millis(1));
            }
        });
        Self(over)
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A child whose factory blocks from its `nth` call on.
fn blocking(addr: &Addr<u8>, nth: usize) -> (Sender<()>, Arc<AtomicUsize>, ChildSpec) {
    let (go_on, blocker) = Blocker::new();
    let (calls, counted) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (probe, counting) = (Probe::<u8>::new(), Arc::clone(&counted));
    let child = ChildSpec::stage("b", addr, move |_| {
        counting.fetch_add(1, Ordering::SeqCst);
        if calls.fetch_add(1, Ordering::SeqCst) + 1 >= nth {
            blocker.block();
        }
        probe.stage()
    });
    (go_on, counted, child)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_factory_that_blocks_holds_neither_its_siblings_nor_the_drain() {
    let _traffic = Traffic::new();
    let (a, b, notes) = (Addr::new("a"), Addr::new("b"), Notes::default());
    let (go_on, calls, child) = blocking(&b, 2);
    let spec = eager(Strategy::OneForOne)
        .kill_grace(MOMENT)
        .child(Doer::child("a", &a, &notes))
        .child(child);
    let system = System::start("t", spec).await.unwrap();
    assert!(kill(&b));
    until("its factory blocks", || calls.load(Ordering::SeqCst) == 2).await;
    notes.take();
    a.send(Do::Fail("broken")).unwrap();
    until("its sibling is restarted", || notes.has("a up")).await;
    let report = ends(system.drain(MOMENT)).await;
    let overruns: Vec<_> = report
        .laggards
        .iter()
        .map(|l| (l.path.as_str(), l.overrun))
        .collect();
    assert!(overruns.contains(&("t/b", Overrun::Stuck)), "{overruns:?}");
    assert!(report.took < 5 * SECOND, "{report:?}");
    drop(go_on);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_factory_that_blocks_is_a_failed_start() {
    let _traffic = Traffic::new();
    let (a, b, notes) = (Addr::new("a"), Addr::new("b"), Notes::default());
    let (go_on, _, child) = blocking(&b, 1);
    let spec = eager(Strategy::OneForOne)
        .kill_grace(MOMENT)
        .child(Doer::child("a", &a, &notes))
        .child(child.start_within(MOMENT));
    let error = ends(System::start("t", spec))
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "t: gave up: b: failed: did not start: not up within 50ms, was killed and is still there: it blocks its thread"
    );
    assert_eq!(notes.all(), ["a up", "a drained", "a gone"]);
    drop(go_on);
}

/// Blocks the handler of the dynamic supervisor behind `children` itself: in the drop of a factory.
async fn block_supervisor(children: &Children) -> Sender<()> {
    let (go_on, blocker) = Blocker::new();
    let (addr, probe) = (Addr::new("b"), Probe::<u8>::new());
    let child = ChildSpec::stage("b", &addr, move |_| {
        let _kept = &blocker;
        probe.stage()
    });
    children.start(child).await.unwrap();
    let stopping = children.clone();
    tokio::spawn(async move { stopping.stop("b", SECOND).await });
    until("its child left", || children.ids().is_empty()).await;
    go_on
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_nested_supervisor_that_blocks_does_not_hold_the_drain() {
    let _traffic = Traffic::new();
    let (children, a, notes) = (Children::new(), Addr::new("a"), Notes::default());
    let spec = eager(Strategy::OneForOne)
        .kill_grace(MOMENT)
        .child(Doer::child("a", &a, &notes))
        .child(ChildSpec::supervisor(
            "dynamic",
            SupervisorSpec::dynamic(&children),
        ));
    let system = System::start("t", spec).await.unwrap();
    let go_on = block_supervisor(&children).await;
    let report = ends(system.drain(MOMENT)).await;
    let overruns: Vec<_> = report
        .laggards
        .iter()
        .map(|l| (l.path.as_str(), l.overrun))
        .collect();
    assert!(
        overruns.contains(&("t/dynamic", Overrun::Stuck)),
        "{overruns:?}"
    );
    assert!(
        report.took < 5 * SECOND && notes.has("a gone"),
        "{report:?}"
    );
    drop(go_on);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_root_that_blocks_does_not_hold_the_drain() {
    let _traffic = Traffic::new();
    let children = Children::new();
    let spec = SupervisorSpec::dynamic(&children).kill_grace(MOMENT);
    let system = System::start("t", spec).await.unwrap();
    let go_on = block_supervisor(&children).await;
    let report = ends(system.drain(MOMENT)).await;
    assert!(report.took < 5 * SECOND, "{report:?}");
    let cause = "t: blocks its thread and cannot be killed".to_owned();
    assert_eq!(report.exit, Exit::MeltedDown(cause.clone()));
    assert_eq!(
        (report.laggards[0].path.as_str(), report.laggards[0].overrun),
        ("t", Overrun::Stuck)
    );
    assert_eq!(system.ended().await, Exit::MeltedDown(cause));
    drop(go_on);
}

/// Siblings that all hang while they drain, under a supervisor that stops them for reasons of its own.
#[tokio::test(start_paused = true)]
async fn a_stop_that_a_supervisor_begins_itself_has_one_deadline_for_all() {
    for strategy in [Strategy::OneForOne, Strategy::RestForOne] {
        let (first, notes) = (Addr::new("first"), Notes::default());
        let rounds = strategy == Strategy::RestForOne;
        let restarts = if rounds { 5 } else { 0 };
        let mut spec = SupervisorSpec::new(strategy).intensity(Intensity {
            restarts,
            within: SECOND,
        });
        spec = spec.child(Doer::child("first", &first, &notes));
        let hanging: Vec<Addr<Do>> = (0..8).map(|_| Addr::new("hanging")).collect();
        for (at, addr) in hanging.iter().enumerate() {
            let name = ["a", "b", "c", "d", "e", "f", "g", "h"][at];
            let limit = Duration::from_secs(10 + at as u64);
            let child = Doer::child(name, addr, &notes).shutdown(Shutdown::Drain(limit));
            let nested = eager(Strategy::OneForOne).child(child);
            // Half of them under supervisors of their own.
            spec = match at % 2 {
                0 => spec.child(ChildSpec::supervisor(name, nested)),
                _ => spec.child(Doer::child(name, addr, &notes).shutdown(Shutdown::Drain(limit))),
            };
        }
        let system = System::start("t", spec).await.unwrap();
        for addr in &hanging {
            addr.send(Do::Hang).unwrap();
        }
        notes.take();
        let began = tokio::time::Instant::now();
        first.send(Do::Fail("broken")).unwrap();
        if rounds {
            let all = || notes.has("h up");
            until_within(60 * SECOND, "they are all up again", all).await;
        } else {
            let exit = ends(system.ended()).await;
            assert_eq!(exit, Exit::MeltedDown("first: failed: broken".to_owned()));
        }
        let took = began.elapsed();
        assert!(
            (17 * SECOND..19 * SECOND).contains(&took),
            "{strategy:?}: {took:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_taken_back_has_one_deadline_for_all() {
    let (notes, probe, last) = (Notes::default(), Probe::<u8>::new(), Addr::new("last"));
    let faults = actors::testkit::Faults::new();
    let faults = faults.always(
        actors::testkit::Callback::Drained,
        actors::testkit::Fault::Hang,
    );
    let mut spec = eager(Strategy::OneForOne);
    let hanging: Vec<Addr<u8>> = (0..4).map(|_| Addr::new("hanging")).collect();
    for (at, addr) in hanging.iter().enumerate() {
        let stage = probe.clone();
        spec = spec.child(faults.child(["a", "b", "c", "d"][at], addr, move |_| stage.stage()));
    }
    let taken = Doer::child("e", &last, &notes);
    let twice = Doer::child("f", &last, &notes);
    let began = tokio::time::Instant::now();
    let started = ends(System::start("t", spec.child(taken).child(twice))).await;
    assert!(
        matches!(started, Err(StartError::Failed(_))),
        "its address is taken"
    );
    assert_eq!(began.elapsed(), 30 * SECOND);
    assert_eq!(probe.alive(), 0);
}
