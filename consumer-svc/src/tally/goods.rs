//! Pure: purchases and revenue by item, for so many items.

use std::collections::BTreeMap;

use purchases::ItemName;

use super::Sold;

/// Items counted by name. A catalog has dozens; a foreign writer may invent a new name a record,
/// and the document must stay small.
const MOST: usize = 256;

/// Sales by item. The first names that come are counted by themselves and stay, so that every
/// count is exact; a name that found no room is counted with the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Goods {
    named: BTreeMap<ItemName, Sold>,
    other: Sold,
}

impl Goods {
    pub(super) fn from_parts(named: BTreeMap<ItemName, Sold>, other: Sold) -> Self {
        Self { named, other }
    }

    pub(super) fn add(&mut self, item: &ItemName, sold: Sold) {
        if let Some(counted) = self.named.get_mut(item) {
            counted.add(sold);
        } else if self.named.len() < MOST {
            self.named.insert(item.clone(), sold);
        } else {
            self.other.add(sold);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (item, sold) in &other.named {
            self.add(item, *sold);
        }
        self.other.add(other.other);
    }

    /// The items counted by name.
    pub fn named(&self) -> impl Iterator<Item = (&ItemName, Sold)> {
        self.named.iter().map(|(item, sold)| (item, *sold))
    }

    /// Everything that found no room.
    pub fn other(&self) -> Sold {
        self.other
    }

    /// Most bought first; equal ones by revenue and name, so that the order is always the same.
    pub fn best(&self) -> Vec<(&ItemName, Sold)> {
        let mut best: Vec<_> = self.named().collect();
        best.sort_by(|(name_a, a), (name_b, b)| {
            let by_count = b.purchases.cmp(&a.purchases);
            by_count
                .then_with(|| b.revenue.cmp(&a.revenue))
                .then_with(|| name_a.cmp(name_b))
        });
        best
    }
}
