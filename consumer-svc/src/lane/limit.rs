//! How much bad a partition may hold before it is stopped. Pure.
//!
//! In: offsets of bad records, in any order and more than once, and of those among them that somebody sent
//! back from the dead letters. Out: whether there are too many.
//! It never hears of good records, which therefore cost nothing: they are the gaps.

use std::collections::BTreeMap;
use std::fmt;

/// When a partition counts as broken rather than as having a bad record now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLimits {
    /// Bad records in a row.
    pub run: usize,
    /// Offsets that are looked back over.
    pub window: usize,
    /// Percentage of the window that may not be bad.
    pub percent: usize,
}

impl BadLimits {
    fn in_window(&self) -> usize {
        (self.window * self.percent).div_ceil(100).max(1)
    }
}

/// What was crossed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crossed {
    /// So many in a row.
    Run(usize),
    /// So many among so many offsets.
    Ratio(usize, usize),
}

impl fmt::Display for Crossed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(run) => write!(f, "{run} bad records in a row (BAD_RUN_LIMIT)"),
            Self::Ratio(bad, window) => write!(
                f,
                "{bad} bad records among {window} (BAD_PERCENT_LIMIT, BAD_WINDOW_RECORDS)"
            ),
        }
    }
}

/// The bad offsets of one partition.
#[derive(Debug)]
pub(super) struct Limit {
    limits: BadLimits,
    /// And whether each counts.
    bad: BTreeMap<u64, bool>,
}

impl Limit {
    pub(super) fn new(limits: BadLimits) -> Self {
        Self {
            limits,
            bad: BTreeMap::new(),
        }
    }

    /// Notes a bad record. One that was noted before, because it was read again, changes nothing. One that
    /// came back is neither good nor bad: it ends no run, and adds to none.
    pub(super) fn bad(&mut self, offset: u64, came_back: bool) -> Result<(), Crossed> {
        self.bad.insert(offset, !came_back);
        let BadLimits { run, window, .. } = self.limits;
        let newest = self.bad.last_key_value().map_or(offset, |(last, _)| *last);
        // A run may be longer than the window.
        let keep = (newest + 1).saturating_sub(window.max(run) as u64);
        if self
            .bad
            .first_key_value()
            .is_some_and(|(first, _)| *first < keep)
        {
            self.bad = self.bad.split_off(&keep);
        }
        if came_back {
            return Ok(());
        }
        let behind = (1..=offset).map_while(|back| self.bad.get(&(offset - back)));
        let before = (offset + 1..).map_while(|next| self.bad.get(&next));
        let counted = |noted: &&bool| **noted;
        let found =
            1 + behind.filter(counted).take(run).count() + before.filter(counted).take(run).count();
        if found >= run {
            return Err(Crossed::Run(found));
        }
        let from = (newest + 1).saturating_sub(window as u64);
        let found = self
            .bad
            .range(from..)
            .filter(|(_, counts)| **counts)
            .count();
        match found >= self.limits.in_window() {
            true => Err(Crossed::Ratio(found, window)),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit() -> Limit {
        Limit::new(BadLimits {
            run: 5,
            window: 20,
            percent: 50,
        })
    }

    #[test]
    fn the_fifth_in_a_row_is_one_too_many_and_a_good_one_between_begins_anew() {
        let mut limit = limit();
        for offset in [10, 11, 12, 13, /* 14 is good */ 15, 16, 17, 18] {
            assert_eq!(limit.bad(offset, false), Ok(()), "{offset}");
        }
        assert_eq!(limit.bad(19, false), Err(Crossed::Run(5)));
    }

    #[test]
    fn a_run_is_one_in_whatever_order_it_is_noted() {
        let mut limit = limit();
        for offset in [104, 100, 103, 101] {
            assert_eq!(limit.bad(offset, false), Ok(()));
        }
        assert_eq!(limit.bad(102, false), Err(Crossed::Run(5)));
    }

    #[test]
    fn half_of_the_window_is_too_much_and_less_never_is() {
        let mut every_second = limit();
        let crossed: Vec<u64> = (0..20)
            .map(|number| number * 2)
            .filter(|offset| every_second.bad(*offset, false).is_err())
            .collect();
        assert_eq!(crossed.first(), Some(&18), "the tenth of twenty");
        let mut every_third = limit();
        assert!((0..1000).all(|number| every_third.bad(number * 3, false).is_ok()));
        assert!(every_third.bad.len() <= 20, "it forgets what is long past");
    }

    #[test]
    fn a_record_that_is_read_again_counts_once() {
        let mut limit = limit();
        assert!((0..100).all(|_| limit.bad(7, false).is_ok()));
    }

    #[test]
    fn what_comes_back_never_counts_and_hides_nothing_that_does() {
        let mut limit = limit();
        assert!((0..1000).all(|offset| limit.bad(offset, true).is_ok()));
        assert!(limit.bad.len() <= 20, "it forgets what is long past");
        // Between what comes back a run is still one.
        for offset in [1000, 1002, 1004, 1006] {
            assert_eq!(limit.bad(offset, false), Ok(()), "{offset}");
            assert_eq!(limit.bad(offset + 1, true), Ok(()));
        }
        assert_eq!(limit.bad(1008, false), Err(Crossed::Run(5)));
    }
}
