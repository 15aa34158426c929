//! One wake-up for many messages and results. In: rings. Out: who has to carry the sound.
//!
//! The atomics come from `super::sync`, so that the model checker can compile this very file.

use super::sync::{AtomicBool, Ordering};

/// Rung after a message or a result was put down; whoever rings first wakes the listener.
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

    /// The listener woke up. Called before it looks for what was put down, so that what comes while it
    /// looks is announced again.
    pub(crate) fn heard(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }
}
