//! Pure: purchases and revenue by item, for so many items.
//!
//! While there are few names, every one is counted exactly. A foreign writer may invent a new name a
//! record, and the document must stay small: then those that sold least are let go, and it is known
//! how much of an item may have been let go before it was counted by name (the space-saving sketch
//! of Metwally, Agrawal and El Abbadi, emptied by halves). Whatever is let go stays in the sum.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use purchases::ItemName;

use super::Sold;

/// Names that are counted at most.
pub(super) const MOST: usize = 1024;
/// Names that are left when that was too many. What an item may have been sold unnoticed is never more
/// than all purchases divided by this: what is let go sold less than each of those that stay.
const KEPT: usize = MOST / 2;

/// What is counted of one item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Item {
    /// Since it is counted by name.
    pub(super) sold: Sold,
    /// How many purchases there may have been before.
    pub(super) missed: u64,
}

/// Sales by item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Goods {
    named: BTreeMap<ItemName, Item>,
    other: Sold,
    floor: u64,
}

impl Goods {
    pub(super) fn from_parts(named: BTreeMap<ItemName, Item>, other: Sold, floor: u64) -> Self {
        Self {
            named,
            other,
            floor,
        }
    }

    pub(super) fn add(&mut self, item: &ItemName, sold: Sold) {
        if let Some(counted) = self.named.get_mut(item) {
            counted.sold.add(sold);
            return;
        }
        let missed = self.floor;
        self.named.insert(item.clone(), Item { sold, missed });
        if self.named.len() > MOST {
            self.let_go();
        }
    }

    /// Lets go of those that sold least, even if all were sold that may have been missed.
    fn let_go(&mut self) {
        let mut all: Vec<(u64, ItemName)> = self
            .named
            .iter()
            .map(|(name, item)| (item.sold.purchases + item.missed, name.clone()))
            .collect();
        all.sort_unstable_by(|(a, name_a), (b, name_b)| b.cmp(a).then_with(|| name_a.cmp(name_b)));
        for (at_most, name) in all.drain(KEPT..) {
            self.floor = self.floor.max(at_most);
            let gone = self.named.remove(&name).unwrap_or_default();
            self.other.add(gone.sold);
        }
    }

    /// Adds another partition's. An item without a name there may have been sold there as often as
    /// anything without one. Nothing is let go: the sum is looked at and not kept.
    pub(super) fn merge(&mut self, other: &Self) {
        for (name, item) in &mut self.named {
            if !other.named.contains_key(name) {
                item.missed += other.floor;
            }
        }
        for (name, item) in &other.named {
            let unnamed = Item {
                missed: self.floor,
                ..Item::default()
            };
            let mine = self.named.entry(name.clone()).or_insert(unnamed);
            mine.sold.add(item.sold);
            mine.missed += item.missed;
        }
        self.other.add(other.other);
        self.floor += other.floor;
    }

    pub(super) fn items(&self) -> impl Iterator<Item = (&ItemName, Item)> {
        self.named.iter().map(|(name, item)| (name, *item))
    }

    /// The items counted by name, and what is certainly sold of each.
    pub fn named(&self) -> impl Iterator<Item = (&ItemName, Sold)> {
        self.items().map(|(name, item)| (name, item.sold))
    }

    /// Everything that is not counted by name.
    pub fn other(&self) -> Sold {
        self.other
    }

