//! The memory itself: a map of keys, and the order in which they are forgotten.
//!
//! In: claims and endings, and the time. Out: what is known. Pure: no lock, no clock. A key in flight
//! is never forgotten; there are as many as purchases under way, which credits bound. A settled one is
//! forgotten when it is too old, or when it is the oldest and there are too many or too many bytes.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use purchases::PurchaseId;

use super::{Choice, Fingerprint, Known, Limits};
use crate::flow::Stored;

/// What a settled key leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is in the log.
    Stored(Stored),
    /// Nobody knows; a retry may go on and buys the same.
    Unknown(Choice),
}

impl Kept {
    /// Its bytes with those of its places in map and order, which are never full.
    pub(super) fn bytes(&self) -> usize {
        let own = match self {
            Self::Stored(stored) => stored.value.len(),
            Self::Unknown(choice) => choice.item.name.as_str().len(),
        };
        own + 2 * size_of::<(PurchaseId, Entry)>() + 64
    }
}

struct Entry {
    request: Fingerprint,
    state: State,
}

enum State {
    InFlight,
    Settled {
        turn: u64,
        since: Instant,
        kept: Kept,
    },
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    pub(super) in_flight: usize,
    pub(super) kept: usize,
    pub(super) bytes: usize,
}

pub(super) struct Store {
    limits: Limits,
    /// Keyed hashing, because clients choose what is hashed.
    entries: HashMap<PurchaseId, Entry>,
    /// Settled keys, oldest first.
    order: BTreeMap<u64, PurchaseId>,
    next_turn: u64,
    bytes: usize,
}

impl Store {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            next_turn: 0,
            bytes: 0,
        }
    }

    /// What is known, and how many keys were too old.
    pub(super) fn look(
        &mut self,
        id: PurchaseId,
        request: Fingerprint,
        now: Instant,
    ) -> (Option<Known>, usize) {
        let expired = self.expire(now);
        (
            self.entries.get(&id).map(|entry| entry.known(request)),
            expired,
        )
    }

    /// Takes the key, with what an earlier try chose; or what is known. And how many were too old.
    pub(super) fn claim(
        &mut self,
        id: PurchaseId,
        request: Fingerprint,
        now: Instant,
    ) -> (Result<Option<Choice>, Known>, usize) {
        let expired = self.expire(now);
        let mut slot = match self.entries.entry(id) {
            Slot::Vacant(slot) => {
                slot.insert(Entry {
                    request,
                    state: State::InFlight,
                });
                return (Ok(None), expired);
            }
            Slot::Occupied(slot) => slot,
        };
        match slot.get().known(request) {
            Known::Unknown => {}
            known => return (Err(known), expired),
        }
        let choice = match std::mem::replace(&mut slot.get_mut().state, State::InFlight) {
            State::Settled { turn, kept, .. } => {
                self.order.remove(&turn);
                self.bytes -= kept.bytes();
                match kept {
                    Kept::Unknown(choice) => Some(choice),
                    Kept::Stored(_) => None,
                }
            }
            State::InFlight => None,
        };
        (Ok(choice), expired)
    }

    /// A claimed key is settled; returns how many were forgotten for it.
    pub(super) fn settle(&mut self, id: PurchaseId, kept: Option<Kept>, now: Instant) -> usize {
        let Some(kept) = kept else {
            self.entries.remove(&id);
            return 0;
        };
        let Some(entry) = self.entries.get_mut(&id) else {
            return 0;
        };
        let turn = self.next_turn;
        self.next_turn += 1;
        self.bytes += kept.bytes();
        self.order.insert(turn, id);
        entry.state = State::Settled {
            turn,
            since: now,
            kept,
        };
        let before = self.order.len();
        while self.order.len() > self.limits.keys || self.bytes > self.limits.bytes {
            self.forget_oldest();
        }
        before - self.order.len()
    }

    /// Forgets what is too old; returns how many.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let before = self.order.len();
        while let Some(id) = self.order.values().next()
            && let Some(Entry {
                state: State::Settled { since, .. },
                ..
            }) = self.entries.get(id)
            && now.saturating_duration_since(*since) >= self.limits.age
        {
            self.forget_oldest();
        }
        before - self.order.len()
    }

    pub(super) fn census(&self) -> Census {
        Census {
            in_flight: self.entries.len() - self.order.len(),
            kept: self.order.len(),
            bytes: self.bytes,
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.order.pop_first()
            && let Some(Entry {
                state: State::Settled { kept, .. },
                ..
            }) = self.entries.remove(&id)
        {
            self.bytes -= kept.bytes();
        }
    }
}

impl Entry {
    fn known(&self, request: Fingerprint) -> Known {
        if self.request != request {
            return Known::Changed;
        }
        match &self.state {
            State::InFlight => Known::InFlight,
            State::Settled {
                kept: Kept::Stored(stored),
                ..
            } => Known::Stored(stored.clone()),
            State::Settled {
                kept: Kept::Unknown(_),
                ..
            } => Known::Unknown,
        }
    }
}
