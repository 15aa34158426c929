//! One stage and its address.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::testkit::{Settlements, kill, until};
use actors::{
    Addr, AskError, ChildSpec, Cx, Exit, Failure, Outcome, Reply, Restart, Shutdown, Stage, State,
    Strategy, System, Timer, Undelivered,
};

use crate::support::{Do, Doer, Notes, SECOND, eager, receipt};

async fn one(addr: &Addr<Do>, notes: &Notes) -> System {
    System::start(
        "t",
        eager(Strategy::OneForOne).child(Doer::child("one", addr, notes)),
    )
    .await
    .unwrap()
}

#[tokio::test(start_paused = true)]
async fn nobody_home_gives_the_message_back() {
    let addr = Addr::new("nobody");
    let Err(Undelivered(Do::Note("kept"))) = addr.send(Do::Note("kept")) else {
        panic!("the message came not back");
    };
    assert_eq!(
        addr.ask(SECOND, |_: Reply<()>| Do::Hang).await,
        Err(AskError::Undelivered)
    );
}

#[tokio::test(start_paused = true)]
async fn messages_are_handled_in_order_and_a_drain_handles_what_is_queued() {
    let (addr, notes) = (Addr::new("one"), Notes::default());
    let system = one(&addr, &notes).await;
    for note in ["a", "b", "c"] {
        addr.send(Do::Note(note)).unwrap();
    }
    assert_eq!(addr.depth(), 3);
    let report = system.drain(SECOND).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(
        notes.all(),
        ["one up", "a", "b", "c", "one drained", "one gone"]
    );
    assert!(addr.send(Do::Note("late")).is_err());
    assert_eq!(system.ended().await, Exit::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_owned_work_and_hands_its_results_over() {
    let (addr, notes) = (Addr::new("one"), Notes::default());
    let system = one(&addr, &notes).await;
    addr.send(Do::Later(5 * SECOND, "slow")).unwrap();
    addr.send(Do::Later(SECOND, "quick")).unwrap();
    let report = system.drain(20 * SECOND).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.took, 5 * SECOND);
    let expected = [
        "one up",
        "one drained",
        "quick worked",
        "quick",
        "slow worked",
        "slow",
        "one gone",
    ];
    assert_eq!(notes.all(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_kill_never_drops_owned_work_half_way() {
    let (addr, notes, book) = (Addr::new("one"), Notes::default(), Settlements::new());
    let system = one(&addr, &notes).await;
    addr.send(Do::Later(5 * SECOND, "slow")).unwrap();
    addr.send(Do::Settle(5 * SECOND, receipt(1, &book)))
        .unwrap();
    addr.send(Do::Hang).unwrap();
    addr.send(Do::Keep(receipt(2, &book))).unwrap();
    let report = system.drain(SECOND).await;
    assert_eq!(report.laggards.len(), 1);
    assert_eq!(
        (report.laggards[0].mailbox, report.laggards[0].in_flight),
        (1, 2)
    );
    assert_eq!(
        book.with(Outcome::Failed),
        [2],
        "what was in the mailbox failed"
    );
    until("the owned work is done", || {
        notes.has("slow worked") && book.open() == 0
    })
    .await;
    assert_eq!(book.with(Outcome::Stored), [1]);
    assert!(!notes.has("slow"), "a result for the dead is dropped");
    book.assert_each_once();
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_owned_work_fails_the_actor_with_its_text() {
    let (addr, notes) = (Addr::new("one"), Notes::default());
    let system = one(&addr, &notes).await;
    addr.send(Do::PanicOwned("boom")).unwrap();
    until("it is restarted", || {
        system.handle().tree().children[0].restarts == 1
    })
    .await;
    let tree = system.handle().tree();
    assert_eq!(
        tree.children[0].last_cause.as_deref(),
        Some("panicked: boom")
    );
    assert_eq!(tree.children[0].in_flight, Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_owned_work_ends_a_drain_too() {
    let (addr, notes) = (Addr::new("one"), Notes::default());
    let system = one(&addr, &notes).await;
    addr.send(Do::Later(SECOND, "slow")).unwrap();
    addr.send(Do::PanicOwned("boom")).unwrap();
    let report = system.drain(20 * SECOND).await;
    assert!(!report.is_clean(), "what it had was not finished");
    let boom = Exit::Panicked("boom".to_owned());
    assert_eq!(report.failed[0].exit, boom);
    let tree = system.handle().tree();
    assert_eq!(
        tree.children[0].last_cause.as_deref(),
        Some("panicked: boom")
    );
}

#[tokio::test(start_paused = true)]
async fn an_address_survives_the_restart_of_who_lives_there() {
    let (addr, notes) = (Addr::new("one"), Notes::default());
    let system = one(&addr, &notes).await;
    for cause in [Do::Fail("broken"), Do::Panic("boom")] {
        addr.send(cause).unwrap();
        until("nobody is home", || addr.send(Do::Note("x")).is_err()).await;
        until("somebody is home", || addr.send(Do::Note("again")).is_ok()).await;
    }
    assert!(kill(&addr));
    until("it was restarted thrice", || {
        let one = &system.handle().tree().children[0];
        one.restarts == 3 && one.state == State::Running
    })
    .await;
    assert_eq!(
        system.handle().tree().children[0].last_cause.as_deref(),
        Some("killed from outside")
    );
    addr.send(Do::Note("last")).unwrap();
    until("it is handled", || notes.has("last")).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_timer_never_fires_and_timers_end_with_their_actor() {
    let (addr, notes) = (Addr::new("one"), Notes::default());
    let _system = one(&addr, &notes).await;
    addr.send(Do::Timed(SECOND, "first")).unwrap();
    until("it fired", || notes.has("first")).await;
    addr.send(Do::Timed(SECOND, "second")).unwrap();
    addr.send(Do::Fail("broken")).unwrap();
    tokio::time::sleep(5 * SECOND).await;
    assert!(!notes.has("second"));
}

#[tokio::test(start_paused = true)]
async fn a_timer_ends_with_its_actor_whoever_holds_its_handle() {
    /// Gives its timer away.
    struct Generous(Arc<Mutex<Option<Timer>>>);
    impl Stage for Generous {
        type Msg = Arc<()>;

        async fn handle(&mut self, msg: Arc<()>, cx: &mut Cx<Arc<()>>) -> Result<(), Failure> {
            *self.0.lock().unwrap() = Some(cx.send_after(3600 * SECOND, msg));
            Ok(())
        }
    }
    let (addr, kept) = (Addr::new("generous"), Arc::new(Mutex::new(None)));
    let theirs = Arc::clone(&kept);
    let child = ChildSpec::stage("generous", &addr, move |_| Generous(Arc::clone(&theirs)));
    let system = System::start("t", eager(Strategy::OneForOne).child(child))
        .await
        .unwrap();
    let message = Arc::new(());
    addr.send(Arc::clone(&message)).unwrap();
    until("the timer runs", || kept.lock().unwrap().is_some()).await;
    system.drain(SECOND).await;
    until("the message is gone", || Arc::strong_count(&message) == 1).await;
    assert!(kept.lock().unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn finishing_drops_what_is_queued_and_keeps_owned_results() {
    let (addr, notes) = (Addr::new("one"), Notes::default());
    let child = Doer::child("one", &addr, &notes).restart(Restart::Transient);
    let system = System::start("t", eager(Strategy::OneForOne).child(child))
        .await
        .unwrap();
    addr.send(Do::Later(SECOND, "slow")).unwrap();
    addr.send(Do::Finish).unwrap();
    addr.send(Do::Note("queued")).unwrap();
    until("it ended", || {
        system.handle().tree().children[0].state == State::Ended
    })
    .await;
    assert_eq!(notes.all(), ["one up", "slow worked", "slow", "one gone"]);
    assert_eq!(
        system.handle().tree().children[0].last_cause.as_deref(),
        Some("ended normally")
    );
}

#[tokio::test(start_paused = true)]
async fn asking_reports_a_dropped_question_and_a_late_answer() {
    struct Mute(Option<Reply<u8>>);
    impl Stage for Mute {
        type Msg = (bool, Reply<u8>);
        async fn handle(
            &mut self,
            (keep, reply): Self::Msg,
            _: &mut Cx<Self::Msg>,
        ) -> Result<(), Failure> {
            self.0 = keep.then_some(reply);
            Ok(())
        }
    }
    let addr = Addr::new("mute");
    let child = ChildSpec::stage("mute", &addr, |_| Mute(None)).shutdown(Shutdown::Kill);
    let _system = System::start("t", eager(Strategy::OneForOne).child(child))
        .await
        .unwrap();
    assert_eq!(
        addr.ask(SECOND, |reply| (false, reply)).await,
        Err(AskError::Dropped)
    );
    assert_eq!(
        addr.ask(Duration::from_millis(5), |reply| (true, reply))
            .await,
        Err(AskError::TimedOut)
    );
}

#[tokio::test]
async fn blocking_work_gives_its_result_too() {
    struct Blocking(Option<Reply<u64>>);
    enum Msg {
        Sum(Reply<u64>),
        Summed(u64),
    }
    impl Stage for Blocking {
        type Msg = Msg;
        async fn handle(&mut self, msg: Msg, cx: &mut Cx<Msg>) -> Result<(), Failure> {
            match msg {
                Msg::Sum(reply) => {
                    self.0 = Some(reply);
                    cx.spawn_blocking(|| Msg::Summed((1..=10).sum()));
                }
                Msg::Summed(sum) => self
                    .0
                    .take()
                    .map_or(Ok(()), |reply| reply.send(sum))
                    .map_err(|_| "gone")?,
            }
            Ok(())
        }
    }
    let addr = Addr::new("blocking");
    let child = ChildSpec::stage("blocking", &addr, |_| Blocking(None));
    let _system = System::start("t", eager(Strategy::OneForOne).child(child))
        .await
        .unwrap();
    assert_eq!(addr.ask(10 * SECOND, Msg::Sum).await, Ok(55));
}

/// Says that it was here, and sends on.
struct Hop(&'static str, Option<Addr<()>>, Notes);

impl Stage for Hop {
    type Msg = ();

    async fn handle(&mut self, (): (), _: &mut Cx<()>) -> Result<(), Failure> {
        self.2.add(self.0);
        if let Some(next) = &self.1 {
            next.send(())?;
        }
        Ok(())
    }
}

/// A hop that waited for an answer would be handed its second message after the next hop had its first.
#[tokio::test]
async fn no_hop_waits_for_a_reply() {
    let (addrs, notes) = (["a", "b", "c"].map(Addr::new), Notes::default());
    let hop = |name, at: usize, next: Option<&Addr<()>>| {
        let (next, notes) = (next.cloned(), notes.clone());
        let make = move |_| Hop(name, next.clone(), notes.clone());
        ChildSpec::stage(name, &addrs[at], make)
    };
    let spec = eager(Strategy::OneForOne)
        .child(hop("c", 2, None))
        .child(hop("b", 1, Some(&addrs[2])))
        .child(hop("a", 0, Some(&addrs[1])));
    let system = System::start("t", spec).await.unwrap();
    for _ in 0..10 {
        addrs[0].send(()).unwrap();
    }
    assert!(system.drain(SECOND).await.is_clean());
    let expected = [["a"; 10], ["b"; 10], ["c"; 10]].concat();
    assert_eq!(
        notes.all(),
        expected,
        "each had all ten before the next had one"
    );
}
