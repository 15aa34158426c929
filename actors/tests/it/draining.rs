//! Drains: order, the shared deadline, laggards, and that nothing is left.

use std::time::Duration;

use actors::testkit::{Callback, Fault, Faults, Probe, until};
use actors::{Addr, Casualty, ChildSpec, Exit, NoEvent, Overrun, Shutdown, Strategy, System};

use crate::support::{Do, Doer, Notes, SECOND, eager};

/// root: a, inner: (b, c), d.
async fn nested(shutdown: Shutdown) -> (System, [Addr<Do>; 4], Notes) {
    let addrs = ["a", "b", "c", "d"].map(Addr::new);
    let notes = Notes::default();
    let child =
        |at: usize| Doer::child(["a", "b", "c", "d"][at], &addrs[at], &notes).shutdown(shutdown);
    let inner = eager(Strategy::RestForOne).child(child(1)).child(child(2));
    let spec = eager(Strategy::OneForOne)
        .child(child(0))
        .child(ChildSpec::supervisor("inner", inner))
        .child(child(3));
    let system = System::start("t", spec).await.unwrap();
    assert_eq!(notes.take(), ["a up", "b up", "c up", "d up"]);
    (system, addrs, notes)
}

#[tokio::test(start_paused = true)]
async fn a_tree_drains_in_reverse_order_each_child_awaited() {
    let (system, [a, b, c, d], notes) = nested(Shutdown::Infinity).await;
    for addr in [&a, &b, &c, &d] {
        addr.send(Do::Later(SECOND, "work")).unwrap();
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    let report = system.drain(60 * SECOND).await;
    assert!(report.is_clean(), "{report:?}");
    let order: Vec<_> = notes
        .all()
        .into_iter()
        .filter(|note| !note.starts_with("work"))
        .collect();
    let expected = [
        "d drained",
        "d gone",
        "c drained",
        "c gone",
        "b drained",
        "b gone",
        "a drained",
        "a gone",
    ];
    assert_eq!(order, expected);
}

#[tokio::test(start_paused = true)]
async fn one_deadline_is_shared_and_laggards_are_named() {
    let (system, [_, b, c, _], notes) = nested(Shutdown::Infinity).await;
    c.send(Do::Later(60 * SECOND, "slow")).unwrap();
    b.send(Do::Note("queued")).unwrap();
    let report = system.drain(3 * SECOND).await;
    assert!(
        (3 * SECOND..4 * SECOND).contains(&report.took),
        "{report:?}"
    );
    let named: Vec<_> = report
        .laggards
        .iter()
        .map(|l| (l.path.as_str(), l.overrun, l.in_flight))
        .collect();
    let expected = [
        ("t/inner/c", Overrun::Draining, 1),
        ("t/inner/b", Overrun::NotReached, 0),
        ("t/a", Overrun::NotReached, 0),
    ];
    assert_eq!(named, expected);
    for gone in ["a gone", "b gone", "c gone", "d gone"] {
        assert!(notes.has(gone), "{:?}", notes.all());
    }
    assert_eq!(report.exit, Exit::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_childs_own_patience_holds_within_the_deadline() {
    let (system, [.., d], _notes) = nested(Shutdown::Drain(SECOND)).await;
    d.send(Do::Hang).unwrap();
    let report = system.drain(60 * SECOND).await;
    assert_eq!(report.took, SECOND);
    assert_eq!(report.laggards.len(), 1);
    assert_eq!(report.laggards[0].path, "t/d");
}

#[tokio::test(start_paused = true)]
async fn a_kill_child_is_killed_at_once_and_is_no_laggard() {
    let (system, [.., d], notes) = nested(Shutdown::Kill).await;
    d.send(Do::Hang).unwrap();
    let report = system.drain(60 * SECOND).await;
    assert!(report.is_clean(), "{report:?}");
    assert!(!notes.has("d drained") && notes.has("d gone"));
    let tree = system.handle().tree();
    assert_eq!(
        tree.find("d").unwrap().last_cause.as_deref(),
        Some("killed by its supervisor")
    );
}

#[tokio::test(start_paused = true)]
async fn a_hanging_start_does_not_hold_a_drain() {
    let (a, probe) = (Addr::new("a"), Probe::<()>::new());
    let stage = probe.clone();
    let faults = Faults::new().at(Callback::Started, 2, Fault::Hang);
    let spec = eager(Strategy::OneForOne).child(faults.child("a", &a, move |_| stage.stage()));
    let system = System::start("t", spec).await.unwrap();
    assert!(actors::testkit::kill(&a));
    until("it starts again", || faults.calls(Callback::Started) == 2).await;
    let report = system.drain(3 * SECOND).await;
    assert_eq!(report.took, 3 * SECOND);
    assert_eq!(report.laggards[0].path, "t/a");
    assert_eq!(probe.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_fails_in_a_drain_is_named_and_the_drain_is_not_clean() {
    for fault in [Fault::Error, Fault::Panic] {
        let (a, probe) = (Addr::new("a"), Probe::<()>::new());
        let stage = probe.clone();
        let faults = Faults::new().at(Callback::Drained, 1, fault);
        let inner = eager(Strategy::OneForOne).child(faults.child("a", &a, move |_| stage.stage()));
        let spec = eager(Strategy::OneForOne).child(ChildSpec::supervisor("inner", inner));
        let system = System::start("t", spec).await.unwrap();
        for time in ["the first", "a second one joins it"] {
            let report = system.drain(SECOND).await;
            assert_eq!(report.exit, Exit::Drained, "{time}: nobody gave up");
            assert!(!report.is_clean() && report.laggards.is_empty(), "{time}");
            let [Casualty { path, exit }] = report.failed.as_slice() else {
                panic!("{time}: {report:?}");
            };
            assert_eq!(path, "t/inner/a", "{time}");
            let as_planned = match fault {
                Fault::Panic => matches!(exit, Exit::Panicked(_)),
                _ => matches!(exit, Exit::Failed(_)),
            };
            assert!(as_planned, "{time}: {exit:?}");
        }
        assert_eq!(probe.alive(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_a_drain_is_none_of_it() {
    let (system, [a, ..], notes) = nested(Shutdown::Infinity).await;
    a.send(Do::Fail("broken")).unwrap();
    until("it is restarted", || notes.has("a gone") && a.depth() == 0).await;
    tokio::time::sleep(SECOND).await;
    let report = system.drain(SECOND).await;
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_second_drain_joins_the_first_and_shortens_it() {
    let (system, [.., d], _notes) = nested(Shutdown::Infinity).await;
    d.send(Do::Hang).unwrap();
    let (first, second) = tokio::join!(system.drain(60 * SECOND), system.drain(2 * SECOND));
    assert_eq!((first.took, second.took), (2 * SECOND, 2 * SECOND));
    let named: Vec<_> = first.laggards.iter().map(|l| l.path.as_str()).collect();
    assert_eq!(named, ["t/d", "t/inner/c", "t/inner/b", "t/a"]);
    assert_eq!(
        first.laggards, second.laggards,
        "both are told who was late"
    );
    let third = system.drain(SECOND).await;
    assert_eq!(
        (third.exit.clone(), third.took),
        (Exit::Drained, Duration::ZERO)
    );
    assert!(
        !third.is_clean(),
        "a drain of what has ended is over at once, and no cleaner"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_system_leaves_no_orphan() {
    let (system, [a, ..], notes) = nested(Shutdown::Infinity).await;
    a.send(Do::Later(SECOND, "slow")).unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let handle = system.handle();
    drop(system);
    until("all are gone", || {
        ["a", "b", "c", "d"]
            .iter()
            .all(|name| notes.has(&format!("{name} gone")))
    })
    .await;
    until("owned work is done", || notes.has("slow worked")).await;
    assert_eq!(handle.tree().id, "t");
}

#[tokio::test(start_paused = true)]
async fn events_are_over_when_the_system_is_gone_also_while_a_handle_lives() {
    let (system, ..) = nested(Shutdown::Infinity).await;
    let handle = system.handle();
    let mut events = handle.events();
    drop(system);
    let over = async { while events.recv().await != Err(NoEvent::Over) {} };
    let heard = tokio::time::timeout(SECOND, over).await;
    assert!(heard.is_ok(), "waits for ever");
    assert_eq!(handle.events().try_recv().err(), Some(NoEvent::Over));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_blocks_its_thread_is_named_and_does_not_hold_the_drain() {
    let (a, b, notes) = (Addr::new("a"), Addr::new("b"), Notes::default());
    let spec = eager(Strategy::OneForOne)
        .child(Doer::child("a", &a, &notes))
        .child(Doer::child("b", &b, &notes));
    let system = System::start("t", spec).await.unwrap();
    let (go_on, blocked) = std::sync::mpsc::channel();
    b.send(Do::Block(blocked)).unwrap();
    let report = system.drain(Duration::from_millis(50)).await;
    let overruns: Vec<_> = report
        .laggards
        .iter()
        .map(|l| (l.path.as_str(), l.overrun))
        .collect();
    assert!(overruns.contains(&("t/b", Overrun::Stuck)), "{overruns:?}");
    assert!(report.took < 5 * SECOND);
    go_on.send(()).unwrap();
    until("it is gone as well", || notes.has("b gone")).await;
}
