//! A panic in every callback of every role neither deadlocks nor leaks.

use actors::testkit::{
    Callback, Fault, Faults, Probe, Settlements, kill, kill_supervisor, panic_supervisor, until,
};
use actors::{
    Addr, ChildSpec, Children, Cost, Credits, Epoch, Exit, Outcome, Position, Receipt, Settle,
    Settled, Strategy, System, Watch,
};

use crate::children::running as with_dynamic;
use crate::support::{Do, Doer, Notes, SECOND, eager, receipt};

/// Runs a tree with one fault, sees it recover, and drains it.
async fn survive(callback: Callback, nth: u64, fault: Fault) {
    let case = format!("{callback:?} {fault:?} at call {nth}");
    let (faulty, sound) = (Probe::<u8>::new(), Probe::<u8>::new());
    let (front, back) = (Addr::new("front"), Addr::new("back"));
    let faults = Faults::new().at(callback, nth, fault);
    let stage = faulty.clone();
    let child = faults
        .child("back", &back, move |_| stage.stage())
        .start_within(2 * SECOND)
        .watch(Watch::after(2 * SECOND));
    let inner = eager(Strategy::RestForOne)
        .child(child)
        .child(sound.child("front", &front));
    let spec = eager(Strategy::OneForOne).child(ChildSpec::supervisor("inner", inner));
    let started = System::start("t", spec).await;
    let dooms =
        matches!(callback, Callback::Make | Callback::Started) && !matches!(fault, Fault::Slow(_));
    assert_eq!(started.is_err(), nth == 1 && dooms, "{case}: {started:?}");
    if let Ok(system) = started {
        for round in 0..3 {
            until(&case, || back.send(round).is_ok()).await;
            until(&case, || back.depth() == 0).await;
            actors::testkit::kill(&back);
        }
        faulty.take();
        // What is sent to one that is dying is lost, so it is sent again.
        until(&format!("{case}: both work again"), || {
            let sent = back.send(3).is_ok() && front.send(3).is_ok();
            sent && !faulty.is_empty() && !sound.is_empty()
        })
        .await;
        let report = system.drain(5 * SECOND).await;
        assert!(report.took <= 6 * SECOND, "{case}: {report:?}");
        assert_eq!(report.exit, Exit::Drained, "{case}");
    }
    for probe in [&faulty, &sound] {
        assert_eq!(probe.alive(), 0, "{case}");
        assert!(probe.most_alive() <= 1, "{case}: two of one");
    }
}

/// Those that a callback can have which waits, or does not.
pub(crate) fn every_fault(waits: bool) -> impl Iterator<Item = Fault> {
    let faults = [Fault::Panic, Fault::Error, Fault::Hang, Fault::Slow(SECOND)];
    faults.into_iter().take(if waits { 4 } else { 2 })
}

