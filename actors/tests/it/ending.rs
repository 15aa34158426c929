//! Ends that have begun by themselves and are never over: somebody blocks while being dropped.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::testkit::{Callback, Fault, Faults, panic_supervisor, until};
use actors::{
    Addr, ChildSpec, Children, Cx, Event, Exit, Failure, Intensity, NoEvent, Overrun, Restart,
    Stage, StartError, StopOutcome, Strategy, SupervisorSpec, System, Watch,
};

use crate::stuck::{Traffic, ends};
use crate::support::{Do, Doer, Notes, SECOND, eager};

const MOMENT: Duration = Duration::from_millis(50);

/// Blocks its thread when it is dropped, until nobody can tell it to go on any more.
struct Clings {
    until: Arc<Mutex<Receiver<()>>>,
    fails_to_start: bool,
}

pub(crate) enum Way {
    Fail,
    /// After a while, so that more is in the mailbox then.
    FailLater,
    /// Blocks its thread when it is dropped, until nobody can tell it to go on any more.
    Keep(Receiver<()>),
    Panic,
    Finish,
}

impl Stage for Clings {
    type Msg = Way;

    async fn started(&mut self, _: &mut Cx<Way>) -> Result<(), Failure> {
        if self.fails_to_start {
            return Err("not today".into());
        }
        Ok(())
    }

    async fn handle(&mut self, way: Way, cx: &mut Cx<Way>) -> Result<(), Failure> {
        match way {
            Way::Fail | Way::Keep(_) => return Err("broken".into()),
            Way::FailLater => {
                tokio::time::sleep(MOMENT).await;
                return Err("broken".into());
            }
            Way::Panic => panic!("boom"),
            Way::Finish => cx.finish(),
        }
        Ok(())
    }
}

impl Drop for Clings {
    fn drop(&mut self) {
        assert!(self.until.lock().unwrap().recv().is_err());
    }
}

