//! Whether this process should be given work.
//!
//! In: named latches that the parts of the service meet, and the shutdown token.
//! Out: ready or not, and why not. It never asks a dependency anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

type Latches = Arc<watch::Sender<BTreeMap<&'static str, State>>>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    met: bool,
    /// What it waits for, if that is known.
    why: String,
}

/// Ready once every latch is met, until the shutdown begins. Clones are one thing.
#[derive(Debug, Clone)]
pub struct Readiness {
    latches: Latches,
    shutdown: CancellationToken,
}

impl Readiness {
    /// Without latches, and not ready any more once `shutdown` is cancelled.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self {
            latches: Arc::new(watch::Sender::default()),
            shutdown,
        }
    }

    /// A condition that must be met first. Create all latches before the admin
    /// port opens, else a probe may come between them.
    pub fn latch(&self, name: &'static str) -> Latch {
        self.latches.send_modify(|latches| {
            latches.entry(name).or_default();
        });
        Latch {
            name,
            latches: Arc::clone(&self.latches),
        }
    }

    /// Whether to send work here.
    pub fn ready(&self) -> bool {
        !self.shutting_down() && self.latches.borrow().values().all(|state| state.met)
    }

    /// What it waits for, with the reason where that is known; empty if ready.
    pub fn not_ready_because(&self) -> Vec<String> {
        let latches = self.latches.borrow();
        let unmet = latches
            .iter()
            .filter(|(_, state)| !state.met)
            .map(|(name, state)| match state.why.as_str() {
                "" => (*name).to_owned(),
                why => format!("{name} ({why})"),
            });
        let down = self.shutting_down().then(|| "shutting down".to_owned());
        unmet.chain(down).collect()
    }

    /// Whether the shutdown has begun.
    pub fn shutting_down(&self) -> bool {
        self.shutdown.is_cancelled()
    }

    /// Resolves when every latch is met.
    pub async fn all_met(&self) {
        let mut changes = self.latches.subscribe();
        // The sender lives in `self`, so this cannot end by its being dropped.
        let seen = changes
            .wait_for(|latches| latches.values().all(|state| state.met))
            .await;
        debug_assert!(seen.is_ok());
    }
}

/// One condition of readiness.
#[derive(Debug, Clone)]
pub struct Latch {
    name: &'static str,
    latches: Latches,
}

impl Latch {
    /// The condition holds: the broker was reached, the indexes are there.
    pub fn meet(&self) {
        self.set(State {
            met: true,
            why: String::new(),
        });
    }

    /// Why the condition does not hold yet, for whoever asks. No secrets.
    pub fn waits(&self, why: impl Into<String>) {
        let why = why.into();
        self.latches.send_if_modified(|latches| {
            let state = latches.entry(self.name).or_default();
            let news = !state.met && state.why != why;
            if news {
                state.why = why;
            }
            news
        });
    }

    /// The condition holds no longer, and this process can do nothing without it.
    /// A dependency's passing outage is no reason: taking every replica out of
    /// service helps nobody.
    pub fn reopen(&self) {
        self.reopen_because("");
    }

    /// As [`reopen`](Self::reopen), and says why to whoever asks. No secrets.
    pub fn reopen_because(&self, why: impl Into<String>) {
        self.set(State {
            met: false,
            why: why.into(),
        });
    }

    /// Whether the condition holds.
    pub fn is_met(&self) -> bool {
        self.latches
            .borrow()
            .get(self.name)
            .is_some_and(|state| state.met)
    }

    fn set(&self, now: State) {
        self.latches.send_if_modified(|latches| {
            let was = latches.insert(self.name, now.clone());
            was != Some(now)
        });
    }
}
