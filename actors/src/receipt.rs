//! Settling. In: the fate of a delivery. Out: exactly one settlement to where it came from.
//!
//! A receipt travels with its value. Settling consumes it, and dropping it anywhere, by a panic, a
//! kill or a mailbox that goes down, settles it as failed: nothing is forgotten.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::guard::catch_now;
use crate::sync::{Mutex, lock};
use crate::{Cost, Epoch, Permit, metrics};

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

    /// Takes a settlement that was made alone: a batch of one, unless this knows how to do without
    /// the vector.
    fn settled_one(&self, settled: Settled<C>) {
        self.settled(vec![settled]);
    }
}

/// A shared [`Settle`].
pub type Outlet<C> = Arc<dyn Settle<C>>;

/// What the receipts of one chunk have in common: where they are settled and the credit they share.
///
/// Receipts made from one origin cost a counter each; [`Receipt::new`] makes an origin for one alone.
///
/// ```
/// use actors::testkit::Settlements;
/// use actors::{Cost, Credits, Epoch, Origin, Outcome, Position, Receipt};
///
/// let (book, room) = (Settlements::<()>::new(), Credits::new("room", Cost { count: 10, bytes: 10 }));
/// let permit = room.try_take(Cost { count: 2, bytes: 2 })?;
/// let origin = Origin::new(book.outlet(), Some(permit));
/// let epoch = Epoch::next();
/// let receipts = [0, 1].map(|seq| origin.receipt(Position { lane: 0, epoch, seq }));
/// drop(origin);
/// Receipt::settle_all(receipts.map(|receipt| (receipt, Outcome::Stored, None)));
/// assert_eq!((book.with(Outcome::Stored), room.in_use().count), (vec![0, 1], 0));
/// # Ok::<(), actors::Refused>(())
/// ```
pub struct Origin<C: 'static = ()> {
    shared: Arc<Shared<C>>,
}

struct Shared<C: 'static> {
    outlet: Outlet<C>,
    credit: Credit,
}

/// Comes back when all the work is settled.
enum Credit {
    None,
    /// Each receipt may take its part of it [apart](Receipt::apart).
    Own(Mutex<Permit>),
    /// Held for its drop only, and somebody else may take it back before.
    Shared {
        _permit: Arc<Permit>,
    },
}

impl From<Option<Permit>> for Credit {
    fn from(permit: Option<Permit>) -> Self {
        permit.map_or(Self::None, |permit| Self::Own(Mutex::new(permit)))
    }
}

/// Settlements for one outlet.
type Call<C> = (Arc<Shared<C>>, Vec<Settled<C>>);

/// Settlements by outlet. Handed over when dropped, so that those already made are not lost when
/// whoever makes them panics half way.
struct Calls<C: 'static> {
    calls: Vec<Call<C>>,
    /// Kept until their settlements are told: with the last of them the credit comes back.
    others: Vec<Arc<Shared<C>>>,
}

impl<C: 'static> Default for Calls<C> {
    fn default() -> Self {
        Self {
            calls: Vec::new(),
            others: Vec::new(),
        }
    }
}

impl<C: 'static> Calls<C> {
    /// A new call gets `room` once.
    fn add(&mut self, origin: Arc<Shared<C>>, settled: Settled<C>, room: &mut usize) {
        // Nearly always the one before.
        let known = self
            .calls
            .iter_mut()
            .rev()
            .find(|(known, _)| known.settles_with(&origin));
        if let Some((known, call)) = known {
            call.push(settled);
            if !Arc::ptr_eq(known, &origin) {
                self.others.push(origin);
            }
        } else {
            let mut call = Vec::with_capacity(std::mem::take(room).max(1));
            call.push(settled);
            self.calls.push((origin, call));
        }
    }
}

impl<C: 'static> Drop for Calls<C> {
    fn drop(&mut self) {
        for (origin, call) in self.calls.drain(..) {
            metrics::settled(&call);
            tell(|| origin.outlet.settled(call));
        }
    }
}

impl<C: 'static> Origin<C> {
    /// An origin. The permit is given back when the origin is dropped and its last receipt settled.
    pub fn new(outlet: Outlet<C>, permit: Option<Permit>) -> Self {
        Self::with(outlet, permit.into())
    }

    /// With a permit that somebody keeps an eye on, to take it back.
    pub(crate) fn watched(outlet: Outlet<C>, permit: Arc<Permit>) -> Self {
        Self::with(outlet, Credit::Shared { _permit: permit })
    }

    fn with(outlet: Outlet<C>, credit: Credit) -> Self {
        Self {
            shared: Arc::new(Shared { outlet, credit }),
        }
    }

    /// A receipt for the delivery at `position`.
    pub fn receipt(&self, position: Position) -> Receipt<C> {
        Receipt {
            position,
            origin: Some(Arc::clone(&self.shared)),
        }
    }
}

