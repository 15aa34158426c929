//! The watchdog, starts that take too long, what can be seen from outside.

use std::time::Duration;

use actors::testkit::{Callback, Fault, Faults, Probe, Settlements, kill, until};
use actors::{
    Account, Addr, ChildSpec, Children, Cost, Credits, Epoch, Event, Exit, Intensity, Kind,
    Outcome, Position, Pulse, State, Strategy, SupervisorSpec, System, Watch,
};

use crate::support::{Do, Doer, Notes, SECOND, eager};

#[tokio::test(start_paused = true)]
async fn a_child_that_hangs_with_work_is_restarted_alone_and_one_that_idles_is_not() {
    let (a, b, notes) = (Addr::new("a"), Addr::new("b"), Notes::default());
    let watch = Watch::after(4 * SECOND);
    let spec = eager(Strategy::OneForOne)
        .child(Doer::child("a", &a, &notes).watch(watch.clone()))
        .child(Doer::child("b", &b, &notes).watch(watch));
    let system = System::start("t", spec).await.unwrap();
    let mut events = system.handle().events();
    tokio::time::sleep(60 * SECOND).await;
    a.send(Do::Hang).unwrap();
    until("it is restarted", || {
        system.handle().tree().find("a").unwrap().restarts == 1
    })
    .await;
    assert_eq!(system.handle().tree().find("b").unwrap().restarts, 0);
    let Ok(Event::Stalled { path, quiet }) = events.try_recv() else {
        panic!("no event")
    };
    assert_eq!((path.as_str(), quiet), ("t/a", 4 * SECOND));
    let cause = system.handle().tree().find("a").unwrap().last_cause.clone();
    assert_eq!(cause.as_deref(), Some("failed: made no progress for 4s"));
}