pub(crate) fn clinging(addr: &Addr<Way>, fails_to_start: bool) -> (Sender<()>, ChildSpec) {
    let (go_on, until) = channel();
    let until = Arc::new(Mutex::new(until));
    let child = ChildSpec::stage("b", addr, move |_| Clings {
        until: Arc::clone(&until),
        fails_to_start,
    });
    (go_on, child)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn who_ends_and_blocks_in_its_drop_is_given_up_with_its_cause() {
    let _traffic = Traffic::new();
    for (way, cause) in [
        (Way::Fail, "failed: broken"),
        (Way::Panic, "panicked: boom"),
        (Way::Finish, "ended normally"),
    ] {
        let (a, b, notes) = (Addr::new("a"), Addr::new("b"), Notes::default());
        let (go_on, child) = clinging(&b, false);
        let spec = eager(Strategy::OneForOne)
            .kill_grace(MOMENT)
            .child(Doer::child("a", &a, &notes))
            .child(child.restart(Restart::Temporary));
        let system = System::start("t", spec).await.unwrap();
        let mut events = system.handle().events();
        b.send(way).unwrap();
        let stuck = format!("b: failed: {cause}, and is still there: it blocks its thread");
        assert_eq!(ends(system.ended()).await, Exit::MeltedDown(stuck));
        assert_eq!(notes.all(), ["a up", "a drained", "a gone"]);
        let path = "t/b".to_owned();
        assert_eq!(next(&mut events), Event::Stuck { path });
        drop(go_on);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        if let Self::Keep(until) = self {
            assert!(until.recv().is_err());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn who_fails_and_whose_mailbox_blocks_while_it_is_dropped_is_given_up() {
    let _traffic = Traffic::new();
    let b = Addr::new("b");
    let (drops, child) = clinging(&b, false);
    drop(drops);
    let spec = eager(Strategy::OneForOne).kill_grace(MOMENT).child(child);
    let system = System::start("t", spec).await.unwrap();
    let (go_on, until) = channel();
    b.send(Way::FailLater).unwrap();
    b.send(Way::Keep(until)).unwrap();
    let stuck = "b: failed: failed: broken, and is still there: it blocks its thread";
    assert_eq!(
        ends(system.ended()).await,
        Exit::MeltedDown(stuck.to_owned())
    );
    drop(go_on);
}

/// The next event that tells of somebody stuck.
fn next(events: &mut actors::Events) -> Event {
    loop {
        match events.try_recv() {
            Ok(event @ Event::Stuck { .. }) => return event,
            Ok(_) | Err(NoEvent::Missed(_)) => {}
            Err(none) => panic!("nobody is stuck: {none}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn who_fails_to_start_and_blocks_in_its_drop_does_not_hold_the_start() {
    let _traffic = Traffic::new();
    let b = Addr::new("b");
    let (go_on, child) = clinging(&b, true);
    let spec = eager(Strategy::OneForOne).kill_grace(MOMENT).child(child);
    let error = ends(System::start("t", spec)).await.unwrap_err();
    assert_eq!(
        error,
        StartError::Failed(
            "t: gave up: b: failed: did not start: not today, and is still there: it blocks its thread"
                .to_owned()
        )
    );
    drop(go_on);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_dynamic_child_that_ended_and_blocks_is_stuck_for_who_stops_it() {
    let _traffic = Traffic::new();
    let (children, b) = (Children::new(), Addr::new("b"));
    let (go_on, child) = clinging(&b, false);
    let spec = SupervisorSpec::dynamic(&children).kill_grace(SECOND);
    let system = System::start("t", spec).await.unwrap();
    children.start(child).await.unwrap();
    b.send(Way::Fail).unwrap();
    until("its end has begun", || b.send(Way::Fail).is_err()).await;
    assert_eq!(
        ends(children.stop("b", SECOND)).await,
        Ok(StopOutcome::Stuck)
    );
    assert!(matches!(ends(system.ended()).await, Exit::MeltedDown(_)));
    drop(go_on);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_drain_that_comes_while_somebody_ends_and_blocks_ends_too() {
    let _traffic = Traffic::new();
    let b = Addr::new("b");
    let (go_on, child) = clinging(&b, false);
    let spec = eager(Strategy::OneForOne).kill_grace(SECOND).child(child);
    let system = System::start("t", spec).await.unwrap();
    b.send(Way::Fail).unwrap();
    until("its end has begun", || b.send(Way::Fail).is_err()).await;
    let report = ends(system.drain(Duration::MAX)).await;
    let last = report.laggards.last().map(|laggard| laggard.overrun);
    assert_eq!(last, Some(Overrun::Stuck), "{report:?}");
    drop(go_on);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_drain_without_a_deadline_does_not_wait_for_who_blocks_in_its_drop() {
    let _traffic = Traffic::new();
    let b = Addr::new("b");
    let (go_on, child) = clinging(&b, false);
    let spec = eager(Strategy::OneForOne)
        .kill_grace(MOMENT)
        .child(child.shutdown(actors::Shutdown::Infinity));
    let system = System::start("t", spec).await.unwrap();
    let report = ends(system.drain(Duration::MAX)).await;
    let overruns: Vec<_> = report.laggards.iter().map(|l| l.overrun).collect();
    assert_eq!(overruns, [Overrun::Draining, Overrun::Stuck], "{report:?}");
    drop(go_on);
}

/// A supervisor is not gone before its children are, so its own end can be without one as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_supervisor_that_ends_over_a_child_that_blocks_is_given_up() {
    let _traffic = Traffic::new();
    let (children, b) = (Children::new(), Addr::new("b"));
    let (go_on, child) = clinging(&b, false);
    let spec = eager(Strategy::OneForOne)
        .kill_grace(MOMENT)
        .child(ChildSpec::supervisor(
            "dynamic",
            SupervisorSpec::dynamic(&children),
        ));
    let system = System::start("t", spec).await.unwrap();
    children.start(child).await.unwrap();
    assert!(panic_supervisor(&children));
    let cause =
        "dynamic: failed: panicked: planned panic, and is still there: it blocks its thread";
    assert_eq!(
        ends(system.ended()).await,
        Exit::MeltedDown(cause.to_owned())
    );
    drop(go_on);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_root_that_ends_over_a_child_that_blocks_has_ended() {
    let _traffic = Traffic::new();
    let (children, b) = (Children::new(), Addr::new("b"));
    let (go_on, child) = clinging(&b, false);
    let spec = SupervisorSpec::dynamic(&children).kill_grace(MOMENT);
    let system = System::start("t", spec).await.unwrap();
    children.start(child).await.unwrap();
    assert!(panic_supervisor(&children));
    let cause = "panicked: planned panic, and somebody is still there: it blocks its thread";
    assert_eq!(
        ends(system.ended()).await,
        Exit::MeltedDown(cause.to_owned())
    );
    drop(go_on);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_root_that_fails_half_way_through_its_start_over_one_that_blocks_has_not_started() {
    let _traffic = Traffic::new();
    let (b, c, notes) = (Addr::new("b"), Addr::new("c"), Notes::default());
    let (go_on, child) = clinging(&b, false);
    // The second act is the start of the second child.
    let faults = Faults::new().at(Callback::Act, 2, Fault::Panic);
    let spec = eager(Strategy::OneForOne)
        .kill_grace(MOMENT)
        .child(child)
        .child(Doer::child("c", &c, &notes));
    let error = ends(System::start("t", faults.supervisor(spec)))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.ends_with("it blocks its thread"), "{error}");
    assert!(c.send(Do::Finish).is_err());
    drop(go_on);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_end_that_takes_its_time_is_not_taken_for_a_stall() {
    let _traffic = Traffic::new();
    let b = Addr::new("b");
    let (go_on, child) = clinging(&b, false);
    let child = child.watch(Watch::after(MOMENT * 8));
    let spec = eager(Strategy::OneForOne).child(child);
    let system = System::start("t", spec).await.unwrap();
    let mut events = system.handle().events();
    let (keep, until) = channel();
    b.send(Way::FailLater).unwrap();
    b.send(Way::Keep(until)).unwrap();
    tokio::time::sleep(MOMENT * 18).await;
    drop((keep, go_on));
    loop {
        match events.recv().await.unwrap() {
            Event::Restarted { .. } => break,
            event => assert!(!matches!(event, Event::Stalled { .. }), "{event:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_root_is_an_event_like_any_other() {
    let (a, notes) = (Addr::new("a"), Notes::default());
    let never = Intensity {
        restarts: 0,
        within: SECOND,
    };
    let spec = || {
        let spec = eager(Strategy::OneForOne).intensity(never);
        spec.child(Doer::child("a", &a, &notes))
    };
    let system = System::start("t", spec()).await.unwrap();
    let mut events = system.handle().events();
    a.send(Do::Fail("broken")).unwrap();
    let exit = system.ended().await;
    let path = || "t".to_owned();
    assert_eq!(last(&mut events), Event::Failed { path: path(), exit });
    let system = System::start("t", spec()).await.unwrap();
    let mut events = system.handle().events();
    assert!(system.drain(SECOND).await.is_clean());
    let exit = Exit::Drained;
    until("it is told", || {
        let told = Event::Ended {
            path: path(),
            exit: exit.clone(),
        };
        events.try_recv() == Ok(told)
    })
    .await;
}

/// The last event there is.
fn last(events: &mut actors::Events) -> Event {
    std::iter::from_fn(|| events.try_recv().ok())
        .last()
        .expect("something happened")
}
