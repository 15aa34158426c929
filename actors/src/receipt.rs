//! Settling. In: the fate of a delivery. Out: exactly one settlement to where it came from.
//!
//! A receipt travels with its value. Settling consumes it, and dropping it anywhere, by a panic, a
//! kill or a mailbox that goes down, settles it as failed: nothing is forgotten.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::guard::catch_now;
use crate::{Epoch, Permit, metrics};

/// Where a delivery stands in its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// The ordered sequence it belongs to, for example a partition.
    pub lane: u32,
    /// The generation of that lane's assignment.
    pub epoch: Epoch,
    /// Its number in the lane, for example an offset.
    pub seq: u64,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is where it should be, durably.
    Stored,
    /// It cannot be stored, and that is written down durably.
    DeadLettered,
    /// Neither: it has to be delivered again.
    Failed,
}

/// One settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled<C> {
    /// Which delivery.
    pub position: Position,
    /// Its fate.
    pub outcome: Outcome,
    /// What a stored record contributes to whoever counts it.
    pub note: Option<C>,
}

/// Where settlements go: usually a thin wrapper around the address of a commit stage.
///
/// Called from wherever a receipt is settled or dropped, also inside `Drop` while a mailbox goes
/// down: it must not block. A panic in it is caught and logged, and those settlements are lost.
pub trait Settle<C>: Send + Sync + 'static {
    /// Takes settlements, in the order they were made by this caller.
    fn settled(&self, batch: Vec<Settled<C>>);
}

/// A shared [`Settle`].
pub type Outlet<C> = Arc<dyn Settle<C>>;

/// Must be settled exactly once; dropping it settles it as [`Outcome::Failed`].
///
/// It may carry a share of the sender's permit, which it gives back after the settlement is told.
#[must_use = "a dropped receipt is a failed delivery"]
pub struct Receipt<C: 'static = ()> {
    position: Position,
    /// Absent once settled.
    outlet: Option<Outlet<C>>,
    /// Held for its drop only: the credit comes back when the work is settled.
    permit: Option<Arc<Permit>>,
}

impl<C: 'static> Receipt<C> {
    /// A receipt for the delivery at `position`; `permit` is shared by the deliveries it was taken for.
    pub fn new(position: Position, outlet: Outlet<C>, permit: Option<Arc<Permit>>) -> Self {
        Self {
            position,
            outlet: Some(outlet),
            permit,
        }
    }

    /// Settles it.
    pub fn settle(mut self, outcome: Outcome, note: Option<C>) {
        self.tell(outcome, note);
    }

    /// Settles many with one call per outlet. The order within an outlet is kept.
    pub fn settle_all(batch: impl IntoIterator<Item = (Self, Outcome, Option<C>)>) {
        let mut calls: Vec<(Outlet<C>, Vec<Settled<C>>)> = Vec::new();
        let mut permits = Vec::new();
        for (mut receipt, outcome, note) in batch {
            let Some(outlet) = receipt.outlet.take() else {
                continue;
            };
            permits.extend(receipt.permit.take());
            let settled = Settled {
                position: receipt.position,
                outcome,
                note,
            };
            // Nearly always the outlet of the record before.
            match calls
                .iter_mut()
                .rev()
                .find(|(known, _)| Arc::ptr_eq(known, &outlet))
            {
                Some((_, call)) => call.push(settled),
                None => calls.push((outlet, vec![settled])),
            }
        }
        for (outlet, call) in calls {
            hand_over(&outlet, call);
        }
        drop(permits);
    }

    /// Which delivery it stands for.
    pub fn position(&self) -> Position {
        self.position
    }

    fn tell(&mut self, outcome: Outcome, note: Option<C>) {
        if let Some(outlet) = self.outlet.take() {
            let call = vec![Settled {
                position: self.position,
                outcome,
                note,
            }];
            hand_over(&outlet, call);
        }
    }
}

