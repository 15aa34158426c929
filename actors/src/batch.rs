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
    /// How long the first item of a batch waits at most.
    pub age: Duration,
}

/// Collects items into batches that keep the order and stay within [`BatchLimits`].
///
/// ```
/// use std::time::{Duration, Instant};
/// use actors::{BatchLimits, Batcher};
///
/// let limits = BatchLimits { count: 2, bytes: 100, age: Duration::from_millis(20) };
/// let (mut batcher, now) = (Batcher::new(limits), Instant::now());
/// assert_eq!(batcher.push("a", 1, now), None);
/// assert_eq!(batcher.push("b", 1, now), Some(vec!["a", "b"]));
/// batcher.push("c", 1, now);
/// assert_eq!(batcher.take_due(now + limits.age), Some(vec!["c"]));
/// ```
#[derive(Debug)]
pub struct Batcher<T> {
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
    pub fn new(limits: BatchLimits) -> Self {
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
    pub fn push(&mut self, item: T, bytes: usize, now: Instant) -> Option<Vec<T>> {
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
    pub fn take_due(&mut self, now: Instant) -> Option<Vec<T>> {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.flush()
        } else {
            None
        }
    }

    /// The batch as it is, if there is anything in it.
    pub fn flush(&mut self) -> Option<Vec<T>> {
        if self.items.is_empty() {
            return None;
        }
        self.opened = None;
        self.bytes = 0;
        Some(std::mem::take(&mut self.items))
    }

    /// When [`take_due`](Self::take_due) will give a batch, if nothing more is pushed.
    pub fn deadline(&self) -> Option<Instant> {
        let opened = self.opened?;
        Some(if self.is_full() {
            opened
        } else {
            opened + self.limits.age
        })
    }

    /// Items waiting.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes waiting.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn is_full(&self) -> bool {
        self.items.len() >= self.limits.count || self.bytes >= self.limits.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BatchLimits = BatchLimits {
        count: 3,
        bytes: 10,
        age: Duration::from_millis(20),
    };

    #[test]
    fn count_closes_a_batch() {
        let mut batcher = Batcher::new(LIMITS);
        let now = Instant::now();
        assert_eq!(batcher.push('a', 1, now), None);
        assert_eq!(batcher.push('b', 1, now), None);
        assert_eq!(batcher.push('c', 1, now), Some(vec!['a', 'b', 'c']));
        assert!(batcher.is_empty());
        assert_eq!(batcher.deadline(), None);
    }

    #[test]
    fn an_item_that_does_not_fit_closes_the_batch_before_it() {
        let mut batcher = Batcher::new(LIMITS);
        let now = Instant::now();
        assert_eq!(batcher.push('a', 6, now), None);
        assert_eq!(batcher.push('b', 30, now), Some(vec!['a']));
        assert_eq!(
            batcher.deadline(),
            Some(now),
            "a lone oversize item is due at once"
        );
        assert_eq!(batcher.take_due(now), Some(vec!['b']));
    }

    #[test]
    fn age_counts_from_the_first_item() {
        let mut batcher = Batcher::new(LIMITS);
        let start = Instant::now();
        batcher.push('a', 1, start);
        batcher.push('b', 1, start + Duration::from_millis(19));
        assert_eq!(batcher.take_due(start + Duration::from_millis(19)), None);
        assert_eq!(
            batcher.take_due(start + Duration::from_millis(20)),
            Some(vec!['a', 'b'])
        );
    }

    #[test]
    #[should_panic(expected = "BatchLimits::count must be at least 1")]
    fn zero_items_are_refused() {
        Batcher::<()>::new(BatchLimits { count: 0, ..LIMITS });
    }

    #[test]
    #[should_panic(expected = "BatchLimits::bytes must be at least 1")]
    fn zero_bytes_are_refused() {
        Batcher::<()>::new(BatchLimits { bytes: 0, ..LIMITS });
    }
}
