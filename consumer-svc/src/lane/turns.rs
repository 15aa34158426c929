//! Since when the oldest record that is not settled has been under way. Pure: the clock is given.
//!
//! In: how many records each turn admitted and when, and how many the settled prefix has passed, in
//! the same order. One moment a turn and not a record, so the age is at most a turn's too long.

use std::collections::VecDeque;
use std::time::Instant;

/// Turns with records that the settled prefix has not passed. No more than may be read ahead.
#[derive(Default)]
pub(super) struct Turns {
    begun: u64,
    passed: u64,
    /// How many were begun at each turn's end, and when that was.
    open: VecDeque<(u64, Instant)>,
}

impl Turns {
    pub(super) fn begin(&mut self, count: u64, now: Instant) {
        self.begun += count;
        self.open.push_back((self.begun, now));
    }

    pub(super) fn pass(&mut self, count: u64) {
        self.passed += count;
        let passed = self.passed;
        while self.open.front().is_some_and(|(end, _)| *end <= passed) {
            self.open.pop_front();
        }
    }

    /// When the oldest was admitted, if one is under way.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.open.front().map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_is_of_the_first_turn_that_is_not_wholly_passed() {
        let start = Instant::now();
        let later = start + Duration::from_secs(5);
        let mut turns = Turns::default();
        assert_eq!(turns.oldest(), None);
        turns.begin(3, start);
        turns.begin(2, later);
        turns.pass(2);
        assert_eq!(turns.oldest(), Some(start), "one of the first is left");
        turns.pass(1);
        assert_eq!(turns.oldest(), Some(later));
        turns.pass(2);
        assert_eq!(turns.oldest(), None, "nothing is under way");
    }
}
