//! Batches by key. In: items with a key. Out: batches to write, never two of one key at once.
//!
//! Pure: imports neither tokio nor ractor; time is passed in. Order within a key is kept because the
//! next batch of a key is given out only after the one before was reported as written.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use crate::{BatchLimits, Batcher};

struct Slot<T> {
    batcher: Batcher<T>,
    ready: VecDeque<Vec<T>>,
    writing: bool,
    deadline: Option<Instant>,
}

/// Batchers by key; a key without items takes no room.
pub(crate) struct Shelf<T> {
    limits: BatchLimits,
    slots: HashMap<u64, Slot<T>>,
    deadlines: BTreeSet<(Instant, u64)>,
    /// Keys with a batch to write and none being written, first come first served.
    turn: VecDeque<u64>,
}

impl<T> Shelf<T> {
    pub(crate) fn new(limits: BatchLimits) -> Self {
        // Checked here, so that a zero limit is found when the pipeline is built.
        drop(Batcher::<T>::new(limits));
        Self {
            limits,
            slots: HashMap::new(),
            deadlines: BTreeSet::new(),
            turn: VecDeque::new(),
        }
    }

    pub(crate) fn push(&mut self, key: u64, item: T, bytes: usize, now: Instant) {
        let limits = self.limits;
        let slot = self.slots.entry(key).or_insert_with(|| Slot {
            batcher: Batcher::new(limits),
            ready: VecDeque::new(),
            writing: false,
            deadline: None,
        });
        let full = slot.batcher.push(item, bytes, now);
        self.put(key, full);
    }

    /// Closes what is old enough.
    pub(crate) fn close_due(&mut self, now: Instant) {
        while let Some((_, key)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            let due = self
                .slots
                .get_mut(&key)
                .and_then(|slot| slot.batcher.take_due(now));
            self.put(key, due);
        }
    }

    /// Closes every batch in which an item is wanted.
    pub(crate) fn close_all(&mut self) {
        let keys: Vec<u64> = self.deadlines.iter().map(|(_, key)| *key).collect();
        for key in keys {
            let open = self
                .slots
                .get_mut(&key)
                .and_then(|slot| slot.batcher.flush());
            self.put(key, open);
        }
    }

    /// The next batch to write. Its key is busy until [`written`](Self::written).
    pub(crate) fn take(&mut self) -> Option<(u64, Vec<T>)> {
        let key = self.turn.pop_front()?;
        let slot = self.slots.get_mut(&key)?;
        slot.writing = true;
        Some((key, slot.ready.pop_front()?))
    }

    pub(crate) fn written(&mut self, key: u64) {
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        slot.writing = false;
        if !slot.ready.is_empty() {
            self.turn.push_back(key);
        } else if slot.batcher.is_empty() {
            self.slots.remove(&key);
        }
    }

    /// When [`close_due`](Self::close_due) has something to close.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Puts a closed batch into line and keeps the deadlines true.
    fn put(&mut self, key: u64, batch: Option<Vec<T>>) {
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        if let Some(batch) = batch {
            if slot.ready.is_empty() && !slot.writing {
                self.turn.push_back(key);
            }
            slot.ready.push_back(batch);
        }
        let deadline = slot.batcher.deadline();
        if deadline != slot.deadline {
            if let Some(old) = slot.deadline {
                self.deadlines.remove(&(old, key));
            }
            self.deadlines.extend(deadline.map(|at| (at, key)));
            slot.deadline = deadline;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: BatchLimits = BatchLimits {
        count: 2,
        bytes: 100,
        age: Duration::from_secs(1),
    };

    #[test]
    fn a_key_is_written_once_at_a_time_and_others_go_on() {
        let (mut shelf, now) = (Shelf::new(LIMITS), Instant::now());
        for item in 0..4 {
            shelf.push(1, item, 1, now);
        }
        shelf.push(2, 9, 1, now);
        shelf.close_all();
        assert_eq!(shelf.take(), Some((1, vec![0, 1])));
        assert_eq!(shelf.take(), Some((2, vec![9])));
        assert_eq!(shelf.take(), None);
        shelf.written(1);
        assert_eq!(shelf.take(), Some((1, vec![2, 3])));
        shelf.written(1);
        shelf.written(2);
        assert!(shelf.slots.is_empty(), "an idle key takes no room");
    }

    #[test]
    fn age_closes_the_batches_that_are_old_and_no_others() {
        let (mut shelf, now) = (Shelf::new(LIMITS), Instant::now());
        shelf.push(1, 'a', 1, now);
        shelf.push(2, 'b', 1, now + LIMITS.age / 2);
        assert_eq!(shelf.deadline(), Some(now + LIMITS.age));
        shelf.close_due(now + LIMITS.age);
        assert_eq!(shelf.take(), Some((1, vec!['a'])));
        assert_eq!(shelf.take(), None);
        assert_eq!(shelf.deadline(), Some(now + LIMITS.age + LIMITS.age / 2));
    }

    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn order_within_a_key_is_kept_and_no_key_is_written_twice_at_once(
            ops in proptest::collection::vec((0..6u8, 0..4u64, 0..2000u64), 0..100),
        ) {
            let (mut shelf, mut now) = (Shelf::new(LIMITS), Instant::now());
            let mut writing: Vec<(u64, Vec<usize>)> = Vec::new();
            let mut written: HashMap<u64, Vec<usize>> = HashMap::new();
            let mut pushed: HashMap<u64, Vec<usize>> = HashMap::new();
            let mut finish = |shelf: &mut Shelf<usize>, writing: &mut Vec<(u64, Vec<usize>)>, at: usize| {
                let (key, batch) = writing.remove(at);
                written.entry(key).or_default().extend(batch);
                shelf.written(key);
            };
            for (number, (op, key, pause)) in ops.into_iter().enumerate() {
                now += Duration::from_millis(pause);
                match op {
                    0..=2 => {
                        shelf.push(key, number, 1, now);
                        pushed.entry(key).or_default().push(number);
                    }
                    3 => shelf.close_due(now),
                    4 => if let Some((key, batch)) = shelf.take() {
                        prop_assert!(writing.iter().all(|(busy, _)| *busy != key), "two batches of {} at once", key);
                        writing.push((key, batch));
                    },
                    _ => if !writing.is_empty() {
                        let at = key as usize % writing.len();
                        finish(&mut shelf, &mut writing, at);
                    },
                }
            }
            shelf.close_all();
            prop_assert_eq!(shelf.deadline(), None);
            loop {
                writing.extend(std::iter::from_fn(|| shelf.take()));
                if writing.is_empty() {
                    break;
                }
                finish(&mut shelf, &mut writing, 0);
            }
            prop_assert_eq!(written, pushed);
            prop_assert!(shelf.slots.is_empty());
        }
    }
}
