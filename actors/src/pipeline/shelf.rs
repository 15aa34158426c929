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

/// Batchers by key; a key without items takes no room.
pub(crate) struct Shelf<T> {
    limits: BatchLimits,
    slots: HashMap<u64, Slot<T>>,
    deadlines: BTreeSet<(Instant, u64)>,
    /// Keys with something to write and nothing being written, first come first served.
    line: VecDeque<u64>,
}

impl<T> Shelf<T> {
    pub(crate) fn new(limits: BatchLimits) -> Self {
        Self {
            limits,
            slots: HashMap::new(),
            deadlines: BTreeSet::new(),
            line: VecDeque::new(),
        }
    }

    pub(crate) fn push(&mut self, key: u64, item: T, bytes: usize, now: Instant) {
        let limits = self.limits;
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
        let mut open: Vec<(Option<Instant>, u64)> = self
            .slots
            .iter()
            .filter(|(_, slot)| !slot.batcher.is_empty())
            .map(|(key, slot)| (slot.batcher.deadline(), *key))
            .collect();
        open.sort_unstable();
        for (_, key) in open {
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.ready.extend(slot.batcher.flush());
                slot.find_place(key, &mut self.line, &mut self.deadlines);
            }
        }
    }

    /// The next batch to write. Its key is busy until [`written`](Self::written).
    pub(crate) fn take(&mut self) -> Option<(u64, Vec<T>)> {
        let key = self.line.pop_front()?;
        let slot = self.slots.get_mut(&key)?;
        slot.place = Place::Writing;
        let batch = slot.ready.pop_front().or_else(|| slot.batcher.flush())?;
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

    /// Takes everything out that was not given out yet.
    pub(crate) fn empty(&mut self) -> Vec<T> {
        (self.deadlines, self.line) = Default::default();
        let slots = self.slots.drain().map(|(_, slot)| slot);
        slots
            .flat_map(|mut slot| slot.ready.into_iter().chain(slot.batcher.flush()))
            .flatten()
            .collect()
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
    fn age_lines_up_the_batches_that_are_old_and_no_others() {
        let (mut shelf, now) = (Shelf::new(LIMITS), Instant::now());
        shelf.push(1, 'a', 1, now);
        shelf.push(2, 'b', 1, now + LIMITS.age / 2);
        assert_eq!(shelf.deadline(), Some(now + LIMITS.age));
        shelf.line_up_due(now + LIMITS.age);
        assert_eq!(shelf.take(), Some((1, vec!['a'])));
        assert_eq!(shelf.take(), None);
        assert_eq!(shelf.deadline(), Some(now + LIMITS.age + LIMITS.age / 2));
    }

    #[test]
    fn while_nobody_writes_it_an_old_batch_grows_to_its_limits() {
        let (mut shelf, now) = (Shelf::new(LIMITS), Instant::now());
        let old = now + LIMITS.age;
        shelf.push(1, 'a', 1, now);
        shelf.line_up_due(old);
        shelf.push(2, 'x', 1, old);
        shelf.line_up_due(old + LIMITS.age);
        shelf.push(1, 'b', 1, old);
        shelf.push(1, 'c', 1, old);
        assert_eq!(
            shelf.take(),
            Some((1, vec!['a', 'b'])),
            "grown while in line"
        );
        shelf.line_up_due(old + 5 * LIMITS.age);
        shelf.push(1, 'd', 1, old);
        assert_eq!(
            shelf.take(),
            Some((2, vec!['x'])),
            "a busy key does not hold the others"
        );
        shelf.push(1, 'e', 1, old);
        shelf.written(1);
        assert_eq!(
            shelf.take(),
            Some((1, vec!['c', 'd'])),
            "grown while writing"
        );
        shelf.written(1);
        assert_eq!(
            shelf.take(),
            None,
            "not old enough by itself: nobody looked"
        );
        shelf.line_up_due(old + LIMITS.age);
        assert_eq!(shelf.take(), Some((1, vec!['e'])));
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
                    3 => shelf.line_up_due(now),
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