#[tokio::test(start_paused = true)]
async fn a_fault_in_any_callback_neither_deadlocks_nor_leaks() {
    let callbacks = [
        Callback::Make,
        Callback::Started,
        Callback::Handle,
        Callback::Drained,
        Callback::Drop,
    ];
    for callback in callbacks {
        for nth in 1..=3 {
            // Who cannot wait blocks its thread instead: see `blocking.rs`.
            let waits = !matches!(callback, Callback::Make | Callback::Drop);
            for fault in every_fault(waits) {
                survive(callback, nth, fault).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_given_up_by_its_caller_leaves_nothing_behind() {
    let (probe, a, b) = (Probe::<u8>::new(), Addr::new("a"), Addr::new("b"));
    let faults = Faults::new().always(Callback::Started, Fault::Hang);
    let stage = probe.clone();
    let spec = eager(Strategy::OneForOne)
        .child(probe.child("a", &a))
        .child(faults.child("b", &b, move |_| stage.stage()));
    assert!(
        tokio::time::timeout(SECOND, System::start("t", spec))
            .await
            .is_err()
    );
    until("all are gone", || probe.alive() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_killed_from_outside_takes_its_children_along_and_counts_as_failed() {
    let (children, a, notes, book) = (
        Children::new(),
        Addr::new("a"),
        Notes::default(),
        Settlements::new(),
    );
    let system = with_dynamic(&children).await;
    children.start(Doer::child("a", &a, &notes)).await.unwrap();
    a.send(Do::Keep(receipt(1, &book))).unwrap();
    a.send(Do::Hang).unwrap();
    until("it hangs", || a.depth() == 0).await;
    assert!(kill_supervisor(&children));
    until("it is restarted", || {
        system.handle().tree().find("dynamic").unwrap().restarts == 1
    })
    .await;
    assert_eq!(
        notes.all(),
        ["a up", "a gone"],
        "gone before the new supervisor is there"
    );
    assert_eq!(book.with(Outcome::Failed), [1]);
    let cause = system
        .handle()
        .tree()
        .find("dynamic")
        .unwrap()
        .last_cause
        .clone();
    assert_eq!(cause.as_deref(), Some("killed from outside"));
    until("it takes children again", || children.ids().is_empty()).await;
    children.start(Doer::child("a", &a, &notes)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_child_reclaims_is_taken_back_also_when_it_dies_with_its_supervisor() {
    let (children, a) = (Children::new(), Addr::new("a"));
    let (notes, book) = (Notes::default(), Settlements::new());
    let whole = Cost { count: 3, bytes: 3 };
    let rooms = Credits::new("rooms", whole);
    let system = with_dynamic(&children).await;
    let child = Doer::child("a", &a, &notes).reclaims(&rooms);
    children.start(child).await.unwrap();
    let position = Position {
        lane: 0,
        epoch: Epoch::next(),
        seq: 0,
    };
    let all = rooms.try_take(whole).unwrap();
    let receipt = book.receipt(position, Some(all));
    a.send(Do::Settle(3600 * SECOND, receipt)).unwrap();
    until("its owned task has it", || a.depth() == 0).await;
    assert!(panic_supervisor(&children));
    until("it is restarted", || {
        system.handle().tree().find("dynamic").unwrap().restarts == 1
    })
    .await;
    assert_eq!(rooms.in_use(), Cost::default(), "the task hangs still");
    let again = rooms.try_take(whole).unwrap();
    tokio::time::sleep(3600 * SECOND).await;
    assert_eq!(book.open(), 0, "the old work is done");
    assert_eq!(rooms.in_use(), whole, "it gave nothing back twice");
    drop(again);
    assert_eq!(rooms.in_use(), Cost::default());
}

#[tokio::test(start_paused = true)]
async fn a_killed_child_gives_back_what_was_taken_apart_and_what_was_not() {
    let (a, notes, book) = (Addr::new("a"), Notes::default(), Settlements::new());
    let whole = Cost { count: 6, bytes: 6 };
    let rooms = Credits::new("rooms", whole);
    let root = eager(Strategy::OneForOne).child(Doer::child("a", &a, &notes));
    let system = System::start("t", root).await.unwrap();
    let epoch = Epoch::next();
    let positions = (0..6).map(|seq| Position {
        lane: 0,
        epoch,
        seq,
    });
    let mut receipts = book.receipts(positions, Some(rooms.try_take(whole).unwrap()));
    for receipt in receipts.iter_mut().step_by(2) {
        receipt.apart(Cost { count: 1, bytes: 2 });
    }
    // Three in its hands, one it is asked to settle much later, two in its mailbox.
    for (at, receipt) in receipts.into_iter().enumerate() {
        let message = match at {
            3 => Do::Settle(3600 * SECOND, receipt),
            _ => Do::Keep(receipt),
        };
        a.send(message).unwrap();
        if at == 3 {
            a.send(Do::Hang).unwrap();
        }
    }
    until("it hangs", || a.depth() <= 2).await;
    assert_eq!(rooms.in_use(), whole);
    assert!(kill(&a));
    until("all but one have failed", || book.open() == 1).await;
    // The one that its owned task holds is one of three that are together, which had no byte left.
    assert_eq!(rooms.in_use(), Cost { count: 3, bytes: 0 });
    tokio::time::sleep(3600 * SECOND).await;
    assert_eq!(rooms.in_use(), Cost::default());
    book.assert_each_once();
    system.drain(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_panicking_outlet_tears_nothing_else_down() {
    struct Panics;
    impl Settle<()> for Panics {
        fn settled(&self, _batch: Vec<Settled<()>>) {
            panic!("planned panic");
        }
    }
    let (a, notes, book) = (Addr::new("a"), Notes::default(), Settlements::new());
    let system = System::start(
        "t",
        eager(Strategy::OneForOne).child(Doer::child("a", &a, &notes)),
    )
    .await
    .unwrap();
    let position = Position {
        lane: 0,
        epoch: Epoch::next(),
        seq: 0,
    };
    a.send(Do::Hang).unwrap();
    a.send(Do::Keep(Receipt::new(
        position,
        std::sync::Arc::new(Panics),
        None,
    )))
    .unwrap();
    a.send(Do::Keep(receipt(1, &book))).unwrap();
    system.drain(SECOND).await;
    assert_eq!(book.with(Outcome::Failed), [1]);
    let both = [
        receipt(2, &book),
        Receipt::new(position, std::sync::Arc::new(Panics), None),
        receipt(3, &book),
    ];
    Receipt::settle_all(both.map(|receipt| (receipt, Outcome::Stored, None)));
    assert_eq!(book.with(Outcome::Stored), [2, 3]);
}
