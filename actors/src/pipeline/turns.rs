//! One write at a time per slot, also across restarts. In: writes that want to begin. Out: their turns.
//!
//! A writer that fails leaves its owned writes running. Its successor knows nothing of them, so the
//! turns are kept outside of both.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Mutex as Line, OwnedMutexGuard};

use crate::sync::{Mutex, lock};

#[derive(Default)]
pub(super) struct Turns {
    lines: Mutex<HashMap<u64, Arc<Line<()>>>>,
}

/// Held while writing.
pub(super) struct Turn {
    turns: Arc<Turns>,
    slot: u64,
    /// Present until dropped.
    place: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits until every write of the slot that asked before is over.
    pub(super) async fn take(self: &Arc<Self>, slot: u64) -> Turn {
        let line = Arc::clone(lock(&self.lines).entry(slot).or_default());
        Turn {
            turns: Arc::clone(self),
            slot,
            place: Some(line.lock_owned().await),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.place = None;
        let mut lines = lock(&self.turns.lines);
        // Whoever waits holds the line too; without anybody it takes no room.
        if lines
            .get(&self.slot)
            .is_some_and(|line| Arc::strong_count(line) == 1)
        {
            lines.remove(&self.slot);
        }
    }
}
