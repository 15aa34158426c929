//! What this replica remembers of purchases with a retry key, so that a retry gets the first answer.
//!
//! In: the id that user and key give, and a fingerprint of what was asked. Out: a claim on the key, or
//! what is known of it. A claim travels with the purchase's ticket and ends when the purchase is
//! settled, so no client that hangs up leaves a key behind; dropped anywhere it ends too. It keeps
//! nothing on disk and asks no other replica: across them, the same id makes one document.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use purchases::{PurchaseId, Timestamp};
use sha2::{Digest, Sha256};

use crate::catalog::Item;
use crate::flow::{Stored, Unsold, Verdict};
use crate::metrics::{KeyEvent, Metrics};

mod store;
#[cfg(test)]
mod tests;

use store::{Kept, Store};

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Settled purchases.
    pub keys: usize,
    /// Their bytes.
    pub bytes: usize,
    /// How long each.
    pub age: Duration,
}

/// What was asked: equal for equal requests, and for no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Of a request with these parts, in this order.
    pub fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            // Preceded by its length: no two lists of parts read the same.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        Self(bytes)
    }
}

/// What the first try bought and when: what a retry must buy, whatever is in the catalog by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The item.
    pub item: Item,
    /// The time of the purchase.
    pub accepted: Timestamp,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// The purchase is in the log: this is the answer.
    Stored(Stored),
    /// The first try is still on its way.
    InFlight,
    /// The key was used for another request.
    Changed,
    /// An earlier try may be in the log. It keeps nobody from claiming the key, but nobody may be told
    /// that the purchase is not stored.
    Unknown,
}

/// The memory; clones share it.
#[derive(Clone)]
pub struct Replays(Arc<Shared>);

struct Shared {
    store: Mutex<Store>,
    metrics: Arc<Metrics>,
}

impl Replays {
    /// An empty memory.
    pub fn new(limits: Limits, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Shared {
            store: Mutex::new(Store::new(limits)),
            metrics,
        }))
    }

    /// What is known of a key, without claiming it. It could be claimed if that is nothing, or that an
    /// earlier try may be in the log.
    pub fn look(&self, id: PurchaseId, request: Fingerprint, now: Instant) -> Option<Known> {
        let (known, expired) = self.store().look(id, request, now);
        self.0.metrics.keys(KeyEvent::Expired, expired);
        known.inspect(|known| self.count(known))
    }

    /// Takes a key for a purchase that now begins.
    ///
    /// # Errors
    ///
    /// What is known of the key and is its answer; then nothing is begun.
    pub fn claim(
        &self,
        id: PurchaseId,
        request: Fingerprint,
        now: Instant,
    ) -> Result<Claim, Known> {
        let (claimed, expired) = self.store().claim(id, request, now);
        self.0.metrics.keys(KeyEvent::Expired, expired);
        let choice = claimed.inspect_err(|known| self.count(known))?;
        Ok(Claim {
            replays: self.clone(),
            id,
            uncertain: choice.is_some(),
            choice,
            open: true,
        })
    }

    /// Forgets what is too old, and shows how much is left.
    pub fn publish_metrics(&self) {
        let (expired, census) = {
            let mut store = self.store();
            (store.expire(Instant::now()), store.census())
        };
        self.0.metrics.keys(KeyEvent::Expired, expired);
        self.0
            .metrics
            .keys_held(census.in_flight, census.kept, census.bytes);
    }

    fn count(&self, known: &Known) {
        let event = match known {
            Known::Stored(_) => KeyEvent::Replayed,
            Known::InFlight => KeyEvent::InFlight,
            Known::Changed => KeyEvent::Changed,
            // The try that goes on will be counted when it is over.
            Known::Unknown => return,
        };
        self.0.metrics.keys(event, 1);
    }

    /// Nothing in the store can panic half way, so a poisoned one is whole.
    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key in use, until the purchase is settled. Dropped, it counts as not stored.
pub struct Claim {
    replays: Replays,
    id: PurchaseId,
    choice: Option<Choice>,
    /// An earlier try may have stored the choice.
    uncertain: bool,
    open: bool,
}

impl Claim {
    /// Whether an earlier try may be in the log, whatever becomes of this one.
    pub fn is_uncertain(&self) -> bool {
        self.uncertain
    }

    /// What an earlier try bought that may be in the log.
    pub fn choice(&self) -> Option<&Choice> {
        self.choice.as_ref()
    }

    /// This is what is bought.
    pub fn chose(&mut self, choice: Choice) {
        self.choice = Some(choice);
    }

    /// The purchase is settled.
    pub fn settle(mut self, verdict: &Verdict) {
        self.end(verdict.as_ref().map_err(|unsold| match unsold {
            Unsold::Unknown(_) => true,
            Unsold::NotStored(_) => false,
        }));
    }

    /// `Err(true)` says that this try may have stored it.
    fn end(&mut self, ending: Result<&Stored, bool>) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        let (kept, event) = match ending {
            Ok(stored) => (Some(Kept::Stored(stored.clone())), KeyEvent::Stored),
            Err(maybe) if maybe || self.uncertain => {
                (self.choice.take().map(Kept::Unknown), KeyEvent::Released)
            }
            Err(_) => (None, KeyEvent::Released),
        };
        let evicted = self.replays.store().settle(self.id, kept, Instant::now());
        self.replays.0.metrics.keys(event, 1);
        self.replays.0.metrics.keys(KeyEvent::Evicted, evicted);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.end(Err(false));
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("id", &self.id).finish()
    }
}
