//! Whose read may go to the database now.
//!
//! In: users whose histories are wanted. Out: turns, given back by being dropped. Reads are bounded all
//! together, for each user, and once more for the users whose histories are known to be long: those
//! wait for one of a few turns of their own, so that the others' answers never queue behind them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actors::{Cost, Credits, Permit, Refused};
use purchases::UserId;

/// Reads of one user at a time: of different pages and ranges, as the same ones are shared.
const EACH: usize = 4;
/// From so many purchases on a history is a long one: reading its totals takes the database long
/// enough for others to notice.
pub(super) const LONG: u64 = 10_000;
/// How many users with long histories are remembered. Who is forgotten is noticed again.
const REMEMBERED: usize = 4_096;

/// The order of reads. Clones are one thing.
#[derive(Clone)]
pub struct Fair {
    all: Credits,
    long: Credits,
    wait: Duration,
    book: Arc<Mutex<Book>>,
}

#[derive(Default)]
struct Book {
    reading: HashMap<UserId, usize>,
    long: HashSet<UserId>,
    /// The same, the longest known first.
    noted: VecDeque<UserId>,
}

/// One read may go on.
pub(super) struct Turn {
    _permits: [Option<Permit>; 2],
    _place: Place,
}

struct Place {
    user: UserId,
    book: Arc<Mutex<Book>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut book = lock(&self.book);
        if let Some(reading) = book.reading.get_mut(&self.user) {
            *reading -= 1;
            if *reading == 0 {
                book.reading.remove(&self.user);
            }
        }
    }
}

impl Fair {
    /// At most `all` reads, and `long` of long histories, which wait so long for their turn.
    pub fn new(all: usize, long: usize, wait: Duration) -> Self {
        Self {
            all: Credits::new("queries", Cost::pieces(all)),
            long: Credits::new("long_queries", Cost::pieces(long)),
            wait,
            book: Arc::default(),
        }
    }

    /// The bounds, to be shown.
    pub fn credits(&self) -> [&Credits; 2] {
        [&self.all, &self.long]
    }

    /// A turn for a read of this user's history.
    pub(super) async fn turn(&self, user: &UserId) -> Result<Turn, Refused> {
        let (place, long) = {
            let mut book = lock(&self.book);
            let reading = book.reading.get(user).copied().unwrap_or_default();
            if reading == EACH {
                return Err(Refused::NoneLeft);
            }
            book.reading.insert(user.clone(), reading + 1);
            let place = Place {
                user: user.clone(),
                book: Arc::clone(&self.book),
            };
            (place, book.long.contains(user))
        };
        let one = Cost::pieces(1);
        // First the scarce one: who waits for it takes nothing from the others.
        let long = match long {
            true => Some(self.long.take(one, self.wait).await?),
            false => None,
        };
        Ok(Turn {
            _permits: [Some(self.all.try_take(one)?), long],
            _place: place,
        })
    }

    /// A user was seen to have so many purchases.
    pub(super) fn seen(&self, user: &UserId, purchases: u64) {
        if purchases < LONG {
            return;
        }
        let mut book = lock(&self.book);
        if book.long.insert(user.clone()) {
            book.noted.push_back(user.clone());
            if book.noted.len() > REMEMBERED
                && let Some(oldest) = book.noted.pop_front()
            {
                book.long.remove(&oldest);
            }
        }
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(5);

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn one_user_has_a_few_turns_and_leaves_the_others_theirs() {
        let fair = Fair::new(64, 1, WAIT);
        let mut turns = Vec::new();
        for _ in 0..EACH {
            turns.push(fair.turn(&user("u1")).await.ok().unwrap());
        }
        assert!(fair.turn(&user("u1")).await.is_err());
        assert!(fair.turn(&user("u2")).await.is_ok());
        turns.pop();
        assert!(fair.turn(&user("u1")).await.is_ok());
        turns.clear();
        assert!(lock(&fair.book).reading.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn long_histories_wait_for_each_other_and_nobody_waits_for_them() {
        let fair = Fair::new(2, 1, WAIT);
        for name in ["long", "longer"] {
            fair.seen(&user(name), LONG);
        }
        fair.seen(&user("short"), LONG - 1);
        let first = fair.turn(&user("long")).await.ok().unwrap();
        let mut second = Box::pin({
            let fair = fair.clone();
            async move { fair.turn(&user("longer")).await }
        });
        let waited = tokio::time::timeout(WAIT / 2, &mut second).await;
        assert!(waited.is_err());
        // There is a turn left, and who waits for a long one does not hold it.
        assert!(fair.turn(&user("short")).await.is_ok());
        drop(first);
        assert!(second.await.is_ok());
        assert!(lock(&fair.book).reading.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told_so() {
        let fair = Fair::new(2, 1, WAIT);
        fair.seen(&user("long"), LONG);
        let _first = fair.turn(&user("long")).await.ok().unwrap();
        let refused = fair.turn(&user("long")).await.err();
        assert!(matches!(refused, Some(Refused::TimedOut)), "{refused:?}");
    }

    #[test]
    fn no_more_are_remembered_than_a_few_thousand() {
        let fair = Fair::new(1, 1, WAIT);
        for number in 0..=REMEMBERED {
            fair.seen(&user(&format!("u{number}")), LONG);
        }
        let book = lock(&fair.book);
        assert_eq!(
            (book.long.len(), book.noted.len()),
            (REMEMBERED, REMEMBERED)
        );
        assert!(!book.long.contains(&user("u0")));
    }
}
