//! Batches by key. In: items with a key. Out: batches to write, never two of one key at once.
//!
//! Pure: imports neither tokio nor ractor; time is passed in. Order within a key is kept because the
//! next batch of a key is given out only after the one before was reported as written. Age puts a key
//! into line and does not close its batch: that grows up to its limits until somebody can write it, so
//! a slow sink gets full batches, not a queue of the small ones that age would cut.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use crate::BatchLimits;
use crate::batch::Batcher;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing of it is old or large enough to be written.
    Open,
    InLine,
    Writing,
}

struct Slot<T> {
    batcher: Batcher<T>,
    ready: VecDeque<Vec<T>>,
    place: Place,
    /// When its age puts it into line; kept while it is open.
    deadline: Option<Instant>,
}

/// What is batched.
pub(crate) trait Parcel {
    /// What it costs in bytes.
    fn bytes(&self) -> usize;
}

/// Batchers by key; a key without items takes no room.
pub(crate) struct Shelf<T> {
    limits: BatchLimits,
    slots: HashMap<u64, Slot<T>>,
    deadlines: BTreeSet<(Instant, u64)>,
    /// Keys with something to write and nothing being written, first come first served.
    line: VecDeque<u64>,
}

impl<T: Parcel> Shelf<T> {
    pub(crate) fn new(limits: BatchLimits) -> Self {
        Self {
            limits,
            slots: HashMap::new(),
            deadlines: BTreeSet::new(),
            line: VecDeque::new(),
        }
    }

    pub(crate) fn push(&mut self, key: u64, item: T, now: Instant) {
        let (limits, bytes) = (self.limits, item.bytes());
        let slot = self.slots.entry(key).or_insert_with(|| Slot {
            batcher: Batcher::new(limits),
            ready: VecDeque::new(),
            place: Place::Open,
            deadline: None,
        });
        slot.ready.extend(slot.batcher.push(item, bytes, now));
        slot.find_place(key, &mut self.line, &mut self.deadlines);
    }

    /// Puts those into line that are old enough.
    pub(crate) fn line_up_due(&mut self, now: Instant) {
        while let Some((at, key)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.deadlines.remove(&(at, key));
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.deadline = None;
                slot.place = Place::InLine;
                self.line.push_back(key);
            }
        }
    }

    /// Closes every batch in which there is an item, the oldest first.
    pub(crate) fn close_all(&mut self) {
        self.close_of(|_| true);
    }

    /// Closes what somebody has in open batches, the oldest first. What others have there stays.
    pub(crate) fn close_of(&mut self, theirs: impl Fn(&T) -> bool) {
        let mut open: Vec<(Option<Instant>, u64)> = self
            .slots
            .iter()
            .filter(|(_, slot)| !slot.batcher.is_empty())
            .map(|(key, slot)| (slot.batcher.deadline(), *key))
            .collect();
        open.sort_unstable();
        for (_, key) in open {
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.ready.extend(slot.batcher.take_out(&theirs, T::bytes));
                slot.find_place(key, &mut self.line, &mut self.deadlines);
            }
        }
    }

    /// The next batch to write. Its key is busy until [`written`](Self::written).
    pub(crate) fn take(&mut self) -> Option<(u64, Vec<T>)> {
        let key = self.line.pop_front()?;
        let slot = self.slots.get_mut(&key)?;
        slot.place = Place::Writing;
        let mut batch = slot.ready.pop_front().or_else(|| slot.batcher.flush())?;
        // What was closed early goes with what was closed before it, as far as they fit.
        while let Some(next) = slot.ready.front()
            && batch.len() + next.len() <= self.limits.count
            && weight(&batch).saturating_add(weight(next)) <= self.limits.bytes
        {
            batch.extend(slot.ready.pop_front().into_iter().flatten());
        }
        Some((key, batch))
    }

    pub(crate) fn written(&mut self, key: u64) {
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        slot.place = Place::Open;
        if slot.ready.is_empty() && slot.batcher.is_empty() {
            self.slots.remove(&key);
        } else {
            slot.find_place(key, &mut self.line, &mut self.deadlines);
        }
    }

    /// When [`line_up_due`](Self::line_up_due) has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }
}

impl<T> Slot<T> {
    /// Puts an open key with a closed batch into line, and keeps the deadlines true.
    fn find_place(
        &mut self,
        key: u64,
        line: &mut VecDeque<u64>,
        deadlines: &mut BTreeSet<(Instant, u64)>,
    ) {
        if self.place != Place::Open {
            return;
        }
        let deadline = if self.ready.is_empty() {
            self.batcher.deadline()
        } else {
            self.place = Place::InLine;
            line.push_back(key);
            None
        };
        if deadline != self.deadline {
            if let Some(old) = self.deadline {
                deadlines.remove(&(old, key));
            }
            deadlines.extend(deadline.map(|at| (at, key)));
            self.deadline = deadline;
        }
    }
}

fn weight<T: Parcel>(batch: &[T]) -> usize {
    let bytes = batch.iter().map(Parcel::bytes);
    bytes.fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests;
