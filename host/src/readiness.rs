//! Whether this process should be given work.
//!
//! In: named latches that the parts of the service meet, and the shutdown token.
//! Out: ready or not, and why not. It never asks a dependency anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Ready once every latch is met, until the shutdown begins. Clones are one thing.
#[derive(Debug, Clone)]
pub struct Readiness {
    latches: Arc<watch::Sender<BTreeMap<&'static str, bool>>>,
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
            latches.entry(name).or_insert(false);
        });
        Latch {
            name,
            latches: Arc::clone(&self.latches),
        }
    }

    /// Whether to send work here.
    pub fn ready(&self) -> bool {
        !self.shutting_down() && self.latches.borrow().values().all(|&met| met)
    }

    /// What it waits for; empty if ready.
    pub fn not_ready_because(&self) -> Vec<&'static str> {
        let latches = self.latches.borrow();
        let unmet = latches
            .iter()
            .filter(|(_, met)| !**met)
            .map(|(name, _)| *name);
        unmet
            .chain(self.shutting_down().then_some("shutting down"))
            .collect()
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
            .wait_for(|latches| latches.values().all(|&met| met))
            .await;
        debug_assert!(seen.is_ok());
    }
}

/// One condition of readiness.
#[derive(Debug, Clone)]
pub struct Latch {
    name: &'static str,
    latches: Arc<watch::Sender<BTreeMap<&'static str, bool>>>,
}

impl Latch {
    /// The condition holds: the broker was reached, the indexes are there.
    pub fn meet(&self) {
        self.set(true);
    }

    /// The condition holds no longer, and this process can do nothing without it.
    /// A dependency's passing outage is no reason: taking every replica out of
    /// service helps nobody.
    pub fn reopen(&self) {
        self.set(false);
    }

    /// Whether the condition holds.
    pub fn is_met(&self) -> bool {
        self.latches
            .borrow()
            .get(self.name)
            .copied()
            .unwrap_or(false)
    }

    fn set(&self, met: bool) {
        self.latches
            .send_if_modified(|latches| latches.insert(self.name, met) != Some(met));
    }
}
