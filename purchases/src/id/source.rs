//! Fresh ids, for purchases whose client sent no retry key.
//!
//! In: five bytes that no other running process has, a random start, and the
//! caller's clock. Out: ids in the layout of an `ObjectId`. It holds no entropy
//! source and no clock of its own.

use std::sync::atomic::{AtomicU32, Ordering};

use super::PurchaseId;
use crate::Timestamp;

/// Makes fresh ids; share one per process between all threads.
#[derive(Debug)]
pub struct IdSource {
    unique: [u8; 5],
    count: AtomicU32,
}

impl IdSource {
    /// `unique` must be random per process, `start` should be.
    pub const fn new(unique: [u8; 5], start: u32) -> Self {
        Self {
            unique,
            count: AtomicU32::new(start),
        }
    }

    /// An id that this source gives no second time: seconds, process, counter.
    ///
    /// The counter has 24 bits, so ids repeat only beyond 16 million a second.
    pub fn fresh(&self, now: Timestamp) -> PurchaseId {
        let count = self.count.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let seconds = (now.as_millis().div_euclid(1_000) as u32).to_be_bytes();
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&seconds);
        bytes[4..9].copy_from_slice(&self.unique);
        bytes[9..].copy_from_slice(&count[1..]);
        PurchaseId::from_bytes(bytes)
    }
}
