//! A stage that does what its messages say, and what tests do again and again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::testkit::Settlements;
use actors::{
    Addr, Backoff, ChildSpec, Cx, Epoch, Failure, Intensity, Position, Receipt, Stage, Strategy,
    SupervisorSpec, Timer,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What to do.
pub(crate) enum Do {
    Note(&'static str),
    /// Note it from an owned task, after a while.
    Later(Duration, &'static str),
    /// Note it from a timer, after a while.
    Timed(Duration, &'static str),
    /// Settle from an owned task, after a while.
    Settle(Duration, Receipt),
    Fail(&'static str),
    Panic(&'static str),
    /// Panic in an owned task.
    PanicOwned(&'static str),
    Hang,
    /// Block the thread until told to go on.
    Block(std::sync::mpsc::Receiver<()>),
    Keep(Receipt),
    Finish,
}

/// Shared notes, over all incarnations and actors.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub(crate) fn add(&self, note: impl Into<String>) {
        self.0.lock().unwrap().push(note.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    pub(crate) fn has(&self, note: &str) -> bool {
        self.0.lock().unwrap().iter().any(|known| known == note)
    }
}

pub(crate) struct Doer {
    name: &'static str,
    notes: Notes,
    kept: Vec<Receipt>,
    timers: Vec<Timer>,
}

impl Doer {
    pub(crate) fn child(name: &'static str, addr: &Addr<Do>, notes: &Notes) -> ChildSpec {
        let notes = notes.clone();
        ChildSpec::stage(name, addr, move |_| Self {
            name,
            notes: notes.clone(),
            kept: Vec::new(),
            timers: Vec::new(),
        })
    }
}

impl Stage for Doer {
    type Msg = Do;

    async fn started(&mut self, _cx: &mut Cx<Do>) -> Result<(), Failure> {
        self.notes.add(format!("{} up", self.name));
        Ok(())
    }

    async fn handle(&mut self, msg: Do, cx: &mut Cx<Do>) -> Result<(), Failure> {
        match msg {
            Do::Note(note) => self.notes.add(note),
            Do::Later(delay, note) => {
                let notes = self.notes.clone();
                cx.spawn(async move {
                    tokio::time::sleep(delay).await;
                    notes.add(format!("{note} worked"));
                    Do::Note(note)
                });
            }
            Do::Timed(delay, note) => {
                let timer = cx.send_after(delay, Do::Note(note));
                self.timers.push(timer);
            }
            Do::Settle(delay, receipt) => cx.spawn(async move {
                tokio::time::sleep(delay).await;
                receipt.settle(actors::Outcome::Stored, None);
                Do::Note("settled")
            }),
            Do::Fail(text) => return Err(text.into()),
            Do::Panic(text) => panic!("{text}"),
            Do::PanicOwned(text) => cx.spawn(async move { panic!("{text}") }),
            Do::Hang => std::future::pending().await,
            Do::Block(until) => drop(until.recv()),
            Do::Keep(receipt) => self.kept.push(receipt),
            Do::Finish => cx.finish(),
        }
        Ok(())
    }

    async fn drained(&mut self, _cx: &mut Cx<Do>) -> Result<(), Failure> {
        self.notes.add(format!("{} drained", self.name));
        Ok(())
    }
}

impl Drop for Doer {
    fn drop(&mut self) {
        self.notes.add(format!("{} gone", self.name));
    }
}

/// A supervisor that restarts at once and often.
pub(crate) fn eager(strategy: Strategy) -> SupervisorSpec {
    let backoff = Backoff {
        min: Duration::from_millis(1),
        max: Duration::from_millis(1),
        jitter: 0.0,
        reset_after: SECOND,
    };
    SupervisorSpec::new(strategy)
        .backoff(backoff)
        .intensity(Intensity {
            restarts: 100,
            within: SECOND,
        })
}

pub(crate) fn receipt(seq: u64, to: &Settlements) -> Receipt {
    to.receipt(
        Position {
            lane: 0,
            epoch: Epoch::next(),
            seq,
        },
        None,
    )
}
