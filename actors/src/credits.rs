//! Bounded flow. In: requests for room (records and bytes). Out: permits that give it back when dropped.
//!
//! Mailboxes are unbounded, so the work is bounded instead: a sender takes a credit of its receiver
//! and the credit comes back when the work is settled, not when it is received, or when its receiver
//! died and nobody is going to settle it ([`ChildSpec::reclaims`](crate::ChildSpec::reclaims)). Control
//! messages need none.

mod gate;
mod ledger;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

pub use ledger::{Cost, Refused};

use crate::metrics;
use crate::sync;
use gate::{Gate, Share};

/// An account of credits, shared by cloning.
///
/// ```
/// use actors::{Cost, Credits, Refused};
/// let room = Credits::new("write", Cost { count: 2, bytes: 100 });
/// let permit = room.try_take(Cost { count: 2, bytes: 10 })?;
/// assert!(matches!(room.try_take(Cost { count: 1, bytes: 1 }), Err(Refused::NoneLeft)));
/// drop(permit);
/// assert_eq!(room.in_use(), Cost::default());
/// # Ok::<(), Refused>(())
/// ```
#[derive(Clone)]
pub struct Credits {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    gate: Gate,
}

impl Credits {
    /// Which account it is, whatever its name.
    pub(crate) fn account(&self) -> usize {
        Arc::as_ptr(&self.inner).addr()
    }

    /// An account with `limit` to give; the name labels its gauges.
    ///
    /// # Panics
    /// If a part of the limit is zero: nothing could ever be taken.
    pub fn new(name: impl Into<String>, limit: Cost) -> Self {
        let name = name.into();
        Self::check(&name, limit);
        let inner = Arc::new(Inner {
            name,
            gate: Gate::new(limit),
        });
        metrics::watch_credits(&WeakCredits(Arc::downgrade(&inner)));
        Self { inner }
    }

    /// Takes a credit now or not at all. Never overtakes a request that waits.
    ///
    /// # Errors
    /// [`Refused::NoneLeft`], [`Refused::TooLarge`] or [`Refused::Closed`].
    pub fn try_take(&self, cost: Cost) -> Result<Permit, Refused> {
        self.inner
            .gate
            .try_take(cost)
            .map(|generation| self.permit(cost, generation))
    }

    /// Takes a credit within `wait`, first come first served: a large request is not starved by
    /// small ones. Dropping the future leaves the line.
    ///
    /// # Errors
    /// [`Refused::TimedOut`], [`Refused::TooLarge`] or [`Refused::Closed`]; never `NoneLeft`.
    ///
    /// # Panics
    /// Where it has to wait outside a tokio runtime with time.
    pub async fn take(&self, cost: Cost, wait: Duration) -> Result<Permit, Refused> {
        match self.try_take(cost) {
            Err(Refused::NoneLeft) => {}
            decided => return decided,
        }
        match tokio::time::timeout(wait, self.inner.gate.wait(cost)).await {
            Ok(decided) => decided.map(|generation| self.permit(cost, generation)),
            Err(_) => Err(Refused::TimedOut),
        }
    }

    /// Changes the limit while running. A smaller one takes hold as credits come back; requests that
    /// wait for more than the new whole are refused.
    ///
    /// # Panics
    /// If a part of the limit is zero.
    pub fn resize(&self, limit: Cost) {
        Self::check(&self.inner.name, limit);
        self.inner.gate.resize(limit);
    }

    /// Counts everything taken so far as returned: for a receiver that was replaced while work of its
    /// predecessor still hangs somewhere. Permits from before come back without effect.
    pub(crate) fn reclaim(&self) {
        self.inner.gate.reclaim();
    }

    /// Gives nothing any more, for good; who waits is refused, so that nobody waits for a receiver
    /// that will not come back. Permits out there stay good and harmless.
    pub fn close(&self) {
        self.inner.gate.close();
    }

    /// What is taken right now.
    pub fn in_use(&self) -> Cost {
        self.inner.gate.used()
    }

    /// The whole.
    pub fn limit(&self) -> Cost {
        self.inner.gate.limit()
    }

    /// The name given at the start.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// # Panics
    /// If a part of the limit is zero.
    pub(crate) fn check(name: &str, limit: Cost) {
        assert!(
            limit.count > 0 && limit.bytes > 0,
            "credits `{name}` with a limit of {limit} could never be taken: both parts must be at least 1"
        );
    }

    fn permit(&self, cost: Cost, generation: ledger::Generation) -> Permit {
        Permit {
            account: Arc::clone(&self.inner),
            share: Share::new(cost, generation),
        }
    }
}

impl fmt::Debug for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credits")
            .field("name", &self.name())
            .field("in_use", &self.in_use())
            .field("limit", &self.limit())
            .finish()
    }
}

/// An account as the gauges hold it: they do not keep it alive.
#[derive(Clone)]
pub(crate) struct WeakCredits(Weak<Inner>);

impl WeakCredits {
    pub(crate) fn upgrade(&self) -> Option<Credits> {
        self.0.upgrade().map(|inner| Credits { inner })
    }
}

/// A credit taken. Dropping it gives it back.
#[must_use = "a dropped permit is a returned credit"]
pub struct Permit {
    account: Arc<Inner>,
    share: Share,
}

impl Permit {
    /// Splits a part off, to be returned on its own. `None` if the part is larger than the permit.
    pub fn split(&mut self, part: Cost) -> Option<Self> {
        let share = self.share.split(part)?;
        Some(Self {
            account: Arc::clone(&self.account),
            share,
        })
    }

    /// Splits off `part`, or what there is of it. `None` if it was given back already.
    pub(crate) fn split_most(&mut self, part: Cost) -> Option<Self> {
        let most = part.least(self.cost());
        self.split(most)
    }

    /// Gives it back now, for somebody who is gone and whose work still holds it. Its drop then
    /// gives back nothing.
    pub(crate) fn reclaim(&self) {
        self.share.give_back(&self.account.gate);
    }

    /// What it stands for.
    pub fn cost(&self) -> Cost {
        self.share.cost()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.reclaim();
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("of", &self.account.name)
            .field("cost", &self.cost())
            .finish()
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
