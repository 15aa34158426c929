//! Pure: which records were passed without a sale because they were refused.
//!
//! One that is read again may be taken then: a newer version reads it, an index that refused it is gone.
//! Only who knows that it was refused can tell its sale from one that was counted before. Kept are
//! ranges of offsets, and no more of them than a small document holds: the oldest go first, which are
//! the ones that retention removes. What it has removed is let go of at the partition's assignment.

use super::codec::{Malformed, Reader, Writer};

/// Ranges that are kept. Bad records come in runs, each of which is one.
const MOST: usize = 1_000;

/// Offsets, in ranges that neither touch nor overlap, rising.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// First, and the one after the last.
    ranges: Vec<(u64, u64)>,
    /// Offsets that there was no room for.
    forgotten: u64,
}

impl Refused {
    /// Notes one that comes after all that were noted before.
    pub(super) fn push(&mut self, offset: u64) {
        match self.ranges.last_mut() {
            Some((_, end)) if *end == offset => *end += 1,
            _ => self.ranges.push((offset, offset + 1)),
        }
        self.fit();
    }

    /// Takes one out. Answers whether it was there.
    pub(super) fn take(&mut self, offset: u64) -> bool {
        let place = self.ranges.partition_point(|(_, end)| *end <= offset);
        let Some(&(first, end)) = self.ranges.get(place) else {
            return false;
        };
        if offset < first {
            return false;
        }
        let rest = [(first, offset), (offset + 1, end)];
        let rest = rest.into_iter().filter(|(first, end)| first < end);
        self.ranges.splice(place..=place, rest);
        self.fit();
        true
    }

    /// Nothing before this offset can be read again.
    pub(super) fn cut(&mut self, first: u64) {
        self.ranges.retain(|(_, end)| *end > first);
        if let Some(range) = self.ranges.first_mut() {
            range.0 = range.0.max(first);
        }
    }

    /// How many offsets there was no room for, ever.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn fit(&mut self) {
        let over = self.ranges.len().saturating_sub(MOST);
        let gone = self.ranges.drain(..over);
        self.forgotten += gone.map(|(first, end)| end - first).sum::<u64>();
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.unsigned(self.forgotten);
        let mut at = 0;
        for (first, end) in &self.ranges {
            out.unsigned(first - at);
            out.unsigned(end - first);
            at = *end;
        }
        out.done()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let forgotten = reader.unsigned()?;
        let (mut ranges, mut at) = (Vec::new(), 0u64);
        while !reader.is_empty() {
            let (gap, length) = (reader.unsigned()?, reader.unsigned()?);
            let first = at.checked_add(gap).ok_or(Malformed)?;
            let end = first.checked_add(length).ok_or(Malformed)?;
            // Those that touch would have been one; only the first may begin where the log does.
            if length == 0 || (gap == 0 && !ranges.is_empty()) || ranges.len() == MOST {
                return Err(Malformed);
            }
            ranges.push((first, end));
            at = end;
        }
        Ok(Self { ranges, forgotten })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn all(refused: &Refused) -> BTreeSet<u64> {
        let ranges = refused.ranges.iter();
        ranges.flat_map(|(first, end)| *first..*end).collect()
    }

    proptest! {
        /// The same as a set that keeps every offset, and it comes back as it went.
        #[test]
        fn ranges_hold_what_a_set_of_offsets_holds(
            gaps in prop::collection::vec(1u64..4, 0..300),
            taken in prop::collection::vec(0u64..900, 0..300),
            cut in 0u64..900,
        ) {
            let (mut refused, mut expected, mut at) = (Refused::default(), BTreeSet::new(), 0);
            for gap in gaps {
                refused.push(at);
                expected.insert(at);
                at += gap;
            }
            for offset in taken {
                prop_assert_eq!(refused.take(offset), expected.remove(&offset));
            }
            prop_assert_eq!(&all(&refused), &expected);
            prop_assert!(refused.ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
            prop_assert_eq!(Refused::decode(&refused.encode()), Ok(refused.clone()));
            refused.cut(cut);
            prop_assert_eq!(all(&refused), expected.split_off(&cut));
            prop_assert_eq!(refused.forgotten(), 0);
        }

        #[test]
        fn foreign_bytes_are_refused_or_read_and_never_a_panic(bytes: Vec<u8>) {
            if let Ok(refused) = Refused::decode(&bytes) {
                prop_assert_eq!(Refused::decode(&refused.encode()), Ok(refused));
            }
        }
    }

    #[test]
    fn the_oldest_ranges_are_let_go_and_their_offsets_numbered() {
        let mut refused = Refused::default();
        for number in 0..MOST as u64 + 2 {
            refused.push(number * 10);
            refused.push(number * 10 + 1);
        }
        assert_eq!((refused.ranges.len(), refused.forgotten()), (MOST, 4));
        assert!(!refused.take(10) && refused.take(20));
        // One in the middle of a range makes two of it.
        let mut run = Refused::default();
        (0..MOST as u64 * 2).for_each(|offset| run.push(offset));
        (1..=MOST as u64 - 1).for_each(|number| assert!(run.take(number * 2)));
        assert_eq!((run.ranges.len(), run.forgotten()), (MOST, 0));
        let size = run.encode().len();
        assert!(size < 4_000, "{size} bytes");
    }
}
