//! What users hand over and what panics by itself: errors that panic while they are told, messages and
//! records that panic while they are dropped. Nothing deadlocks, nothing leaks, nothing is lost.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actors::testkit::{MemoryLane, Settlements, kill, run_pipeline, until};
use actors::{
    Addr, ChildSpec, Cost, Cx, Exit, Failure, Fate, Flow, Outcome, Receipt, Sink, Stage, Step,
    Strategy, System,
};

use crate::support::{SECOND, eager, receipt};

/// An error that panics when it is told.
#[derive(Debug)]
struct Mute;

impl fmt::Display for Mute {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("planned panic of an error")
    }
}

impl Error for Mute {}

const TOLD: &str = "an error that cannot be told, since it panicked: planned panic of an error";

/// A message that panics when it is dropped, after that settles nothing.
struct Sour(Option<Receipt>, &'static AtomicUsize);

impl Drop for Sour {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.1.fetch_add(1, Ordering::SeqCst);
            panic!("planned panic of a message");
        }
    }
}

enum Taste {
    Sour(Sour),
    Mute,
    Hang,
    Keep(Receipt),
}

#[derive(Default)]
struct Eater(Vec<Receipt>);

impl Stage for Eater {
    type Msg = Taste;

    async fn handle(&mut self, msg: Taste, _: &mut Cx<Taste>) -> Result<(), Failure> {
        match msg {
            Taste::Sour(sour) => drop(sour),
            Taste::Mute => return Err(Box::new(Mute)),
            Taste::Hang => std::future::pending().await,
            Taste::Keep(receipt) => self.0.push(receipt),
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_panics_while_it_is_told_is_a_failure_like_any_other() {
    let addr = Addr::new("a");
    let child = ChildSpec::stage("a", &addr, |_| Eater::default());
    let system = System::start("t", eager(Strategy::OneForOne).child(child))
        .await
        .unwrap();
    addr.send(Taste::Mute).unwrap();
    let place = || system.handle().tree().find("a").unwrap().clone();
    until("it is restarted", || place().restarts == 1).await;
    assert_eq!(
        place().last_cause,
        Some(Exit::Failed(TOLD.to_owned()).to_string())
    );
    assert!(system.drain(SECOND).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_panics_while_a_mailbox_goes_down_keeps_nothing_back() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    let (addr, book) = (Addr::new("a"), Settlements::new());
    let child = ChildSpec::stage("a", &addr, |_| Eater::default());
    let system = System::start("t", eager(Strategy::OneForOne).child(child))
        .await
        .unwrap();
    addr.send(Taste::Hang).unwrap();
    until("it hangs", || addr.depth() == 0).await;
    for seq in 0..20 {
        let receipt = receipt(seq, &book);
        let sour = seq == 7;
        let msg = if sour {
            Taste::Sour(Sour(Some(receipt), &DROPPED))
        } else {
            Taste::Keep(receipt)
        };
        addr.send(msg).unwrap();
    }
    assert!(kill(&addr));
    let place = || system.handle().tree().find("a").unwrap().clone();
    until("it is restarted", || place().restarts == 1).await;
    until("every receipt is settled", || book.open() == 0).await;
    assert_eq!(DROPPED.load(Ordering::SeqCst), 1);
    assert_eq!(book.with(Outcome::Failed).len(), 20);
    book.assert_each_once();
    addr.send(Taste::Keep(receipt(20, &book))).unwrap();
    assert!(system.drain(SECOND).await.is_clean());
}

struct Refuses;

impl Sink<u64, ()> for Refuses {
    async fn write(&self, batch: &[u64]) -> Vec<Fate<()>> {
        let fate = |number: &u64| match number {
            3 => Fate::Refused(Box::new(Mute)),
            _ => Fate::Stored(None),
        };
        batch.iter().map(fate).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn records_whose_errors_panic_while_they_are_told_reach_the_failed_handler() {
    let causes = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&causes);
    let flow = Flow::new("p", |number: &u64| match number {
        1 => Step::Fail(Box::new(Mute)),
        number => Step::Next(*number),
    })
    .on_failed(move |failed| {
        counted.fetch_add(usize::from(failed.cause == TOLD), Ordering::SeqCst);
        async { Outcome::DeadLettered }
    });
    let ran = run_pipeline(flow, Arc::new(Refuses), vec![MemoryLane::new(0..5)]).await;
    assert!(ran.drain.is_clean(), "{:?}", ran.drain);
    assert_eq!(
        (ran.lanes[0].committed(), causes.load(Ordering::SeqCst)),
        (5, 2)
    );
    assert_eq!(ran.pipeline.credits().in_use(), Cost::default());
}
