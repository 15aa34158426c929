//! Chooses an item by a purchase's id.
//!
//! In: the id and how many items there are. Out: a position among them. The same id
//! and the same number give the same position in every process, which is what makes
//! a retry buy the same item. It draws no random number of its own.

use purchases::PurchaseId;

/// A position below `count`, uniform over ids. `count` is at least one: a catalog is
/// never empty.
///
/// The seed is spread over 64 bits; taking the high half of its product with `count`
/// favours no position by more than one part in 2^64 / `count`.
pub fn position(id: PurchaseId, count: usize) -> usize {
    ((u128::from(id.seed()) * count as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use purchases::{IdSource, IdempotencyKey, Timestamp, UserId};

    use super::*;

    /// Chi-square over 20 items has 19 degrees of freedom: 50.8 is exceeded by chance once in
    /// ten thousand, and the ids here are fixed.
    fn assert_uniform(ids: impl Iterator<Item = PurchaseId>) {
        let mut counts = [0_u32; 20];
        let mut total = 0;
        for id in ids {
            counts[position(id, counts.len())] += 1;
            total += 1;
        }
        let expected = f64::from(total) / counts.len() as f64;
        let chi_square: f64 = counts
            .iter()
            .map(|&n| (f64::from(n) - expected).powi(2) / expected)
            .sum();
        assert!(chi_square < 50.8, "chi-square {chi_square} over {counts:?}");
    }

    #[test]
    fn fresh_ids_choose_uniformly_although_they_are_alike() {
        let source = IdSource::new([1, 2, 3, 4, 5], 0);
        let now = Timestamp::from_millis(1_700_000_000_000).unwrap();
        assert_uniform((0..100_000).map(|_| source.fresh(now)));
    }

    #[test]
    fn keyed_ids_choose_uniformly() {
        let user = UserId::parse("user_1").unwrap();
        assert_uniform((0..100_000).map(|n| {
            PurchaseId::derived(&user, &IdempotencyKey::parse(&format!("key-{n}")).unwrap())
        }));
    }

    proptest! {
        #[test]
        fn every_position_is_within_the_catalog_and_repeats(bytes: [u8; 12], count in 1_usize..=10_000) {
            let id = PurchaseId::from_bytes(bytes);
            prop_assert!(position(id, count) < count);
            prop_assert_eq!(position(id, count), position(id, count));
        }
    }
}
