//! Restarts: who, when, how often, and what follows when it was too often.

use actors::testkit::until;
use actors::{Addr, ChildSpec, Event, Exit, Intensity, Restart, State, Strategy, System};

use crate::support::{Do, Doer, Notes, SECOND, eager};

async fn three(strategy: Strategy) -> (System, [Addr<Do>; 3], Notes) {
    let addrs = ["a", "b", "c"].map(Addr::new);
    let notes = Notes::default();
    let mut spec = eager(strategy);
    for (name, addr) in ["a", "b", "c"].into_iter().zip(&addrs) {
        spec = spec.child(Doer::child(name, addr, &notes));
    }
    let system = System::start("t", spec).await.unwrap();
    assert_eq!(notes.take(), ["a up", "b up", "c up"]);
    (system, addrs, notes)
}

#[tokio::test(start_paused = true)]
async fn one_for_one_restarts_the_failed_child_alone() {
    let (_system, [_, b, _], notes) = three(Strategy::OneForOne).await;
    b.send(Do::Fail("broken")).unwrap();
    until("it is up", || notes.has("b up")).await;
    assert_eq!(notes.all(), ["b gone", "b up"]);
}

#[tokio::test(start_paused = true)]
async fn rest_for_one_drains_later_siblings_in_reverse_before_starting_again() {
    let (_system, [_, b, c], notes) = three(Strategy::RestForOne).await;
    c.send(Do::Later(3 * SECOND, "work")).unwrap();
    b.send(Do::Fail("broken")).unwrap();
    until("it is up", || notes.has("c up")).await;
    let expected = [
        "b gone",
        "c drained",
        "work worked",
        "work",
        "c gone",
        "b up",
        "c up",
    ];
    assert_eq!(notes.all(), expected);
}

#[tokio::test(start_paused = true)]
async fn one_for_all_drains_everybody_and_two_failures_make_one_round() {
    let (system, [a, b, c], notes) = three(Strategy::OneForAll).await;
    c.send(Do::Later(3 * SECOND, "work")).unwrap();
    b.send(Do::Fail("broken")).unwrap();
    a.send(Do::Fail("broken")).unwrap();
    until("it is up", || notes.has("c up")).await;
    let ups = notes
        .all()
        .iter()
        .filter(|note| note.ends_with("up"))
        .count();
    assert_eq!(ups, 3, "{:?}", notes.all());
    let tree = system.handle().tree();
    assert!(
        tree.children.iter().all(|child| child.restarts == 1),
        "{tree:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn restart_types_are_kept() {
    let addrs = ["permanent", "transient", "temporary"].map(Addr::new);
    let probe = Notes::default();
    let [permanent, transient, temporary] = &addrs;
    let spec = eager(Strategy::OneForOne)
        .child(Doer::child("permanent", permanent, &probe).restart(Restart::Permanent))
        .child(Doer::child("transient", transient, &probe).restart(Restart::Transient))
        .child(Doer::child("temporary", temporary, &probe).restart(Restart::Temporary));
    let system = System::start("t", spec).await.unwrap();
    let state = |id: &str| system.handle().tree().find(id).unwrap().clone();
    permanent.send(Do::Finish).unwrap();
    transient.send(Do::Fail("broken")).unwrap();
    temporary.send(Do::Fail("broken")).unwrap();
    until("two are restarted", || {
        state("permanent").restarts == 1 && state("transient").restarts == 1
    })
    .await;
    until("transient is home", || transient.send(Do::Finish).is_ok()).await;
    until("transient ended", || {
        state("transient").state == State::Ended
    })
    .await;
    assert_eq!(
        (state("temporary").state, state("temporary").restarts),
        (State::Ended, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_temporary_child_is_not_started_again_for_its_siblings_sake() {
    let (a, b, notes) = (Addr::new("a"), Addr::new("b"), Notes::default());
    let spec = eager(Strategy::OneForAll)
        .child(Doer::child("a", &a, &notes))
        .child(Doer::child("b", &b, &notes).restart(Restart::Temporary));
    let system = System::start("t", spec).await.unwrap();
    notes.take();
    a.send(Do::Fail("broken")).unwrap();
    until("it is up", || notes.has("a up")).await;
    assert_eq!(notes.all(), ["a gone", "b drained", "b gone", "a up"]);
    assert_eq!(
        system.handle().tree().find("b").unwrap().state,
        State::Ended
    );
}

#[tokio::test(start_paused = true)]
async fn too_many_restarts_melt_the_root_down_with_the_cause() {
    let (a, b, notes) = (Addr::new("a"), Addr::new("b"), Notes::default());
    let spec = eager(Strategy::OneForOne)
        .intensity(Intensity {
            restarts: 2,
            within: 60 * SECOND,
        })
        .child(Doer::child("a", &a, &notes))
        .child(Doer::child("b", &b, &notes));
    let system = System::start("t", spec).await.unwrap();
    let mut events = system.handle().events();
    for _ in 0..3 {
        until("it is home", || b.send(Do::Panic("boom")).is_ok()).await;
        until("it took it", || b.depth() == 0).await;
    }
    assert_eq!(
        system.ended().await,
        Exit::MeltedDown("b: panicked: boom".to_owned())
    );
    assert!(
        notes.has("a drained"),
        "the others are drained: {:?}",
        notes.all()
    );
    let mut gave_up = false;
    while let Ok(event) = events.try_recv() {
        gave_up |= matches!(event, Event::GaveUp { path, .. } if path == "t");
    }
    assert!(gave_up);
}

#[tokio::test(start_paused = true)]
async fn a_nested_meltdown_is_its_parents_failure_with_the_cause() {
    let (a, notes) = (Addr::new("a"), Notes::default());
    let inner = eager(Strategy::OneForOne)
        .intensity(Intensity {
            restarts: 0,
            within: SECOND,
        })
        .child(Doer::child("a", &a, &notes));
    let spec = eager(Strategy::OneForOne).child(ChildSpec::supervisor("inner", inner));
    let system = System::start("t", spec).await.unwrap();
    a.send(Do::Fail("broken")).unwrap();
    until("inner is restarted", || {
        let tree = system.handle().tree();
        tree.find("inner").unwrap().restarts == 1
            && tree
                .find("inner/a")
                .is_some_and(|a| a.state == State::Running)
    })
    .await;
    let tree = system.handle().tree();
    assert_eq!(
        tree.find("inner").unwrap().last_cause.as_deref(),
        Some("gave up: a: failed: broken")
    );
    assert_eq!(notes.all(), ["a up", "a gone", "a up"]);
}
