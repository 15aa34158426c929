//! The books of a credit account. In: requests, returns, limits. Out: grants, first come first served.
//!
//! Pure: imports neither tokio nor ractor and locks nothing; who calls it holds the lock. It wakes
//! nobody itself: wakers are handed out, to be woken after the lock is released.

use std::collections::BTreeMap;
use std::fmt;
use std::task::Waker;

use serde::Serialize;
use thiserror::Error;

/// What a piece of work takes up: records and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Cost {
    /// Records.
    pub count: usize,
    /// Bytes.
    pub bytes: usize,
}

impl Cost {
    /// So many pieces that are counted and not weighed: each is one in both parts, of what is taken and of
    /// the whole.
    ///
    /// ```
    /// use actors::{Cost, Credits, Refused};
    /// let questions = Credits::new("questions", Cost::pieces(1));
    /// let _asking = questions.try_take(Cost::pieces(1))?;
    /// assert!(questions.try_take(Cost::pieces(1)).is_err());
    /// # Ok::<(), Refused>(())
    /// ```
    pub const fn pieces(count: usize) -> Self {
        let bytes = count;
        Self { count, bytes }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// `None` if either part would fall below zero.
    pub(super) fn minus(self, other: Self) -> Option<Self> {
        Some(Self {
            count: self.count.checked_sub(other.count)?,
            bytes: self.bytes.checked_sub(other.bytes)?,
        })
    }

    /// No more than that, in either part.
    pub(super) fn least(self, most: Self) -> Self {
        Self {
            count: self.count.min(most.count),
            bytes: self.bytes.min(most.bytes),
        }
    }

    fn fits(self, limit: Self) -> bool {
        self.count <= limit.count && self.bytes <= limit.bytes
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records of {} bytes", self.count, self.bytes)
    }
}

/// Why no credit was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// None was free right now, or others wait for it already.
    #[error("no credit left")]
    NoneLeft,
    /// None came free in the time given.
    #[error("no credit came free in time")]
    TimedOut,
    /// More than there is in all; waiting would never end.
    #[error("asked for a credit of {asked}, the whole is {limit}")]
    TooLarge {
        /// What was asked for.
        asked: Cost,
        /// All there is.
        limit: Cost,
    },
    /// The receiver is gone for good.
    #[error("credits are closed")]
    Closed,
}

struct Waiting {
    cost: Cost,
    waker: Waker,
}

/// Names the receiver's incarnation a credit was taken under; what comes back under an older one is ignored.
pub(super) type Generation = u64;

pub(super) struct Ledger {
    limit: Cost,
    used: Cost,
    generation: Generation,
    closed: bool,
    next_ticket: u64,
    /// By ticket, so in the order of arrival.
    waiting: BTreeMap<u64, Waiting>,
    /// Granted, and not yet fetched by the future that waits.
    granted: BTreeMap<u64, Cost>,
    /// Taken out of the line by [`close`](Self::close) or a smaller limit, and not told yet.
    sent_away: BTreeMap<u64, Refused>,
}

/// What a waiting request finds when it looks.
pub(super) enum Look {
    Granted(Generation),
    Refused(Refused),
    Pending,
}

impl Ledger {
    pub(super) fn new(limit: Cost) -> Self {
        Self {
            limit,
            used: Cost::default(),
            generation: 0,
            closed: false,
            next_ticket: 0,
            waiting: BTreeMap::new(),
            granted: BTreeMap::new(),
            sent_away: BTreeMap::new(),
        }
    }

    pub(super) fn used(&self) -> Cost {
        self.used
    }

    pub(super) fn limit(&self) -> Cost {
        self.limit
    }

    /// Grants at once, if it fits and nobody came earlier.
    pub(super) fn try_take(&mut self, cost: Cost) -> Result<Generation, Refused> {
        self.refuse(cost)?;
        let used = self.used.plus(cost);
        if !self.waiting.is_empty() || !used.fits(self.limit) {
            return Err(Refused::NoneLeft);
        }
        self.used = used;
        Ok(self.generation)
    }

    /// Gets in line; the ticket is for [`look`](Self::look) and [`leave`](Self::leave).
    pub(super) fn enqueue(&mut self, cost: Cost, waker: Waker) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.insert(ticket, Waiting { cost, waker });
        ticket
    }

    pub(super) fn look(&mut self, ticket: u64, waker: &Waker) -> Look {
        if self.granted.remove(&ticket).is_some() {
            return Look::Granted(self.generation);
        }
        if let Some(waiting) = self.waiting.get_mut(&ticket) {
            waiting.waker.clone_from(waker);
            return Look::Pending;
        }
        Look::Refused(self.sent_away.remove(&ticket).unwrap_or(Refused::Closed))
    }

    /// The request is given up, granted or not.
    pub(super) fn leave(&mut self, ticket: u64, cost: Cost) -> Vec<Waker> {
        if self.granted.remove(&ticket).is_some() {
            self.give_back(cost, self.generation)
        } else if self.waiting.remove(&ticket).is_some() {
            self.grant()
        } else {
            self.sent_away.remove(&ticket);
            Vec::new()
        }
    }

    pub(super) fn give_back(&mut self, cost: Cost, generation: Generation) -> Vec<Waker> {
        if generation != self.generation {
            return Vec::new();
        }
        self.used = self.used.minus(cost).unwrap_or_default();
        if self.waiting.is_empty() {
            Vec::new()
        } else {
            self.grant()
        }
    }

    /// A smaller limit takes hold as credits come back; who asks for more than the whole is sent away.
    pub(super) fn resize(&mut self, limit: Cost) -> Vec<Waker> {
        self.limit = limit;
        let gone: Vec<_> = self
            .waiting
            .extract_if(.., |_, waiting| !waiting.cost.fits(limit))
            .collect();
        let mut wakers = Vec::with_capacity(gone.len());
        for (ticket, Waiting { cost: asked, waker }) in gone {
            let too_large = Refused::TooLarge { asked, limit };
            self.sent_away.insert(ticket, too_large);
            wakers.push(waker);
        }
        wakers.append(&mut self.grant());
        wakers
    }

    /// Everything taken so far counts as returned.
    pub(super) fn reclaim(&mut self) -> Vec<Waker> {
        self.generation += 1;
        // Grants nobody fetched yet belong to the new generation.
        self.used = self
            .granted
            .values()
            .fold(Cost::default(), |sum, cost| sum.plus(*cost));
        self.grant()
    }

    pub(super) fn close(&mut self) -> Vec<Waker> {
        self.closed = true;
        let mut wakers = Vec::with_capacity(self.waiting.len());
        for (ticket, Waiting { waker, .. }) in std::mem::take(&mut self.waiting) {
            self.sent_away.insert(ticket, Refused::Closed);
            wakers.push(waker);
        }
        wakers
    }

    fn refuse(&self, cost: Cost) -> Result<(), Refused> {
        if self.closed {
            Err(Refused::Closed)
        } else if cost.fits(self.limit) {
            Ok(())
        } else {
            Err(Refused::TooLarge {
                asked: cost,
                limit: self.limit,
            })
        }
    }

    /// Strictly in the order of arrival: a large request at the head is not overtaken by small ones.
    fn grant(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        while let Some(first) = self.waiting.first_entry() {
            let used = self.used.plus(first.get().cost);
            if !used.fits(self.limit) {
                break;
            }
            self.used = used;
            let (ticket, waiting) = first.remove_entry();
            self.granted.insert(ticket, waiting.cost);
            wakers.push(waiting.waker);
        }
        wakers
    }
}
