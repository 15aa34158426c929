//! How many messages are in a mailbox. In: messages sent and begun. Out: the difference.
//!
//! The atomics come from `super::sync`, so that the model checker can compile this very file.

use super::sync::{AtomicU64, Ordering};

/// Messages sent and not yet begun. Senders and the receiver count each for themselves, on cache
/// lines of their own: one shared counter would travel between their cores with every message.
#[derive(Default)]
pub(crate) struct Depth {
    sent: Apart<AtomicU64>,
    begun: Apart<AtomicU64>,
}

#[derive(Default)]
#[repr(align(128))]
struct Apart<T>(T);

impl Depth {
    pub(crate) fn sent(&self) {
        self.sent.0.fetch_add(1, Ordering::Relaxed);
    }

    /// It was not taken after all.
    pub(crate) fn unsent(&self) {
        self.sent.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Called by the receiver only.
    pub(crate) fn begun(&self) {
        self.begun.0.store(
            self.begun.0.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
    }

    pub(crate) fn get(&self) -> u64 {
        let begun = self.begun.0.load(Ordering::Relaxed);
        self.sent.0.load(Ordering::Relaxed).saturating_sub(begun)
    }
}