/// A panic stays here: the other outlets of a batch are still told, and a mailbox that goes down
/// with receipts in it is not torn in the middle. The owner of the outlet sees a settlement missing.
fn hand_over<C: 'static>(outlet: &Outlet<C>, call: Vec<Settled<C>>) {
    metrics::settled(&call);
    if let Err(panic) = catch_now(|| outlet.settled(call)) {
        tracing::error!(panic, "an outlet panicked; its settlements are lost to it");
    }
}

impl<C: 'static> Drop for Receipt<C> {
    fn drop(&mut self) {
        self.tell(Outcome::Failed, None);
    }
}

impl<C: 'static> fmt::Debug for Receipt<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("position", &self.position)
            .field("holds_credit", &self.permit.is_some())
            .finish()
    }
}

/// A value on its way, and the receipt that has to be settled for it.
#[derive(Debug)]
pub struct Delivery<T, C: 'static = ()> {
    /// What is delivered.
    pub value: T,
    /// To be settled.
    pub receipt: Receipt<C>,
}

impl<T, C: 'static> Delivery<T, C> {
    /// The same delivery with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Delivery<U, C> {
        Delivery {
            value: change(self.value),
            receipt: self.receipt,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{Mutex, lock};
    use crate::{Cost, Credits};

    #[derive(Default)]
    struct Log(Mutex<Vec<Vec<Settled<u8>>>>);

    impl Settle<u8> for Log {
        fn settled(&self, batch: Vec<Settled<u8>>) {
            lock(&self.0).push(batch);
        }
    }

    impl Log {
        fn outcomes(&self) -> Vec<Vec<(u64, Outcome)>> {
            lock(&self.0)
                .iter()
                .map(|call| call.iter().map(|s| (s.position.seq, s.outcome)).collect())
                .collect()
        }
    }

    fn receipt(seq: u64, log: &Arc<Log>, permit: Option<Arc<Permit>>) -> Receipt<u8> {
        Receipt::new(
            Position {
                lane: 0,
                epoch: Epoch::next(),
                seq,
            },
            Arc::clone(log) as Outlet<u8>,
            permit,
        )
    }

    #[test]
    fn a_dropped_receipt_is_settled_as_failed_once() {
        let log = Arc::new(Log::default());
        drop(receipt(1, &log, None));
        receipt(2, &log, None).settle(Outcome::Stored, Some(7));
        assert_eq!(
            log.outcomes(),
            [vec![(1, Outcome::Failed)], vec![(2, Outcome::Stored)]]
        );
        assert_eq!(lock(&log.0)[1][0].note, Some(7));
    }

    #[test]
    fn many_are_settled_with_one_call_per_outlet_in_order() {
        let (left, right) = (Arc::new(Log::default()), Arc::new(Log::default()));
        let batch = [(1, &left), (2, &right), (3, &left), (4, &right)];
        Receipt::settle_all(
            batch.map(|(seq, log)| (receipt(seq, log, None), Outcome::Stored, None)),
        );
        assert_eq!(
            left.outcomes(),
            [vec![(1, Outcome::Stored), (3, Outcome::Stored)]]
        );
        assert_eq!(
            right.outcomes(),
            [vec![(2, Outcome::Stored), (4, Outcome::Stored)]]
        );
    }

    #[test]
    fn the_credit_comes_back_with_the_last_receipt_that_shares_it() {
        let credits = Credits::new("t", Cost { count: 2, bytes: 2 });
        let permit = Arc::new(credits.try_take(Cost { count: 2, bytes: 2 }).unwrap());
        let log = Arc::new(Log::default());
        let (first, second) = (
            receipt(1, &log, Some(Arc::clone(&permit))),
            receipt(2, &log, Some(permit)),
        );
        first.settle(Outcome::Stored, None);
        assert_eq!(credits.in_use().count, 2);
        drop(second);
        assert_eq!(credits.in_use().count, 0);
    }
}
