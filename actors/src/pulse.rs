//! The heartbeat of work a supervisor cannot see. In: work begun and done. Out: whether there is some,
//! and how often it beat.
//!
//! The atomics come from `crate::sync`, so that the model checker can compile this very file.

use std::sync::Arc;

use crate::sync::{AtomicU64, Ordering};

/// Heartbeat of work the supervisor cannot see, for example records that were read and are not
/// settled yet; shared by cloning.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    inner: Arc<Beats>,
}

#[derive(Debug, Default)]
struct Beats {
    begun: AtomicU64,
    done: AtomicU64,
    /// What is done of all that stand in one line.
    line: Option<Arc<AtomicU64>>,
}

impl Pulse {
    /// Nothing to do so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing to do so far, and in one line with all that are made of `line`: whoever waits there
    /// makes progress while anybody does.
    pub(crate) fn within(line: &Arc<AtomicU64>) -> Self {
        let line = Some(Arc::clone(line));
        let inner = Arc::new(Beats {
            line,
            ..Beats::default()
        });
        Self { inner }
    }

    /// So many pieces of work were taken on.
    pub fn begin(&self, count: u64) {
        self.inner.begun.fetch_add(count, Ordering::Relaxed);
    }

    /// So many of them are done: that is progress.
    pub fn done(&self, count: u64) {
        self.inner.done.fetch_add(count, Ordering::Relaxed);
        if let Some(line) = &self.inner.line {
            line.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// What a watch compares: it changes with progress, be it another's in the same line.
    pub(crate) fn progress(&self) -> u64 {
        let line = self.inner.line.as_ref();
        line.map_or_else(|| self.beats(), |line| line.load(Ordering::Relaxed))
    }

    /// How many are not done.
    pub fn pending(&self) -> u64 {
        // In this order: work that comes and goes meanwhile is pending once too often, never too seldom.
        let done = self.beats();
        self.inner
            .begun
            .load(Ordering::Relaxed)
            .saturating_sub(done)
    }

    /// How many were done or forgotten.
    pub(crate) fn beats(&self) -> u64 {
        self.inner.done.load(Ordering::Relaxed)
    }

    /// Forgets what is pending: a new incarnation begins with nothing. What was begun before must not
    /// be reported as done afterwards, or as much of what is begun then is overlooked.
    pub fn reset(&self) {
        // Not the difference, which somebody may report as done at this very moment.
        let begun = self.inner.begun.load(Ordering::Relaxed);
        self.inner.done.fetch_max(begun, Ordering::Relaxed);
    }
}
