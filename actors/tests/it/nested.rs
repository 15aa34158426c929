//! Somebody under a supervisor under a supervisor would not go: nothing takes the place of either.

use std::sync::mpsc::channel;
use std::time::Duration;

use actors::testkit::until;
use actors::{
    Addr, ChildSpec, Children, Event, Exit, Overrun, Shutdown, StartError, StopOutcome, Strategy,
    SupervisorSpec, System, Watch,
};

use crate::ending::{Way, clinging};
use crate::stuck::{Traffic, ends};
use crate::support::{Do, Doer, Notes, SECOND, eager};

const MOMENT: Duration = Duration::from_millis(50);

/// root: in: b, where `in` may be a dynamic one.
async fn nested(b: ChildSpec, dynamic: bool) -> System {
    let children = Children::new();
    let inner = if dynamic {
        SupervisorSpec::dynamic(&children)
    } else {
        eager(Strategy::OneForOne).child(b.clone())
    };
    let inner = ChildSpec::supervisor("in", inner.kill_grace(MOMENT));
    let root = eager(Strategy::OneForOne).kill_grace(MOMENT).child(inner);
    let system = System::start("t", root).await.unwrap();
    if dynamic {
        children.start(b).await.unwrap();
    }
    system
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_blocks_in_its_drop_is_given_up_by_all_above_it_and_has_no_successor() {
    let _traffic = Traffic::new();
    for dynamic in [false, true] {
        let b = Addr::new("b");
        let (go_on, child) = clinging(&b, false);
        let system = nested(child, dynamic).await;
        b.send(Way::Fail).unwrap();
        let cause =
            "in: gave up: b: failed: failed: broken, and is still there: it blocks its thread";
        let exit = ends(system.ended()).await;
        assert_eq!(exit, Exit::MeltedDown(cause.to_owned()));
        assert!(b.send(Way::Fail).is_err(), "nobody took its place");
        drop(go_on);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_blocks_its_thread_at_work_is_given_up_by_all_above_it_with_the_cause() {
    let _traffic = Traffic::new();
    for dynamic in [false, true] {
        let (b, notes) = (Addr::new("b"), Notes::default());
        let child = Doer::child("b", &b, &notes).watch(Watch::after(MOMENT));
        let system = nested(child, dynamic).await;
        let (go_on, until) = channel();
        b.send(Do::Block(until)).unwrap();
        let exit = ends(system.ended()).await.to_string();
        let told = [
            "in: gave up: b: failed: failed: made no progress for",
            "it blocks its thread",
        ];
        assert!(told.iter().all(|part| exit.contains(part)), "{exit}");
        let ups = notes.all().iter().filter(|note| *note == "b up").count();
        assert_eq!(ups, 1, "nobody took its place");
        drop(go_on);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_drain_names_who_blocks_its_thread_however_deep_it_is() {
    let _traffic = Traffic::new();
    let (b, notes) = (Addr::new("b"), Notes::default());
    let child = Doer::child("b", &b, &notes).shutdown(Shutdown::Infinity);
    let system = nested(child, false).await;
    let (go_on, blocks) = channel();
    b.send(Do::Block(blocks)).unwrap();
    until("it blocks", || b.depth() == 0).await;
    let report = ends(system.drain(MOMENT)).await;
    assert!(report.took < SECOND, "{report:?}");
    let late = |overrun| {
        let mut late = report.laggards.iter();
        late.any(|laggard| laggard.path == "t/in/b" && laggard.overrun == overrun)
    };
    assert!(
        late(Overrun::Draining) && late(Overrun::Stuck),
        "{report:?}"
    );
    drop(go_on);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_supervisor_that_leaves_somebody_is_stopped_as_stuck() {
    let _traffic = Traffic::new();
    let (children, b, notes) = (Children::new(), Addr::new("b"), Notes::default());
    let root = SupervisorSpec::dynamic(&children).kill_grace(MOMENT);
    let system = System::start("t", root).await.unwrap();
    let inner = eager(Strategy::OneForOne).kill_grace(MOMENT);
    let inner = inner.child(Doer::child("b", &b, &notes));
    let inner = ChildSpec::supervisor("in", inner);
    children.start(inner).await.unwrap();
    let (go_on, blocks) = channel();
    b.send(Do::Block(blocks)).unwrap();
    until("it blocks", || b.depth() == 0).await;
    assert_eq!(children.stop("in", MOMENT).await, Ok(StopOutcome::Stuck));
    assert!(matches!(ends(system.ended()).await, Exit::MeltedDown(_)));
    drop(go_on);
}

#[tokio::test(start_paused = true)]
async fn who_stops_for_a_neighbour_is_not_drained_for_good() {
    let (a, b, notes) = (Addr::new("a"), Addr::new("b"), Notes::default());
    let children = Children::new();
    let spec = eager(Strategy::RestForOne)
        .child(Doer::child("a", &a, &notes))
        .child(ChildSpec::supervisor(
            "in",
            SupervisorSpec::dynamic(&children),
        ));
    let system = System::start("t", spec).await.unwrap();
    children.start(Doer::child("b", &b, &notes)).await.unwrap();
    b.send(Do::Hang).unwrap();
    a.send(Do::Fail("broken")).unwrap();
    until("it is drained", || b.send(Do::Note("late")).is_err()).await;
    let other = || Doer::child("c", &Addr::new("c"), &notes);
    assert_eq!(children.start(other()).await, Err(StartError::NotRunning));
    // Its neighbour's drain takes 30 s at most.
    tokio::time::sleep(40 * SECOND).await;
    assert!(children.start(other()).await.is_ok());
    assert!(system.drain(SECOND).await.is_clean());
    assert_eq!(children.start(other()).await, Err(StartError::Drained));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_left_in_a_restart_round_is_the_cause_of_the_end() {
    let _traffic = Traffic::new();
    let (a, b, notes) = (Addr::new("a"), Addr::new("b"), Notes::default());
    let inner = eager(Strategy::OneForOne)
        .kill_grace(MOMENT)
        .child(Doer::child("b", &b, &notes).shutdown(Shutdown::Drain(MOMENT)));
    let root = eager(Strategy::RestForOne)
        .kill_grace(MOMENT)
        .child(Doer::child("a", &a, &notes))
        .child(ChildSpec::supervisor("in", inner));
    let system = System::start("t", root).await.unwrap();
    let (go_on, blocks) = channel();
    b.send(Do::Block(blocks)).unwrap();
    until("it blocks", || b.depth() == 0).await;
    a.send(Do::Fail("broken")).unwrap();
    let cause = "in: failed: somebody under it is still there: it blocks its thread";
    let exit = ends(system.ended()).await;
    assert_eq!(exit, Exit::MeltedDown(cause.to_owned()));
    drop(go_on);
}

#[tokio::test(start_paused = true)]
async fn who_is_to_be_killed_is_not_late_for_it() {
    let (notes, first, a, b) = (
        Notes::default(),
        Addr::new("first"),
        Addr::new("a"),
        Addr::new("b"),
    );
    let killed = |name, addr| Doer::child(name, addr, &notes).shutdown(Shutdown::Kill);
    let inner = eager(Strategy::OneForOne).child(killed("b", &b));
    let spec = eager(Strategy::RestForOne)
        .child(Doer::child("first", &first, &notes))
        .child(killed("a", &a))
        .child(ChildSpec::supervisor("in", inner));
    let system = System::start("t", spec).await.unwrap();
    let mut events = system.handle().events();
    notes.take();
    first.send(Do::Fail("broken")).unwrap();
    until("all are there again", || notes.has("b up")).await;
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, Event::Overran { .. }), "{event:?}");
    }
}
