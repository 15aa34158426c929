//! A record of settlements. In: settlements. Out: assertions on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::sync::{Mutex, lock};
use crate::{Origin, Outcome, Outlet, Permit, Position, Receipt, Settle, Settled};

/// An outlet that remembers every receipt it made and every settlement it was told; shared by cloning.
#[derive(Debug)]
pub struct Settlements<C = ()> {
    book: Arc<Book<C>>,
}

#[derive(Debug)]
struct Book<C> {
    made: Mutex<Vec<Position>>,
    told: Mutex<Vec<Settled<C>>>,
}

impl<C> Clone for Settlements<C> {
    fn clone(&self) -> Self {
        Self {
            book: Arc::clone(&self.book),
        }
    }
}

impl<C> Default for Settlements<C> {
    fn default() -> Self {
        Self {
            book: Arc::new(Book {
                made: Mutex::default(),
                told: Mutex::default(),
            }),
        }
    }
}

impl<C: Send + 'static> Settle<C> for Book<C> {
    fn settled(&self, batch: Vec<Settled<C>>) {
        lock(&self.told).extend(batch);
    }
}

impl<C: Send + 'static> Settlements<C> {
    /// Nothing settled so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// A receipt that is settled here.
    pub fn receipt(&self, position: Position, permit: Option<Permit>) -> Receipt<C> {
        lock(&self.book.made).push(position);
        Receipt::new(position, self.outlet(), permit)
    }

    /// Receipts that are settled here and share a permit.
    pub fn receipts(
        &self,
        positions: impl IntoIterator<Item = Position>,
        permit: Option<Permit>,
    ) -> Vec<Receipt<C>> {
        let origin = Origin::new(self.outlet(), permit);
        let made = positions.into_iter().map(|position| {
            lock(&self.book.made).push(position);
            origin.receipt(position)
        });
        made.collect()
    }

    /// The outlet itself.
    pub fn outlet(&self) -> Outlet<C> {
        Arc::clone(&self.book) as Outlet<C>
    }

    /// How many receipts are not settled yet.
    pub fn open(&self) -> usize {
        lock(&self.book.made)
            .len()
            .saturating_sub(lock(&self.book.told).len())
    }

    /// Position numbers with an outcome, in the order they were settled.
    pub fn with(&self, outcome: Outcome) -> Vec<u64> {
        let told = lock(&self.book.told);
        told.iter()
            .filter(|settled| settled.outcome == outcome)
            .map(|settled| settled.position.seq)
            .collect()
    }

    /// How many were settled.
    pub fn len(&self) -> usize {
        lock(&self.book.told).len()
    }

    /// Whether none was settled.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asserts that every receipt was settled, exactly once.
    ///
    /// # Panics
    /// Naming the positions for which this is not so.
    #[track_caller]
    pub fn assert_each_once(&self) {
        let mut balance: BTreeMap<Position, i64> = BTreeMap::new();
        for position in lock(&self.book.made).iter() {
            *balance.entry(*position).or_default() += 1;
        }
        for settled in lock(&self.book.told).iter() {
            *balance.entry(settled.position).or_default() -= 1;
        }
        balance.retain(|_, open| *open != 0);
        assert!(
            balance.is_empty(),
            "unsettled (above zero) or settled too often (below): {balance:?}"
        );
    }
}
