//! One wake-up for many results. In: rings. Out: who has to carry the sound.
//!
//! The atomics come from `super::sync`, so that the model checker can compile this very file.

use super::sync::{AtomicBool, Ordering};

/// Rung after a result was put down; whoever rings first wakes the listener.
pub(crate) struct Bell {
    rung: AtomicBool,
}

impl Bell {
    pub(crate) fn new() -> Self {
        Self {
            rung: AtomicBool::new(false),
        }
    }

    /// True if the listener has to be woken; otherwise somebody else does it, or did.
    pub(crate) fn ring(&self) -> bool {
        !self.rung.swap(true, Ordering::AcqRel)
    }

    /// The listener woke up. Called before it looks for results, so that one that comes while it
    /// looks is announced again.
    pub(crate) fn heard(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }
}