/// Must be settled exactly once; dropping it settles it as [`Outcome::Failed`].
///
/// It may carry a share of the sender's permit, which it gives back after the settlement is told.
///
/// ```
/// use actors::testkit::Settlements;
/// use actors::{Epoch, Outcome, Position};
///
/// let book = Settlements::<()>::new();
/// let at = |seq| Position { lane: 0, epoch: Epoch::next(), seq };
/// book.receipt(at(1), None).settle(Outcome::Stored, None);
/// drop(book.receipt(at(2), None));
/// assert_eq!((book.with(Outcome::Stored), book.with(Outcome::Failed)), (vec![1], vec![2]));
/// ```
#[must_use = "a dropped receipt is a failed delivery"]
pub struct Receipt<C: 'static = ()> {
    position: Position,
    /// Absent once settled.
    origin: Option<Arc<Shared<C>>>,
}

impl<C: 'static> Receipt<C> {
    /// A receipt for the delivery at `position` alone, with a permit of its own. Many that share an
    /// outlet and a permit are made by an [`Origin`].
    pub fn new(position: Position, outlet: Outlet<C>, permit: Option<Permit>) -> Self {
        Self {
            position,
            origin: Some(Origin::new(outlet, permit).shared),
        }
    }

    /// Settles it.
    pub fn settle(mut self, outcome: Outcome, note: Option<C>) {
        self.tell(outcome, note);
    }

    /// Settles many with one call per outlet. The order within an outlet is kept. If `batch` panics
    /// half way, what it gave so far is settled as it said.
    pub fn settle_all(batch: impl IntoIterator<Item = (Self, Outcome, Option<C>)>) {
        let batch = batch.into_iter();
        let mut room = batch.size_hint().0;
        let mut calls = Calls::default();
        for (mut receipt, outcome, note) in batch {
            let Some(origin) = receipt.origin.take() else {
                continue;
            };
            let settled = Settled {
                position: receipt.position,
                outcome,
                note,
            };
            calls.add(origin, settled, &mut room);
        }
    }

    /// Takes it out of what it came with, because it will take longer than that: `cost` of the credit
    /// that it shares becomes its own, or what is left of it if that is less. The others' comes back with
    /// the last of them, and this one's with its own settlement.
    ///
    /// Without a credit this does nothing, nor where somebody may take the shared one back, as a
    /// pipeline does with that of a lane: then it stays whole.
    ///
    /// ```
    /// use actors::testkit::Settlements;
    /// use actors::{Cost, Credits, Epoch, Outcome, Position, Receipt};
    ///
    /// let (book, room) = (Settlements::<()>::new(), Credits::new("room", Cost { count: 10, bytes: 10 }));
    /// let permit = room.try_take(Cost { count: 3, bytes: 6 })?;
    /// let epoch = Epoch::next();
    /// let positions = (0..3).map(|seq| Position { lane: 0, epoch, seq });
    /// let mut receipts = book.receipts(positions, Some(permit));
    /// let mut slow = receipts.remove(0);
    /// slow.apart(Cost { count: 1, bytes: 2 });
    /// Receipt::settle_all(receipts.into_iter().map(|receipt| (receipt, Outcome::Stored, None)));
    /// assert_eq!(room.in_use(), Cost { count: 1, bytes: 2 });
    /// slow.settle(Outcome::Stored, None);
    /// assert_eq!(room.in_use(), Cost::default());
    /// # Ok::<(), actors::Refused>(())
    /// ```
    pub fn apart(&mut self, cost: Cost) {
        let Some(shared) = &self.origin else { return };
        let Credit::Own(permit) = &shared.credit else {
            return;
        };
        let own = lock(permit).split_most(cost);
        let alone = Origin::new(Arc::clone(&shared.outlet), own);
        self.origin = Some(alone.shared);
    }

    /// Which delivery it stands for.
    pub fn position(&self) -> Position {
        self.position
    }

    fn tell(&mut self, outcome: Outcome, note: Option<C>) {
        if let Some(origin) = self.origin.take() {
            let settled = Settled {
                position: self.position,
                outcome,
                note,
            };
            metrics::settled(std::slice::from_ref(&settled));
            tell(|| origin.outlet.settled_one(settled));
        }
    }
}

impl<C: 'static> Shared<C> {
    fn settles_with(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        Arc::ptr_eq(self, other) || Arc::ptr_eq(&self.outlet, &other.outlet)
    }
}

/// A panic stays here: the other outlets of a batch are still told, and a mailbox that goes down
/// with receipts in it is not torn in the middle. The owner of the outlet sees a settlement missing.
fn tell(settle: impl FnOnce()) {
    if let Err(panic) = catch_now(settle) {
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
            .field(
                "holds_credit",
                &self
                    .origin
                    .as_ref()
                    .is_some_and(|origin| !matches!(origin.credit, Credit::None)),
            )
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
mod tests;
