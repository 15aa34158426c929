//! How much one client may send: a token bucket a client, in a book of fixed size.
//!
//! In: a client, and the time, which is passed in. Out: yes, or how long to wait. A bucket is one
//! number, the moment at which it will be full again (GCRA). The book has two halves: who comes is
//! written into the young one; when that is full the old one is forgotten and the young one becomes
//! the old. So the clients that were away longest go first, nothing is ever swept, and a client that
//! is forgotten has its bucket full, as after a pause. Ready-made limiters by key were left out
//! because their books grow until somebody sweeps them.

use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::client::key;
use crate::env::{Reader, Var, count_in};

/// What can be told.
pub const VARS: &[Var] = &[
    Var::optional(
        "RATE_LIMIT",
        "purchases a second that one client may send, such as 5 or 0.5; more get 429. Without it nobody is limited",
    ),
    Var::with_default(
        "RATE_LIMIT_BURST",
        "20",
        "purchases that a client may send at once before RATE_LIMIT holds, 1 to 1000000",
    ),
    Var::with_default(
        "RATE_LIMIT_CLIENTS",
        "20000",
        "clients that are remembered, 2 to 1000000; beyond it those go first that were away longest",
    ),
];

/// What is allowed.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    /// One more is allowed each time this has passed.
    pub every: Duration,
    /// So many at once.
    pub burst: u32,
    /// Clients that are remembered.
    pub clients: usize,
}

impl RateLimit {
    /// Reads [`VARS`]; `None` if the reader noted errors.
    pub fn read(reader: &mut Reader<'_>) -> Option<Option<Self>> {
        let every = reader.optional("RATE_LIMIT", interval);
        let burst = reader.get("RATE_LIMIT_BURST", count_in(1..=1_000_000));
        let clients = reader.get("RATE_LIMIT_CLIENTS", count_in(2..=1_000_000));
        let every = every?;
        let (burst, clients) = (u32::try_from(burst?).ok()?, clients?);
        Some(every.map(|every| Self {
            every,
            burst,
            clients,
        }))
    }
}

/// The time between two at this rate a second.
fn interval(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "is not a number a second from 0.001 to 1000000, such as 5 or 0.5";
    let rate: f64 = text.parse().map_err(|_| WRONG)?;
    if (0.001..=1_000_000.0).contains(&rate) {
        Ok(Duration::from_secs_f64(1.0 / rate))
    } else {
        Err(WRONG)
    }
}

/// The book of clients.
pub struct Limiter {
    every: u64,
    burst: u64,
    half: usize,
    born: Instant,
    book: Mutex<Book>,
}

/// Moments are nanoseconds since the limiter was made.
#[derive(Default)]
struct Book {
    young: HashMap<IpAddr, u64>,
    old: HashMap<IpAddr, u64>,
}

impl Limiter {
    /// An empty book. `now` is the earliest moment that [`Limiter::admit`] will be told.
    pub fn new(limit: &RateLimit, now: Instant) -> Self {
        Self {
            every: nanos(limit.every).max(1),
            burst: u64::from(limit.burst.max(1)),
            half: (limit.clients / 2).max(1),
            born: now,
            book: Mutex::default(),
        }
    }

    /// Takes one from the client's bucket.
    ///
    /// # Errors
    /// How long until there is one; the bucket is left as it was.
    pub fn admit(&self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        let client = key(client);
        let now = nanos(now.saturating_duration_since(self.born));
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = book.full_at(client).unwrap_or(now).max(now);
        // One place short of the whole burst: the one that is asked for.
        let room = self.every.saturating_mul(self.burst - 1);
        let verdict = match full_at.saturating_sub(room) {
            due if due > now => Err(Duration::from_nanos(due - now)),
            _ => Ok(()),
        };
        let full_at = match verdict {
            Ok(()) => full_at.saturating_add(self.every),
            Err(_) => full_at,
        };
        book.write(client, full_at, self.half);
        verdict
    }

    /// Clients in the book.
    pub fn clients(&self) -> usize {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.young.len() + book.old.len()
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("clients", &self.clients())
            .finish_non_exhaustive()
    }
}

impl Book {
    fn full_at(&mut self, client: IpAddr) -> Option<u64> {
        let young = self.young.get(&client).copied();
        young.or_else(|| self.old.remove(&client))
    }

    fn write(&mut self, client: IpAddr, full_at: u64, half: usize) {
        if self.young.len() >= half && !self.young.contains_key(&client) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(client, full_at);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
