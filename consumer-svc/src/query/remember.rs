//! What long histories add up to, remembered from one page to the next.
//!
//! In: sums, as they are read for a first page. Out: the same for the pages behind it, for a few
//! seconds: who walks through a long history has it added up now and then and not with every step. Short
//! ones are added up each time, and so is every first page.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use purchases::UserId;
use tokio::time::Instant;

use super::fair::LONG;
use super::range::Range;

/// How many are remembered. Each holds a thousand items at most.
const MOST: usize = 32;
/// For how long. So old are the totals beside a further page at most.
pub(super) const FOR: Duration = Duration::from_secs(10);

/// The longest remembered first.
pub(super) struct Remembered<T>(Mutex<VecDeque<Known<T>>>);

struct Known<T> {
    user: UserId,
    range: Range,
    since: Instant,
    sum: T,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Remembered<T> {
    /// What this range of this user's history added up to a moment ago.
    pub(super) fn of(&self, user: &UserId, range: &Range) -> Option<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| known.since.elapsed() < FOR);
        let found = all
            .iter()
            .find(|known| known.user == *user && known.range == *range);
        found.map(|known| known.sum.clone())
    }

    /// What so many purchases add up to now.
    pub(super) fn note(&self, user: &UserId, range: &Range, purchases: u64, sum: &T) {
        if purchases < LONG {
            return;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| known.user != *user || known.range != *range);
        if all.len() == MOST {
            all.pop_front();
        }
        all.push_back(Known {
            user: user.clone(),
            range: *range,
            since: Instant::now(),
            sum: sum.clone(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: usize) -> UserId {
        UserId::parse(&format!("u{number}")).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_history_is_remembered_for_seconds_and_a_short_one_never() {
        let remembered = Remembered::default();
        remembered.note(&user(0), &Range::WHOLE, LONG - 1, &"short");
        remembered.note(&user(1), &Range::WHOLE, LONG, &"older");
        remembered.note(&user(1), &Range::WHOLE, LONG, &"newer");
        let other = Range {
            since: None,
            until: purchases::Timestamp::from_millis(0),
        };
        assert_eq!(remembered.of(&user(0), &Range::WHOLE), None);
        assert_eq!(remembered.of(&user(1), &other), None);
        assert_eq!(remembered.of(&user(1), &Range::WHOLE), Some("newer"));
        tokio::time::advance(FOR).await;
        assert_eq!(remembered.of(&user(1), &Range::WHOLE), None);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_a_few_are_remembered() {
        let remembered = Remembered::default();
        for number in 0..=MOST {
            remembered.note(&user(number), &Range::WHOLE, LONG, &number);
        }
        assert_eq!(remembered.of(&user(0), &Range::WHOLE), None);
        assert_eq!(remembered.of(&user(1), &Range::WHOLE), Some(1));
        assert_eq!(remembered.0.lock().unwrap().len(), MOST);
    }
}