    /// By how many purchases any item's figures may be too low, and how often an item without a name
    /// may have been sold. 0 while all have names.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// Most bought first; equal ones by revenue and name, so that the order is always the same.
    pub fn best(&self) -> Vec<(&ItemName, Sold)> {
        let mut best: Vec<_> = self.named().collect();
        best.sort_by_key(|(name, sold)| (Reverse((sold.purchases, sold.revenue)), *name));
        best
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use purchases::Cents;

    use super::*;

    fn name(number: usize) -> ItemName {
        ItemName::parse(&format!("item {number}")).unwrap()
    }

    fn one() -> Sold {
        Sold::one(Cents::new(7).unwrap())
    }

    fn counted(log: &[usize]) -> (Goods, BTreeMap<ItemName, u64>) {
        let (mut goods, mut truth) = (Goods::default(), BTreeMap::new());
        for number in log {
            goods.add(&name(*number), one());
            *truth.entry(name(*number)).or_default() += 1;
        }
        (goods, truth)
    }

    fn assert_true(goods: &Goods, truth: &BTreeMap<ItemName, u64>) {
        for (item, bought) in truth {
            let shown = goods.named.get(item).copied().unwrap_or_default();
            let missed = match goods.named.contains_key(item) {
                true => shown.missed,
                false => goods.floor,
            };
            assert!(missed <= goods.floor);
            let counts = shown.sold.purchases..=shown.sold.purchases + missed;
            assert!(counts.contains(bought), "{item:?}: {bought}, {counts:?}");
        }
        let mut sum: Sold = goods.named().map(|(_, sold)| sold).sum();
        sum.add(goods.other());
        assert_eq!(sum.purchases, truth.values().sum::<u64>());
        assert_eq!(sum.revenue.get() as u64, sum.purchases * 7);
    }

    #[test]
    fn as_many_names_as_there_is_room_for_are_exact_on_any_number_of_partitions() {
        let log: Vec<usize> = (0..MOST).chain(0..100).collect();
        let (mut goods, mut truth) = counted(&log);
        let other: Vec<usize> = (MOST..2 * MOST - 20).chain(50..70).collect();
        let (more, bought) = counted(&other);
        goods.merge(&more);
        for (item, count) in bought {
            *truth.entry(item).or_default() += count;
        }
        assert_eq!((goods.floor(), goods.other()), (0, Sold::default()));
        assert_true(&goods, &truth);
        assert_eq!(goods.best()[0].1.purchases, 3);
    }

    #[test]
    fn a_late_best_seller_is_found_among_names_without_end() {
        let (mut goods, mut truth) = (Goods::default(), BTreeMap::new());
        let mut buy = |goods: &mut Goods, number: usize| {
            goods.add(&name(number), one());
            *truth.entry(name(number)).or_default() += 1;
        };
        for number in 0..50_000 {
            buy(&mut goods, number);
            if number > 40_000 && number % 3 == 0 {
                buy(&mut goods, 1_000_000);
            }
        }
        assert!(goods.named.len() <= MOST);
        assert_true(&goods, &truth);
        let (best, sold) = goods.best()[0];
        assert_eq!(best, &name(1_000_000));
        assert!(sold.purchases + goods.floor() >= 3_333, "{sold:?}");
        assert!(goods.floor() <= 53_333 / KEPT as u64, "{}", goods.floor());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// Whatever comes in whatever order, on two partitions: every figure is within what is said of
        /// it, and nothing is ever lost from the sum.
        #[test]
        fn every_figure_is_within_its_stated_error(
            left in prop::collection::vec((0usize..40_000, 1usize..4), 0..4_000),
            right in prop::collection::vec((0usize..3_000, 1usize..4), 0..4_000),
        ) {
            // Few are bought often.
            let log = |wishes: &[(usize, usize)]| -> Vec<usize> {
                let skewed = |(number, power): &(usize, usize)| number / 10usize.pow(*power as u32 - 1);
                wishes.iter().map(skewed).collect()
            };
            let (left, right) = (log(&left), log(&right));
            let (mut goods, mut truth) = counted(&left);
            assert_true(&goods, &truth);
            prop_assert!(goods.floor() <= (left.len() / KEPT) as u64);
            let (more, bought) = counted(&right);
            goods.merge(&more);
            for (item, count) in bought {
                *truth.entry(item).or_default() += count;
            }
            assert_true(&goods, &truth);
        }
    }
}
