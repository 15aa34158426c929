//! Whose read may go to the database now.
//!
//! In: users whose histories are wanted. Out: turns, given back by being dropped. A page is as cheap for
//! everybody and waits for nobody. What a history adds up to is as dear as it is long: those reads stand
//! in lines by size, so that a short one never waits for a long one, and in each line users take turns,
//! one read of a user at a time, so that nobody waits for how much another one asks.

mod line;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actors::{Cost, Credits, Permit};
use purchases::UserId;
use tokio::time::{Instant, timeout_at};

use self::line::{Lines, Ticket};

/// Reads of one user at a time, under way and in line: of different pages, and of different ranges, as the
/// same ones are shared.
const EACH: usize = 4;
/// From so many purchases on a history is a long one: adding it up takes the database long enough for
/// others to notice.
pub(super) const LONG: u64 = 10_000;
/// Where the lines of the long ones begin. What is in one of them is at most four times as long as another
/// in it, so a turn there is worth about the same to everybody.
const BEGINNINGS: [u64; 4] = [LONG, 4 * LONG, 16 * LONG, 64 * LONG];
/// How many users with long histories are remembered. Who is forgotten is noticed again.
const REMEMBERED: usize = 4_096;

/// No turn: too many reads of this user, or no turn in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoTurn;

/// The order of reads. Clones are one thing.
#[derive(Clone)]
pub struct Fair {
    pages: Credits,
    answer: Duration,
    book: Arc<Mutex<Book>>,
}

struct Book {
    /// Pages that are being read, by user.
    pages: HashMap<UserId, usize>,
    lines: Lines,
    sizes: Sizes,
}

/// How long the long histories are, as they were last seen.
#[derive(Default)]
struct Sizes {
    known: HashMap<UserId, u64>,
    /// The same users, the longest known first.
    noted: VecDeque<UserId>,
}

impl Sizes {
    /// The line that a user's reads belong in.
    fn line(&self, user: &UserId) -> usize {
        let size = self.known.get(user).copied().unwrap_or_default();
        BEGINNINGS.iter().filter(|begin| size >= **begin).count()
    }

    fn note(&mut self, user: &UserId, purchases: u64) {
        if purchases < LONG {
            return;
        }
        if let Some(known) = self.known.get_mut(user) {
            // Nothing is ever taken away, but a range of it may be what was added up.
            *known = purchases.max(*known);
            return;
        }
        self.known.insert(user.clone(), purchases);
        self.noted.push_back(user.clone());
        if self.noted.len() > REMEMBERED
            && let Some(oldest) = self.noted.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// One page may be read.
pub(super) struct PageTurn {
    _permit: Permit,
    user: UserId,
    book: Arc<Mutex<Book>>,
}

impl Drop for PageTurn {
    fn drop(&mut self) {
        let mut book = lock(&self.book);
        if let Some(reading) = book.pages.get_mut(&self.user) {
            *reading -= 1;
            if *reading == 0 {
                book.pages.remove(&self.user);
            }
        }
    }
}

/// A place in line, and then the turn itself.
pub(super) struct Turn {
    user: UserId,
    ticket: Ticket,
    book: Arc<Mutex<Book>>,
}

impl Drop for Turn {
    /// Also of one that never came: it leaves the line.
    fn drop(&mut self) {
        let mut book = lock(&self.book);
        let Book { lines, sizes, .. } = &mut *book;
        let belongs = sizes.line(&self.user);
        lines.leave(&self.user, self.ticket, belongs);
    }
}

impl Fair {
    /// At most `all` pages and as many totals of short histories at a time, and `long` totals of long ones
    /// of each size. `answer` is how long a whole answer may take.
    pub fn new(all: usize, long: usize, answer: Duration) -> Self {
        let turns = |name: &str, most| Credits::new(name, Cost::pieces(most));
        let short = turns("totals", all);
        let long = BEGINNINGS.map(|begin| turns(&format!("totals_from_{begin}"), long));
        let lines = std::iter::once(short).chain(long).collect();
        Self {
            pages: turns("queries", all),
            // A deadline has to be a moment that the clock knows.
            answer: answer.min(Duration::from_secs(24 * 60 * 60)),
            book: Arc::new(Mutex::new(Book {
                pages: HashMap::new(),
                lines: Lines::new(lines, (EACH, all)),
                sizes: Sizes::default(),
            })),
        }
    }

    /// The bounds, to be shown.
    pub fn credits(&self) -> Vec<Credits> {
        let book = lock(&self.book);
        let lines = book.lines.turns().cloned();
        std::iter::once(self.pages.clone()).chain(lines).collect()
    }

    /// How many reads there are at the same time.
    pub fn most(&self) -> usize {
        self.credits().iter().map(|turns| turns.limit().count).sum()
    }

    /// When an answer that is asked for now is to be there.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.answer
    }

    /// Whether a read that would begin now might come to its end by then.
    pub(super) fn leaves_time(&self, by: Instant) -> bool {
        Instant::now() < by - self.answer / 2
    }

    /// A turn for a page, now or not at all.
    pub(super) fn page(&self, user: &UserId) -> Result<PageTurn, NoTurn> {
        let permit = self.pages.try_take(Cost::pieces(1)).map_err(|_| NoTurn)?;
        let mut book = lock(&self.book);
        let reading = book.pages.entry(user.clone()).or_default();
        if *reading == EACH {
            return Err(NoTurn);
        }
        *reading += 1;
        Ok(PageTurn {
            _permit: permit,
            user: user.clone(),
            book: Arc::clone(&self.book),
        })
    }

    /// A turn to add up this user's history for an answer that is wanted by then. Half of the time that an
    /// answer may take is left for the reading: what would begin later would come to no end in time, and
    /// keep the database from others.
    pub(super) async fn totals(&self, user: &UserId, by: Instant) -> Result<Turn, NoTurn> {
        let (ticket, begun) = {
            let mut book = lock(&self.book);
            let Book { lines, sizes, .. } = &mut *book;
            lines.enter(user, sizes.line(user)).ok_or(NoTurn)?
        };
        let turn = Turn {
            user: user.clone(),
            ticket,
            book: Arc::clone(&self.book),
        };
        match timeout_at(by - self.answer / 2, begun).await {
            Ok(Ok(())) => Ok(turn),
            // Too late, or sent away to make room for who asks for less.
            Err(_) | Ok(Err(_)) => Err(NoTurn),
        }
    }

    /// A user was seen to have so many purchases.
    pub(super) fn seen(&self, user: &UserId, purchases: u64) {
        lock(&self.book).sizes.note(user, purchases);
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}