#[tokio::test(start_paused = true)]
async fn work_only_a_pulse_knows_of_is_watched_and_stalling_escalates() {
    let (a, notes, pulse) = (Addr::new("a"), Notes::default(), Pulse::new());
    let child = Doer::child("a", &a, &notes).watch(Watch::after(SECOND).pulse(&pulse));
    let spec = eager(Strategy::OneForOne)
        .intensity(Intensity {
            restarts: 0,
            within: SECOND,
        })
        .child(child);
    let system = System::start("t", spec).await.unwrap();
    pulse.begin(1);
    let exit = system.ended().await;
    assert_eq!(
        exit,
        Exit::MeltedDown("a: failed: made no progress for 1s".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_nothing_but_stall_escalates_however_patient_its_watch_is() {
    for quiet in [SECOND, 10 * SECOND, 600 * SECOND] {
        let (a, notes, pulse) = (Addr::new("a"), Notes::default(), Pulse::new());
        let child = Doer::child("a", &a, &notes).watch(Watch::only(&pulse, quiet));
        let spec = SupervisorSpec::new(Strategy::OneForOne).child(child);
        let system = System::start("t", spec).await.unwrap();
        pulse.begin(1);
        let exit = tokio::time::timeout(20 * quiet + 60 * SECOND, system.ended()).await;
        let cause = format!("a: failed: made no progress for {quiet:?}");
        assert_eq!(exit, Ok(Exit::MeltedDown(cause)));
        let ups = notes.all().iter().filter(|note| *note == "a up").count();
        assert_eq!(ups, 1 + Intensity::default().restarts as usize);
    }
}

#[tokio::test(start_paused = true)]
async fn stalls_far_apart_do_not_escalate() {
    let (a, notes) = (Addr::new("a"), Notes::default());
    let child = Doer::child("a", &a, &notes).watch(Watch::after(10 * SECOND));
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(child);
    let system = System::start("t", spec).await.unwrap();
    for restarts in 1..=20 {
        a.send(Do::Hang).unwrap();
        tokio::time::sleep(60 * SECOND).await;
        assert_eq!(system.handle().tree().find("a").unwrap().restarts, restarts);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_childs_mailbox_and_value_give_their_credits_back() {
    let (a, notes, book) = (Addr::new("a"), Notes::default(), Settlements::new());
    let cost = |count| Cost { count, bytes: 1 };
    let rooms = Credits::new("rooms", Cost { count: 9, bytes: 9 });
    let child = Doer::child("a", &a, &notes).credits(&rooms);
    let system = System::start("t", eager(Strategy::OneForOne).child(child))
        .await
        .unwrap();
    let receipt = |seq| {
        let position = Position {
            lane: 0,
            epoch: Epoch::next(),
            seq,
        };
        let permit = rooms.try_take(cost(1)).unwrap();
        book.receipt(position, Some(permit))
    };
    let elsewhere = rooms.try_take(cost(2)).unwrap();
    a.send(Do::Keep(receipt(0))).unwrap();
    a.send(Do::Settle(5 * SECOND, receipt(1))).unwrap();
    a.send(Do::Hang).unwrap();
    a.send(Do::Keep(receipt(2))).unwrap();
    until("it hangs", || a.depth() == 1).await;
    assert_eq!(rooms.in_use().count, 5);
    assert!(kill(&a));
    until("it is gone", || notes.has("a gone")).await;
    until("it is restarted", || {
        system.handle().tree().find("a").unwrap().restarts == 1
    })
    .await;
    assert_eq!(
        rooms.in_use().count,
        3,
        "owned work and who else holds some"
    );
    until("owned work is done", || rooms.in_use().count == 2).await;
    assert_eq!(book.with(Outcome::Stored), [1]);
    book.assert_each_once();
    drop(elsewhere);
    assert_eq!(rooms.in_use(), Cost::default());
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_child_leaves_hanging_takes_no_room_from_its_successor() {
    let (a, notes, book) = (Addr::new("a"), Notes::default(), Settlements::new());
    let whole = Cost { count: 3, bytes: 3 };
    let rooms = Credits::new("rooms", whole);
    let child = Doer::child("a", &a, &notes).reclaims(&rooms);
    let system = System::start("t", eager(Strategy::OneForOne).child(child))
        .await
        .unwrap();
    let position = Position {
        lane: 0,
        epoch: Epoch::next(),
        seq: 0,
    };
    let all = rooms.try_take(whole).unwrap();
    let receipt = book.receipt(position, Some(all));
    a.send(Do::Settle(3600 * SECOND, receipt)).unwrap();
    a.send(Do::Fail("broken")).unwrap();
    let place = || system.handle().tree().find("a").unwrap().clone();
    until("it is restarted", || {
        place().restarts == 1 && place().state == State::Running
    })
    .await;
    assert_eq!(place().credits[0].in_use, Cost::default());
    let again = rooms.try_take(whole).unwrap();
    tokio::time::sleep(3600 * SECOND).await;
    assert_eq!(book.open(), 0, "the old work is done");
    assert_eq!(rooms.in_use(), whole, "it gave nothing back twice");
    drop(again);
    assert_eq!(rooms.in_use(), Cost::default());
    book.assert_each_once();
}

#[tokio::test(start_paused = true)]
async fn a_tree_that_is_gone_shows_nobody_running() {
    let (notes, addrs) = (Notes::default(), ["a", "b"].map(Addr::new));
    let inner = eager(Strategy::OneForOne).child(Doer::child("b", &addrs[1], &notes));
    let root = eager(Strategy::OneForOne)
        .child(Doer::child("a", &addrs[0], &notes))
        .child(ChildSpec::supervisor("inner", inner));
    let system = System::start("t", root).await.unwrap();
    let handle = system.handle();
    addrs[0].send(Do::Hang).unwrap();
    drop(system);
    until("it is gone", || handle.tree().state == State::Ended).await;
    assert!(notes.has("a gone") && notes.has("b gone"));
    for path in ["a", "inner", "inner/b"] {
        let state = handle.tree().find(path).unwrap().state;
        assert_eq!(state, State::Ended, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_takes_too_long_is_a_failed_start() {
    let (a, probe) = (Addr::new("a"), Probe::<()>::new());
    let faults = Faults::new().always(Callback::Started, Fault::Hang);
    let stage = probe.clone();
    let child = faults
        .child("a", &a, move |_| stage.stage())
        .start_within(3 * SECOND);
    let error = System::start("t", eager(Strategy::OneForOne).child(child.clone()))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("a: did not start: not up within 3s"),
        "{error}"
    );
    let children = Children::new();
    let system = System::start("t", SupervisorSpec::dynamic(&children))
        .await
        .unwrap();
    let error = children.start(child).await.unwrap_err();
    assert_eq!(error.to_string(), "a: did not start: not up within 3s");
    assert_eq!(probe.alive(), 0);
    drop(system);
}

#[tokio::test(start_paused = true)]
async fn the_tree_is_data_and_asks_nobody() {
    let (a, notes) = (Addr::new("a"), Notes::default());
    let inner = eager(Strategy::OneForOne).child(Doer::child("a", &a, &notes));
    let spec = eager(Strategy::OneForOne).child(ChildSpec::supervisor("inner", inner));
    let system = System::start("t", spec).await.unwrap();
    a.send(Do::Later(60 * SECOND, "slow")).unwrap();
    a.send(Do::Hang).unwrap();
    a.send(Do::Note("waits")).unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let tree = system.handle().tree();
    let stuck = tree.find("inner/a").unwrap();
    assert_eq!((stuck.kind, stuck.state), (Kind::Stage, State::Running));
    assert_eq!(
        (stuck.mailbox, stuck.in_flight, stuck.handled),
        (Some(1), Some(1), 1)
    );
    let json = serde_json::to_value(&tree).unwrap();
    assert_eq!(json["state"], "running");
    assert_eq!(json["children"][0]["kind"], "supervisor");
    assert_eq!(json["children"][0]["mailbox"], serde_json::Value::Null);
    assert_eq!(json["children"][0]["children"][0]["mailbox"], 1);
    assert!(json["children"][0]["children"][0]["epoch"].is_u64());
}

#[tokio::test(start_paused = true)]
async fn the_tree_shows_the_credits_of_who_serves_them() {
    let (a, notes) = (Addr::new("a"), Notes::default());
    let cost = |count, bytes| Cost { count, bytes };
    let (rooms, beds) = (
        Credits::new("rooms", cost(3, 300)),
        Credits::new("beds", cost(9, 9)),
    );
    let inner = eager(Strategy::OneForOne);
    let spec = eager(Strategy::OneForOne)
        .child(Doer::child("a", &a, &notes).credits(&rooms).credits(&beds))
        .child(ChildSpec::supervisor("inner", inner).credits(&beds));
    let system = System::start("t", spec).await.unwrap();
    let held = rooms.try_take(cost(2, 20)).unwrap();
    let account = |name: &str, in_use, limit| Account {
        name: name.to_owned(),
        in_use,
        limit,
    };
    let credits = |id: &str| system.handle().tree().find(id).unwrap().credits.clone();
    let free = account("beds", cost(0, 0), cost(9, 9));
    assert_eq!(
        credits("a"),
        [account("rooms", cost(2, 20), cost(3, 300)), free.clone()]
    );
    assert_eq!(credits("inner"), [free]);
    let json = serde_json::to_value(system.handle().tree()).unwrap();
    let expected = serde_json::json!({
        "name": "rooms",
        "in_use": { "count": 2, "bytes": 20 },
        "limit": { "count": 3, "bytes": 300 },
    });
    assert_eq!(json["children"][0]["credits"][0], expected);
    assert_eq!(json["credits"], serde_json::json!([]));
    a.send(Do::Fail("broken")).unwrap();
    until("it is restarted", || notes.all().len() == 3).await;
    drop(held);
    rooms.resize(cost(4, 400));
    assert_eq!(
        credits("a")[0],
        account("rooms", cost(0, 0), cost(4, 400)),
        "also of its next incarnation"
    );
}

#[tokio::test(start_paused = true)]
async fn events_tell_the_life_of_a_child() {
    let (children, a, notes) = (Children::new(), Addr::new("a"), Notes::default());
    let system = System::start(
        "t",
        eager(Strategy::OneForOne).child(ChildSpec::supervisor(
            "d",
            SupervisorSpec::dynamic(&children),
        )),
    )
    .await
    .unwrap();
    let mut events = system.handle().events();
    children.start(Doer::child("a", &a, &notes)).await.unwrap();
    a.send(Do::Fail("broken")).unwrap();
    until("it failed", || notes.has("a gone")).await;
    until("it is home", || a.send(Do::Hang).is_ok()).await;
    system.drain(SECOND).await;
    let mut kinds = Vec::new();
    while let Ok(event) = events.try_recv() {
        let json = serde_json::to_value(&event).unwrap();
        kinds.push(format!(
            "{} {}",
            json["event"].as_str().unwrap(),
            json["path"].as_str().unwrap()
        ));
    }
    let expected = [
        "started t/d/a",
        "failed t/d/a",
        "waiting t/d/a",
        "restarted t/d/a",
        "overran t/d/a",
        "ended t/d/a",
        "ended t/d",
        "ended t",
        "drained t",
    ];
    assert_eq!(kinds, expected);
}
