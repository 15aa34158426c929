//! Many messages at once: all are handled, a kill is heard between any two, and an end lets go of the rest.

use std::sync::mpsc::channel;

use actors::testkit::{Settlements, until};
use actors::{Addr, Event, Outcome, Overrun, Restart, State, Strategy, System};

use crate::stuck::Traffic;
use crate::support::{Do, Doer, Notes, SECOND, eager, receipt};

async fn doer(restart: Restart) -> (System, Addr<Do>, Notes) {
    let (addr, notes) = (Addr::new("one"), Notes::default());
    let child = Doer::child("one", &addr, &notes).restart(restart);
    let spec = eager(Strategy::OneForOne).child(child);
    let system = System::start("t", spec).await.unwrap();
    notes.take();
    (system, addr, notes)
}

#[tokio::test(start_paused = true)]
async fn all_of_a_burst_is_handled_and_so_is_what_comes_after_it() {
    let (_system, addr, notes) = doer(Restart::Permanent).await;
    for count in [1_000, 1, 256, 257] {
        for _ in 0..count {
            addr.send(Do::Note("done")).unwrap();
        }
        until("all are handled", || notes.all().len() == count).await;
        assert_eq!((addr.depth(), notes.take().len()), (0, count));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn after_a_kill_no_further_message_is_begun() {
    let _traffic = Traffic::new();
    let (system, addr, notes) = doer(Restart::Permanent).await;
    let (go_on, blocked) = channel();
    addr.send(Do::Block(blocked)).unwrap();
    for _ in 0..100 {
        addr.send(Do::Note("begun")).unwrap();
    }
    let mut events = system.handle().events();
    let killed = async {
        while !matches!(events.recv().await.unwrap(), Event::Overran { .. }) {}
        drop(go_on);
    };
    let (report, ()) = tokio::join!(system.drain(SECOND / 10), killed);
    let overruns: Vec<_> = report.laggards.iter().map(|late| late.overrun).collect();
    assert_eq!(overruns, [Overrun::Draining], "{report:?}");
    assert_eq!(notes.all(), ["one gone"]);
}

#[tokio::test(start_paused = true)]
async fn an_end_lets_go_of_what_is_queued_before_it_waits_for_owned_work() {
    let (system, addr, notes) = doer(Restart::Transient).await;
    let book = Settlements::default();
    addr.send(Do::Later(SECOND, "slow")).unwrap();
    addr.send(Do::Finish).unwrap();
    addr.send(Do::Keep(receipt(1, &book))).unwrap();
    until("the receipt is back", || book.with(Outcome::Failed) == [1]).await;
    assert!(!notes.has("slow worked"), "{:?}", notes.all());
    until("it ended", || {
        system.handle().tree().children[0].state == State::Ended
    })
    .await;
    assert!(notes.has("slow worked"), "{:?}", notes.all());
}
