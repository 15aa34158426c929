//! Offsets that must not be believed.
//!
//! In: partition and offset of each delivery report, in their order. Out: the offset, where it is
//! true. When a broker recognises a batch as one it already has but no longer knows where, the
//! library reports success and numbers the batch's records from -1 (or -1001) upwards: the first
//! shows that something is missing, the rest look like real offsets 0, 1, 2 …

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Remembers partitions in the middle of such a batch. Costs one load a report while there is none.
#[derive(Debug, Default)]
pub(super) struct Resends {
    any: AtomicBool,
    /// Partition → the number that the batch's next record would be given.
    counting: Mutex<HashMap<i32, i64>>,
}

impl Resends {
    /// The offset, unless it is the library's counting. A true offset that happens to continue the
    /// counting is withheld too: no offset is better than a false one.
    pub(super) fn trusted(&self, partition: i32, offset: i64) -> Option<i64> {
        if offset >= 0 && !self.any.load(Ordering::Acquire) {
            return Some(offset);
        }
        let mut counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        if offset < 0 {
            counting.insert(partition, offset + 1);
            self.any.store(true, Ordering::Release);
            return None;
        }
        match counting.get_mut(&partition) {
            Some(next) if *next == offset => {
                *next += 1;
                None
            }
            Some(_) => {
                counting.remove(&partition);
                self.any.store(!counting.is_empty(), Ordering::Release);
                Some(offset)
            }
            None => Some(offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(resends: &Resends, reports: &[(i32, i64)]) -> Vec<Option<i64>> {
        reports
            .iter()
            .map(|&(partition, offset)| resends.trusted(partition, offset))
            .collect()
    }

    #[test]
    fn offsets_of_an_ordinary_batch_are_believed() {
        assert_eq!(
            all(&Resends::default(), &[(0, 0), (0, 1), (1, 0)]),
            [Some(0), Some(1), Some(0)]
        );
    }

    #[test]
    fn a_batch_without_offsets_is_withheld_to_its_last_record() {
        let reports = [(0, -1), (0, 0), (0, 1), (1, 40), (0, 2), (0, 903), (0, 904)];
        assert_eq!(
            all(&Resends::default(), &reports),
            [None, None, None, Some(40), None, Some(903), Some(904)]
        );
    }

    #[test]
    fn counting_from_the_librarys_invalid_offset_is_recognised_too() {
        let reports: Vec<_> = (-1001..100).map(|offset| (2, offset)).collect();
        assert!(
            all(&Resends::default(), &reports)
                .iter()
                .all(Option::is_none)
        );
    }

    #[test]
    fn after_the_batch_belief_costs_nothing_again() {
        let resends = Resends::default();
        all(&resends, &[(0, -1), (0, 77)]);
        assert!(!resends.any.load(Ordering::Relaxed));
    }
}
