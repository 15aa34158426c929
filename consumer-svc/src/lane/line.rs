//! Who waits for his turn before the database, and whose answer is his own. Pure but for its locks.
//!
//! In: which records have been taken out of the line, letters that are on their way, and how far each
//! prefix is. Out: whether an answer to somebody else is a sign of life of this partition, too.
//!
//! The line before the database is one for all partitions, in order, so a partition whose oldest record
//! still stands in it moves with every answer, however long the line is. One whose oldest record was
//! taken out waits for the answer to that attempt alone: if it never comes, the others' answers must not
//! hide it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use actors::{Epoch, Position};

/// One partition's place, in the epoch of its reader.
#[derive(Default)]
pub(super) struct Place(Mutex<Option<Arc<Standing>>>);

/// What there is of one epoch. What older ones have under way says nothing of this one.
struct Standing {
    epoch: Epoch,
    /// The end of what was taken out of the line.
    taken: AtomicU64,
    /// The end of the settled prefix.
    next: AtomicU64,
    /// Letters that are not settled.
    letters: AtomicU64,
}

impl Place {
    pub(super) fn begin(&self, epoch: Epoch) {
        let standing = Arc::new(Standing {
            epoch,
            taken: AtomicU64::new(0),
            next: AtomicU64::new(0),
            letters: AtomicU64::new(0),
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(standing);
    }

    /// The prefix reaches so far.
    pub(super) fn passed(&self, next: u64) {
        if let Some(standing) = self.standing() {
            standing.next.fetch_max(next, Ordering::Relaxed);
        }
    }

    /// Everything before `end` was taken out of the line.
    pub(super) fn taken(&self, epoch: Epoch, end: u64) {
        if let Some(standing) = self.of(epoch) {
            standing.taken.fetch_max(end, Ordering::Relaxed);
        }
    }

    /// A letter is on its way until what this gives is dropped.
    pub(super) fn letter(&self, epoch: Epoch) -> Option<Letter> {
        let standing = self.of(epoch)?;
        standing.letters.fetch_add(1, Ordering::Relaxed);
        Some(Letter(standing))
    }

    /// Whether the oldest record stands in the line before the database.
    pub(super) fn is_in_line(&self) -> bool {
        self.standing().is_some_and(|standing| {
            standing.next.load(Ordering::Relaxed) >= standing.taken.load(Ordering::Relaxed)
        })
    }

    pub(super) fn has_letters(&self) -> bool {
        let letters = |standing: Arc<Standing>| standing.letters.load(Ordering::Relaxed) > 0;
        self.standing().is_some_and(letters)
    }

    /// Whether the epoch here began after that one.
    pub(super) fn is_newer_than(&self, epoch: Epoch) -> bool {
        self.standing()
            .is_some_and(|standing| standing.epoch > epoch)
    }

    fn standing(&self) -> Option<Arc<Standing>> {
        let held = self.0.lock();
        held.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn of(&self, epoch: Epoch) -> Option<Arc<Standing>> {
        self.standing().filter(|standing| standing.epoch == epoch)
    }
}

/// A letter on its way.
pub struct Letter(Arc<Standing>);

impl Drop for Letter {
    fn drop(&mut self) {
        self.0.letters.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The end of what stands in a batch, for each partition and epoch in it: they are few.
pub(super) fn ends(batch: impl Iterator<Item = Position>) -> Vec<Position> {
    let mut ends: Vec<Position> = Vec::new();
    for Position { lane, epoch, seq } in batch {
        let end = seq + 1;
        match ends
            .iter_mut()
            .find(|known| (known.lane, known.epoch) == (lane, epoch))
        {
            Some(known) => known.seq = known.seq.max(end),
            None => ends.push(Position {
                lane,
                epoch,
                seq: end,
            }),
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stands_in_line_is_who_has_nothing_taken_that_is_not_settled() {
        let (place, epoch) = (Place::default(), Epoch::next());
        assert!(!place.is_in_line(), "nobody reads");
        place.begin(epoch);
        assert!(place.is_in_line());
        place.taken(epoch, 15);
        assert!(!place.is_in_line(), "it waits for its own answer");
        place.passed(12);
        assert!(!place.is_in_line());
        place.passed(15);
        assert!(place.is_in_line(), "what comes next still stands there");
    }

    #[test]
    fn what_an_older_epoch_has_under_way_says_nothing_of_this_one() {
        let (place, old, new) = (Place::default(), Epoch::next(), Epoch::next());
        place.begin(old);
        let letter = place.letter(old);
        assert!(letter.is_some() && place.has_letters());
        place.begin(new);
        place.taken(old, 15);
        assert!(place.is_in_line() && !place.has_letters());
        assert!(place.letter(old).is_none());
        assert!(place.is_newer_than(old) && !place.is_newer_than(new));
        let newer = place.letter(new);
        drop(letter);
        assert!(place.has_letters(), "it is another's that is over");
        drop(newer);
        assert!(!place.has_letters());
    }

    #[test]
    fn a_batch_ends_where_its_last_record_of_each_partition_stands() {
        let epoch = Epoch::next();
        let at = |lane, seq| Position { lane, epoch, seq };
        let batch = [at(0, 7), at(1, 3), at(0, 9), at(0, 8)];
        assert_eq!(ends(batch.into_iter()), [at(0, 10), at(1, 4)]);
    }
}
