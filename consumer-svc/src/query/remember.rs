//! What long histories add up to, remembered from one page to the next.
//!
//! In: totals, and how many purchases there are now. Out: the same totals, while there are as many: this
//! service only ever adds purchases. A count reads the keys and adds nothing up. Short histories
//! are added up anew each time; and what is remembered is forgotten after a minute, so that a
//! hand that takes one purchase out and puts another in is not believed for longer.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use purchases::UserId;
use tokio::time::Instant;

use super::Totals;
use super::fair::LONG;
use super::range::Range;

/// How many are remembered. Each holds a thousand items at most.
const MOST: usize = 32;
/// For how long.
const FOR: Duration = Duration::from_secs(60);

type Known = (UserId, Range, Totals, Instant);

/// The longest remembered first.
#[derive(Default)]
pub(super) struct Remembered(Mutex<VecDeque<Known>>);

impl Remembered {
    /// What this range of this user's history added up to lately.
    pub(super) fn of(&self, user: &UserId, range: &Range) -> Option<Totals> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(.., since)| since.elapsed() < FOR);
        let found = known
            .iter()
            .find(|(of, in_range, ..)| of == user && in_range == range);
        found.map(|(_, _, totals, _)| totals.clone())
    }

    /// What it adds up to now.
    pub(super) fn note(&self, user: &UserId, range: &Range, totals: &Totals) {
        if totals.count < LONG {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(of, in_range, ..)| of != user || in_range != range);
        if known.len() == MOST {
            known.pop_front();
        }
        known.push_back((user.clone(), *range, totals.clone(), Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(count: u64) -> Totals {
        Totals {
            count,
            ..Totals::default()
        }
    }

    fn user(number: usize) -> UserId {
        UserId::parse(&format!("u{number}")).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_history_is_remembered_for_a_minute_and_a_short_one_never() {
        let remembered = Remembered::default();
        remembered.note(&user(0), &Range::WHOLE, &totals(LONG - 1));
        remembered.note(&user(1), &Range::WHOLE, &totals(LONG));
        remembered.note(&user(1), &Range::WHOLE, &totals(LONG + 1));
        let other = Range {
            since: None,
            until: purchases::Timestamp::from_millis(0),
        };
        assert_eq!(remembered.of(&user(0), &Range::WHOLE), None);
        assert_eq!(remembered.of(&user(1), &other), None);
        let known = remembered.of(&user(1), &Range::WHOLE);
        assert_eq!(known, Some(totals(LONG + 1)));
        tokio::time::advance(FOR).await;
        assert_eq!(remembered.of(&user(1), &Range::WHOLE), None);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_a_few_are_remembered() {
        let remembered = Remembered::default();
        for number in 0..=MOST {
            remembered.note(&user(number), &Range::WHOLE, &totals(LONG));
        }
        assert_eq!(remembered.of(&user(0), &Range::WHOLE), None);
        assert!(remembered.of(&user(1), &Range::WHOLE).is_some());
        assert_eq!(remembered.0.lock().unwrap().len(), MOST);
    }
}
