//! A hand on what may not be reachable yet. In: orders, in any order with the birth of who shall obey
//! them. Out: each order given once it can be.
//!
//! The locks come from `super::sync`, so that the model checker can compile this very file.

use super::sync::{AtomicBool, Mutex, Ordering, lock};

/// Who obeys.
pub(crate) trait Reachable {
    /// What a drain needs to know.
    type Order;
    fn kill(&self);
    fn drain(&self, order: Self::Order);
}

struct Reach<T: Reachable> {
    target: Option<T>,
    up: bool,
    /// Asked for before it was up.
    drain: Option<T::Order>,
}

/// Orders given before an incarnation can be reached are kept.
pub(crate) struct Control<T: Reachable> {
    killed: AtomicBool,
    /// Somebody looks at the time until it is drained.
    limited: AtomicBool,
    reach: Mutex<Reach<T>>,
}

impl<T: Reachable> Default for Control<T> {
    fn default() -> Self {
        let reach = Reach {
            target: None,
            up: false,
            drain: None,
        };
        Self {
            killed: AtomicBool::new(false),
            limited: AtomicBool::new(false),
            reach: Mutex::new(reach),
        }
    }
}

impl<T: Reachable> Control<T> {
    /// The incarnation can be killed from now on.
    pub(crate) fn reached(&self, target: T) {
        let mut reach = lock(&self.reach);
        if self.is_killed() {
            target.kill();
        }
        reach.target = Some(target);
    }

    /// The incarnation can be drained from now on: it has started.
    pub(crate) fn up(&self) {
        let mut reach = lock(&self.reach);
        reach.up = true;
        if let (Some(order), Some(target)) = (reach.drain.take(), &reach.target) {
            target.drain(order);
        }
    }

    pub(crate) fn drain(&self, order: T::Order) {
        let mut reach = lock(&self.reach);
        match &reach.target {
            Some(target) if reach.up => target.drain(order),
            _ => reach.drain = Some(order),
        }
    }

    pub(crate) fn kill(&self) {
        let reach = lock(&self.reach);
        self.killed.store(true, Ordering::Release);
        if let Some(target) = &reach.target {
            target.kill();
        }
    }

    /// The drain that is ordered has a limit.
    pub(crate) fn limit(&self) {
        self.limited.store(true, Ordering::Release);
    }

    /// Whether somebody looks at the time until it is gone, whatever it says itself.
    pub(crate) fn is_awaited(&self) -> bool {
        self.is_killed() || self.limited.load(Ordering::Acquire)
    }

    /// Whether a kill was ordered, obeyed or not.
    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }
}
