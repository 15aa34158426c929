//! Children that come and go.

use std::time::Duration;

use actors::testkit::{Callback, Fault, Faults, Probe, Settlements, kill, until};
use actors::{
    Addr, ChildSpec, Children, Cost, Credits, Exit, Intensity, Outcome, Restart, StartError, State,
    StopError, StopOutcome, Strategy, SupervisorSpec, System,
};

use crate::support::{Do, Doer, Notes, SECOND, eager, receipt};

pub(crate) async fn running(children: &Children) -> System {
    let dynamic = ChildSpec::supervisor("dynamic", SupervisorSpec::dynamic(children));
    System::start("t", eager(Strategy::OneForOne).child(dynamic))
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_stopped_child_is_really_gone_and_the_others_are_left_alone() {
    let (children, notes) = (Children::new(), Notes::default());
    let _system = running(&children).await;
    let (a, b) = (Addr::new("a"), Addr::new("b"));
    let first = children.start(Doer::child("a", &a, &notes)).await.unwrap();
    let second = children.start(Doer::child("b", &b, &notes)).await.unwrap();
    assert!(second > first);
    assert_eq!(children.ids(), ["a", "b"]);
    a.send(Do::Later(SECOND, "work")).unwrap();
    assert_eq!(
        children.stop("a", 5 * SECOND).await,
        Ok(StopOutcome::Drained)
    );
    assert_eq!(notes.all().last().unwrap(), "a gone");
    assert!(notes.has("work"));
    assert_eq!(children.ids(), ["b"]);
    b.send(Do::Note("b lives")).unwrap();
    until("b lives", || notes.has("b lives")).await;
    let third = children.start(Doer::child("a", &a, &notes)).await.unwrap();
    assert!(third > second);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_overruns_kills_and_waits() {
    let (children, notes, book) = (Children::new(), Notes::default(), Settlements::new());
    let _system = running(&children).await;
    let a = Addr::new("a");
    children.start(Doer::child("a", &a, &notes)).await.unwrap();
    a.send(Do::Keep(receipt(1, &book))).unwrap();
    a.send(Do::Hang).unwrap();
    a.send(Do::Keep(receipt(2, &book))).unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(children.stop("a", SECOND).await, Ok(StopOutcome::Overran));
    assert_eq!(began.elapsed(), SECOND);
    assert_eq!(
        book.with(Outcome::Failed).len(),
        2,
        "its state and its mailbox are gone"
    );
    book.assert_each_once();
}

#[tokio::test(start_paused = true)]
async fn a_living_id_cannot_be_started_again_and_an_unknown_one_not_stopped() {
    let (children, notes) = (Children::new(), Notes::default());
    let (a, other) = (Addr::new("a"), Addr::new("other"));
    let outside = children.start(Doer::child("a", &a, &notes)).await;
    assert_eq!(outside, Err(StartError::NotRunning));
    let system = running(&children).await;
    children.start(Doer::child("a", &a, &notes)).await.unwrap();
    let again = children.start(Doer::child("a", &other, &notes)).await;
    assert_eq!(again, Err(StartError::AlreadyThere("a".to_owned())));
    assert_eq!(
        children.stop("b", SECOND).await,
        Err(StopError::Unknown("b".to_owned()))
    );
    system.drain(SECOND).await;
    assert_eq!(
        children.start(Doer::child("a", &a, &notes)).await,
        Err(StartError::Drained)
    );
    assert_eq!(children.stop("a", SECOND).await, Err(StopError::NotRunning));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_come_up_leaves_nothing_behind() {
    let (children, probe) = (Children::new(), Probe::<()>::new());
    let system = running(&children).await;
    let a = Addr::new("a");
    for fault in [Callback::Make, Callback::Started] {
        let faults = Faults::new().always(fault, Fault::Panic);
        let stage = probe.clone();
        let error = children
            .start(faults.child("a", &a, move |_| stage.stage()))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "a: did not start: panicked: planned panic"
        );
    }
    assert!(children.ids().is_empty() && probe.alive() == 0);
    assert!(
        system
            .handle()
            .tree()
            .find("dynamic")
            .unwrap()
            .children
            .is_empty()
    );
    children.start(probe.child("a", &a)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_failed_child_is_restarted_under_its_id_with_a_new_epoch() {
    let (children, probe) = (Children::new(), Probe::<()>::new());
    let system = running(&children).await;
    let a = Addr::new("a");
    let first = children.start(probe.child("a", &a)).await.unwrap();
    assert!(kill(&a));
    until("it is up again", || probe.epochs().len() == 2).await;
    assert!(probe.epochs()[1] > first);
    assert_eq!(children.ids(), ["a"]);
    let b = Addr::new("b");
    children
        .start(probe.child("b", &b).restart(Restart::Temporary))
        .await
        .unwrap();
    assert!(kill(&b));
    until("it has left", || children.ids() == ["a"]).await;
    drop(system);
}

#[tokio::test(start_paused = true)]
async fn a_child_waiting_for_its_restart_can_be_stopped() {
    let (children, notes) = (Children::new(), Notes::default());
    let hour = Duration::from_secs(3600);
    let slow = actors::Backoff {
        min: hour,
        max: hour,
        jitter: 0.0,
        reset_after: hour,
    };
    let spec = SupervisorSpec::dynamic(&children).backoff(slow);
    let system = System::start("t", spec).await.unwrap();
    let a = Addr::new("a");
    children.start(Doer::child("a", &a, &notes)).await.unwrap();
    a.send(Do::Fail("broken")).unwrap();
    until("it waits", || {
        system.handle().tree().find("a").unwrap().state == State::Backoff
    })
    .await;
    assert_eq!(children.stop("a", SECOND).await, Ok(StopOutcome::Ended));
    assert!(children.ids().is_empty());
}

#[tokio::test(start_paused = true)]
async fn dynamic_children_drain_all_at_once() {
    let (children, notes) = (Children::new(), Notes::default());
    let system = running(&children).await;
    for name in ["a", "b", "c"] {
        let addr = Addr::new(name);
        children
            .start(Doer::child(name, &addr, &notes))
            .await
            .unwrap();
        addr.send(Do::Later(SECOND, "work")).unwrap();
    }
    let report = system.drain(10 * SECOND).await;
    assert!(report.is_clean() && report.took == SECOND, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn one_handle_serves_one_supervisor() {
    let children = Children::new();
    let _first = running(&children).await;
    let second = System::start("u", SupervisorSpec::dynamic(&children))
        .await
        .unwrap_err();
    assert!(
        second
            .to_string()
            .contains("belongs to another running supervisor"),
        "{second}"
    );
}

#[tokio::test(start_paused = true)]
async fn restarts_of_dynamic_children_are_counted_for_each_alone() {
    let (children, notes) = (Children::new(), Notes::default());
    let intensity = Intensity {
        restarts: 1,
        within: 3600 * SECOND,
    };
    let system = System::start("t", SupervisorSpec::dynamic(&children).intensity(intensity))
        .await
        .unwrap();
    let addrs = ["a", "b", "c"].map(Addr::new);
    for (name, addr) in ["a", "b", "c"].into_iter().zip(&addrs) {
        children
            .start(Doer::child(name, addr, &notes))
            .await
            .unwrap();
        assert!(kill(addr));
    }
    until("all are back", || {
        addrs.iter().all(|addr| addr.send(Do::Note("x")).is_ok())
    })
    .await;
    assert!(kill(&addrs[1]));
    assert_eq!(
        system.ended().await,
        Exit::MeltedDown("b: killed from outside".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_a_round_restarts_was_not_drained() {
    let (children, a, notes) = (Children::new(), Addr::new("a"), Notes::default());
    let wait = actors::Backoff {
        min: 10 * SECOND,
        max: 10 * SECOND,
        jitter: 0.0,
        reset_after: SECOND,
    };
    let dynamic = ChildSpec::supervisor("dynamic", SupervisorSpec::dynamic(&children));
    let spec = SupervisorSpec::new(Strategy::RestForOne)
        .backoff(wait)
        .child(Doer::child("a", &a, &notes))
        .child(dynamic);
    let system = System::start("t", spec).await.unwrap();
    let (b, probe) = (Addr::new("b"), Probe::<u8>::new());
    a.send(Do::Fail("broken")).unwrap();
    until("the round waits", || {
        system.handle().tree().find("dynamic").unwrap().state == State::Down
    })
    .await;
    let early = children.start(probe.child("b", &b)).await;
    assert_eq!(early, Err(StartError::NotRunning), "it comes back");
    tokio::time::sleep(11 * SECOND).await;
    children.start(probe.child("b", &b)).await.unwrap();
    assert!(system.drain(SECOND).await.is_clean());
    let late = children.start(probe.child("b", &b)).await;
    assert_eq!(late, Err(StartError::Drained));
}

#[tokio::test(start_paused = true)]
async fn a_permit_in_its_factory_bounds_how_many_children_there_are() {
    let (children, notes) = (Children::new(), Notes::default());
    let _system = running(&children).await;
    let one = Cost { count: 1, bytes: 1 };
    let room = Credits::new("children", one);
    let child = |permit| {
        let addr = Addr::new("a");
        let notes = notes.clone();
        let probe = Probe::<u8>::new();
        let make = move |_| {
            let _kept = &permit;
            notes.add("made");
            probe.stage()
        };
        (ChildSpec::stage("a", &addr, make), addr)
    };
    let (spec, addr) = child(room.try_take(one).unwrap());
    children.start(spec).await.unwrap();
    assert!(kill(&addr));
    until("it is restarted", || notes.all().len() == 2).await;
    assert!(room.try_take(one).is_err(), "it has its place in a restart");
    children.stop("a", SECOND).await.unwrap();
    until("its place is free", || room.in_use().count == 0).await;
    let (spec, _) = child(room.try_take(one).unwrap());
    children.start(spec).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_started_as_soon_as_that_is_possible_is_none_of_the_first_round() {
    let (children, a) = (Children::new(), Addr::<u8>::new("a"));
    let probe = Probe::<u8>::new();
    let faults = Faults::new().at(Callback::Started, 1, Fault::Slow(3600 * SECOND));
    let stage = probe.clone();
    let child = faults.child("a", &a, move |_| stage.stage());
    let start = async {
        loop {
            match children.start(child.clone()).await {
                Err(StartError::NotRunning) => tokio::task::yield_now().await,
                started => return started,
            }
        }
    };
    let began = tokio::time::Instant::now();
    let system = async {
        let system = System::start("t", SupervisorSpec::dynamic(&children)).await;
        (system.unwrap(), began.elapsed())
    };
    let ((_system, took), started) = tokio::join!(system, start);
    assert!(started.is_ok());
    assert!(took < SECOND, "the system waited for it: {took:?}");
}
