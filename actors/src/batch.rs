//! When is a batch full. In: items with their size and the time. Out: batches.
//!
//! Pure: imports neither tokio nor ractor; the caller passes `now` and watches the deadline.

use std::time::{Duration, Instant};

/// A batch is closed by whichever limit is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Items in a batch, at least 1.
    pub count: usize,
    /// Bytes in a batch, at least 1. A single larger item makes a batch of its own.
    pub bytes: usize,
    /// How long the first item of a batch waits at most, while it could be written.
    pub age: Duration,
}

/// Collects items into batches that keep the order and stay within [`BatchLimits`].
#[derive(Debug)]
pub(crate) struct Batcher<T> {
    limits: BatchLimits,
    items: Vec<T>,
    bytes: usize,
    opened: Option<Instant>,
}

impl<T> Batcher<T> {
    /// An empty batcher.
    ///
    /// # Panics
    /// If `count` or `bytes` is zero: nothing would ever fit.
    pub(crate) fn new(limits: BatchLimits) -> Self {
        assert!(
            limits.count > 0,
            "a batch of zero items never closes: BatchLimits::count must be at least 1"
        );
        assert!(
            limits.bytes > 0,
            "a batch of zero bytes never closes: BatchLimits::bytes must be at least 1"
        );
        Self {
            limits,
            items: Vec::new(),
            bytes: 0,
            opened: None,
        }
    }

    /// Adds an item. Gives the batch it completed, or the one it did not fit into any more.
    ///
    /// In the second case the item opens the next batch; if it fills that one alone, the
    /// [`deadline`](Self::deadline) is already due.
    pub(crate) fn push(&mut self, item: T, bytes: usize, now: Instant) -> Option<Vec<T>> {
        let closed =
            if !self.items.is_empty() && self.bytes.saturating_add(bytes) > self.limits.bytes {
                self.flush()
            } else {
                None
            };
        self.opened.get_or_insert(now);
        self.items.push(item);
        self.bytes = self.bytes.saturating_add(bytes);
        if closed.is_none() && self.is_full() {
            return self.flush();
        }
        closed
    }

    /// The batch, if it is full or old enough.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Vec<T>> {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.flush()
        } else {
            None
        }
    }

    /// The batch as it is, if there is anything in it.
    pub(crate) fn flush(&mut self) -> Option<Vec<T>> {
        if self.items.is_empty() {
            return None;
        }
        self.opened = None;
        self.bytes = 0;
        Some(std::mem::take(&mut self.items))
    }

    /// Those it picks, in their order; the others stay, and the batch is as old as it was.
    pub(crate) fn take_out(
        &mut self,
        picks: impl Fn(&T) -> bool,
        bytes: impl Fn(&T) -> usize,
    ) -> Option<Vec<T>> {
        let taken: Vec<T> = self.items.extract_if(.., |item| picks(item)).collect();
        let bytes = taken.iter().map(bytes).fold(0, usize::saturating_add);
        self.bytes = self.bytes.saturating_sub(bytes);
        if self.items.is_empty() {
            (self.opened, self.bytes) = (None, 0);
        }
        (!taken.is_empty()).then_some(taken)
    }

    /// When [`take_due`](Self::take_due) will give a batch, if nothing more is pushed; never, if it
    /// is empty or its age is longer than the clock runs.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let opened = self.opened?;
        if self.is_full() {
            Some(opened)
        } else {
            opened.checked_add(self.limits.age)
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn is_full(&self) -> bool {
        self.items.len() >= self.limits.count || self.bytes >= self.limits.bytes
    }
}

#[cfg(test)]
mod tests;
