//! How much bad a partition may hold before it is stopped. Pure.
//!
//! In: offsets of bad records, in any order and more than once. Out: whether there are too many.
//! It never hears of good records, which therefore cost nothing: they are the gaps.

use std::collections::BTreeSet;
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
    bad: BTreeSet<u64>,
}

impl Limit {
    pub(super) fn new(limits: BadLimits) -> Self {
        Self {
            limits,
            bad: BTreeSet::new(),
        }
    }

    /// Notes a bad record. One that was noted before, because it was read again, changes nothing.
    pub(super) fn bad(&mut self, offset: u64) -> Result<(), Crossed> {
        self.bad.insert(offset);
        let BadLimits { run, window, .. } = self.limits;
        let newest = self.bad.last().copied().unwrap_or(offset);
        // A run may be longer than the window.
        let keep = (newest + 1).saturating_sub(window.max(run) as u64);
        if self.bad.first().is_some_and(|first| *first < keep) {
            self.bad = self.bad.split_off(&keep);
        }
        let behind = (1..=offset).map_while(|back| self.bad.get(&(offset - back)));
        let before = (offset + 1..).map_while(|next| self.bad.get(&next));
        let found = 1 + behind.take(run).count() + before.take(run).count();
        if found >= run {
            return Err(Crossed::Run(found));
        }
        let from = (newest + 1).saturating_sub(window as u64);
        let found = self.bad.range(from..).count();
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
            assert_eq!(limit.bad(offset), Ok(()), "{offset}");
        }
        assert_eq!(limit.bad(19), Err(Crossed::Run(5)));
    }

    #[test]
    fn a_run_is_one_in_whatever_order_it_is_noted() {
        let mut limit = limit();
        for offset in [104, 100, 103, 101] {
            assert_eq!(limit.bad(offset), Ok(()));
        }
        assert_eq!(limit.bad(102), Err(Crossed::Run(5)));
    }

    #[test]
    fn half_of_the_window_is_too_much_and_less_never_is() {
        let mut every_second = limit();
        let crossed: Vec<u64> = (0..20)
            .map(|number| number * 2)
            .filter(|offset| every_second.bad(*offset).is_err())
            .collect();
        assert_eq!(crossed.first(), Some(&18), "the tenth of twenty");
        let mut every_third = limit();
        assert!((0..1000).all(|number| every_third.bad(number * 3).is_ok()));
        assert!(every_third.bad.len() <= 20, "it forgets what is long past");
    }

    #[test]
    fn a_record_that_is_read_again_counts_once() {
        let mut limit = limit();
        assert!((0..100).all(|_| limit.bad(7).is_ok()));
    }
}
