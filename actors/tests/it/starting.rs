//! Starts: in order, rolled back, tried again, cancelled, refused.

use std::time::Duration;

use actors::testkit::{Callback, Fault, Faults, Probe, until};
use actors::{
    Addr, Backoff, Casualty, Children, Cost, Credits, Exit, Intensity, StartError, State, Strategy,
    SupervisorSpec, System,
};

use crate::support::{Do, Doer, Notes, SECOND, eager};

#[tokio::test(start_paused = true)]
async fn a_failed_start_rolls_back_in_reverse_and_names_the_child() {
    let (a, b, c, notes) = (
        Addr::new("a"),
        Addr::new("b"),
        Addr::new("c"),
        Notes::default(),
    );
    let faults = Faults::new().always(Callback::Started, Fault::Error);
    let probe = Probe::<()>::new();
    let stage = probe.clone();
    let spec = eager(Strategy::OneForOne)
        .child(Doer::child("a", &a, &notes))
        .child(Doer::child("b", &b, &notes))
        .child(faults.child("c", &c, move |_| stage.stage()));
    let error = System::start("t", spec).await.unwrap_err();
    let expected = "t: did not start: c: did not start: planned error".to_owned();
    assert_eq!(error, StartError::Failed(expected));
    assert_eq!(
        notes.all(),
        ["a up", "b up", "b drained", "b gone", "a drained", "a gone"]
    );
    assert_eq!(probe.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_fails_to_start_again_is_tried_with_growing_delays() {
    let (a, faults) = (Addr::new("a"), Faults::new());
    let faults = (2..=4).fold(faults, |faults, nth| {
        faults.at(Callback::Started, nth, Fault::Panic)
    });
    let probe = Probe::<()>::new();
    let stage = probe.clone();
    let backoff = Backoff {
        min: SECOND,
        max: 3 * SECOND,
        jitter: 0.0,
        reset_after: 60 * SECOND,
    };
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .backoff(backoff)
        .intensity(Intensity {
            restarts: 10,
            within: 60 * SECOND,
        })
        .child(faults.child("a", &a, move |_| stage.stage()));
    let system = System::start("t", spec).await.unwrap();
    let began = tokio::time::Instant::now();
    assert!(actors::testkit::kill(&a));
    until("it is up", || probe.epochs().len() == 2).await;
    assert_eq!(began.elapsed().as_secs(), 1 + 2 + 3 + 3);
    let tree = system.handle().tree();
    assert_eq!(tree.find("a").unwrap().restarts, 4);
    assert_eq!(probe.most_alive(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pending_restart_is_cancelled_by_a_stop() {
    let (a, notes) = (Addr::new("a"), Notes::default());
    let hour = Duration::from_secs(3600);
    let backoff = Backoff {
        min: hour,
        max: hour,
        jitter: 0.0,
        reset_after: hour,
    };
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .backoff(backoff)
        .child(Doer::child("a", &a, &notes));
    let system = System::start("t", spec).await.unwrap();
    a.send(Do::Fail("broken")).unwrap();
    until("it waits", || {
        system.handle().tree().children[0].state == State::Backoff
    })
    .await;
    let report = system.drain(SECOND).await;
    assert!(report.is_clean() && report.took < SECOND, "{report:?}");
    tokio::time::sleep(2 * hour).await;
    assert_eq!(notes.all(), ["a up", "a gone"]);
}

/// One child whose second start takes as long as the fault says, as it is asked to drain.
async fn drained_in_a_start(faults: Faults) -> actors::DrainReport {
    let (a, probe) = (Addr::new("a"), Probe::<()>::new());
    let child = faults.child("a", &a, move |_| probe.stage());
    let spec = eager(Strategy::OneForOne).child(child.start_within(3 * SECOND));
    let system = System::start("t", spec).await.unwrap();
    assert!(actors::testkit::kill(&a));
    until("it starts again", || faults.calls(Callback::Started) == 2).await;
    system.drain(60 * SECOND).await
}

#[tokio::test(start_paused = true)]
async fn a_start_that_hangs_does_not_use_up_the_time_of_a_drain() {
    let hangs = Faults::new().at(Callback::Started, 2, Fault::Hang);
    let report = drained_in_a_start(hangs).await;
    let casualty = Casualty {
        path: "t/a".to_owned(),
        exit: Exit::StartFailed("not up within 3s".to_owned()),
    };
    assert_eq!(
        (&*report.failed, &*report.laggards),
        (&[casualty][..], &[][..])
    );
    assert!(report.took <= 3 * SECOND, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn who_comes_up_in_a_drain_has_the_time_of_the_drain() {
    let slow = Faults::new()
        .at(Callback::Started, 2, Fault::Slow(2 * SECOND))
        .always(Callback::Drained, Fault::Slow(5 * SECOND));
    let report = drained_in_a_start(slow).await;
    assert!(report.is_clean(), "{report:?}");
    assert!(
        (6 * SECOND..8 * SECOND).contains(&report.took),
        "{report:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_age_of_a_state_is_told_by_the_clock_of_the_runtime() {
    let (a, notes) = (Addr::new("a"), Notes::default());
    let spec = eager(Strategy::OneForOne).child(Doer::child("a", &a, &notes));
    let system = System::start("t", spec).await.unwrap();
    tokio::time::sleep(90 * SECOND).await;
    let age = system.handle().tree().children[0].since_seconds;
    assert!((90.0..91.0).contains(&age), "{age}");
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_a_vital_child_is_its_supervisors() {
    let (a, b, notes) = (Addr::new("a"), Addr::new("b"), Notes::default());
    let spec = eager(Strategy::OneForOne)
        .child(Doer::child("a", &a, &notes))
        .child(Doer::child("b", &b, &notes).vital());
    let system = System::start("t", spec).await.unwrap();
    b.send(Do::Fail("broken")).unwrap();
    assert_eq!(
        system.ended().await,
        Exit::MeltedDown("b: failed: broken".to_owned())
    );
    assert!(notes.has("a drained"));
}

#[tokio::test(start_paused = true)]
async fn an_account_that_two_siblings_would_take_back_is_refused() {
    let (a, b, notes) = (Addr::new("a"), Addr::new("b"), Notes::default());
    let rooms = Credits::new("rooms", Cost { count: 2, bytes: 9 });
    let child = |name, addr| Doer::child(name, addr, &notes).reclaims(&rooms);
    let spec = eager(Strategy::OneForOne)
        .child(child("a", &a))
        .child(child("b", &b));
    let error = System::start("t", spec).await.unwrap_err().to_string();
    assert!(
        error.starts_with("t/b: `rooms` is not its alone"),
        "{error}"
    );
    let children = Children::new();
    let system = System::start("t", SupervisorSpec::dynamic(&children)).await;
    let system = system.unwrap();
    // Said twice of one child, it is said.
    children
        .start(child("a", &a).reclaims(&rooms))
        .await
        .unwrap();
    let late = children.start(child("b", &b)).await.unwrap_err();
    assert_eq!(late.to_string(), error);
    assert!(system.drain(SECOND).await.is_clean());

    let shown = eager(Strategy::OneForOne)
        .child(child("a", &a))
        .child(Doer::child("b", &b, &notes).credits(&rooms));
    let system = System::start("t", shown).await.unwrap();
    assert!(system.drain(SECOND).await.is_clean());
}
