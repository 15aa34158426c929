//! The lock around the books and the future that waits in line. In: requests. Out: grants.
//!
//! The lock comes from `super::sync`, so that the model checker can compile this very file against
//! its own. Wakers are woken after the lock is released.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::ledger::{Cost, Generation, Ledger, Look, Refused};
use super::sync::{AtomicBool, Mutex, Ordering, lock};

pub(super) struct Gate {
    ledger: Mutex<Ledger>,
}

impl Gate {
    pub(super) fn new(limit: Cost) -> Self {
        Self {
            ledger: Mutex::new(Ledger::new(limit)),
        }
    }

    pub(super) fn try_take(&self, cost: Cost) -> Result<Generation, Refused> {
        lock(&self.ledger).try_take(cost)
    }

    pub(super) fn wait(&self, cost: Cost) -> Wait<'_> {
        Wait {
            gate: self,
            cost,
            ticket: None,
        }
    }

    pub(super) fn give_back(&self, cost: Cost, generation: Generation) {
        self.change(|ledger| ledger.give_back(cost, generation));
    }

    pub(super) fn resize(&self, limit: Cost) {
        self.change(|ledger| ledger.resize(limit));
    }

    pub(super) fn reclaim(&self) {
        self.change(Ledger::reclaim);
    }

    pub(super) fn close(&self) {
        self.change(Ledger::close);
    }

    pub(super) fn used(&self) -> Cost {
        lock(&self.ledger).used()
    }

    pub(super) fn limit(&self) -> Cost {
        lock(&self.ledger).limit()
    }

    fn change(&self, change: impl FnOnce(&mut Ledger) -> Vec<Waker>) {
        let wakers = change(&mut lock(&self.ledger));
        for waker in wakers {
            waker.wake();
        }
    }
}

/// What was taken. It comes back once, whoever gives it back.
pub(super) struct Share {
    cost: Cost,
    generation: Generation,
    /// Given back already, although somebody still holds it.
    is_back: AtomicBool,
}

impl Share {
    pub(super) fn new(cost: Cost, generation: Generation) -> Self {
        Self {
            cost,
            generation,
            is_back: AtomicBool::new(false),
        }
    }

    pub(super) fn cost(&self) -> Cost {
        self.cost
    }

    /// A part of it, to be given back on its own. `None` if there is not as much.
    pub(super) fn split(&mut self, part: Cost) -> Option<Self> {
        if self.is_back.load(Ordering::Acquire) {
            return None;
        }
        self.cost = self.cost.minus(part)?;
        Some(Self::new(part, self.generation))
    }

    pub(super) fn give_back(&self, gate: &Gate) {
        if !self.is_back.swap(true, Ordering::AcqRel) {
            gate.give_back(self.cost, self.generation);
        }
    }
}

/// In line for a credit. Dropping it leaves the line; a grant nobody fetched goes to the next.
pub(super) struct Wait<'a> {
    gate: &'a Gate,
    cost: Cost,
    /// Present while in line, or granted and not fetched.
    ticket: Option<u64>,
}

impl Future for Wait<'_> {
    type Output = Result<Generation, Refused>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut ledger = lock(&this.gate.ledger);
        let Some(ticket) = this.ticket else {
            match ledger.try_take(this.cost) {
                Err(Refused::NoneLeft) => {
                    this.ticket = Some(ledger.enqueue(this.cost, cx.waker().clone()))
                }
                taken => return Poll::Ready(taken),
            }
            return Poll::Pending;
        };
        let seen = match ledger.look(ticket, cx.waker()) {
            Look::Pending => return Poll::Pending,
            Look::Granted(generation) => Ok(generation),
            Look::Refused(refused) => Err(refused),
        };
        this.ticket = None;
        Poll::Ready(seen)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let cost = self.cost;
            self.gate.change(|ledger| ledger.leave(ticket, cost));
        }
    }
}
