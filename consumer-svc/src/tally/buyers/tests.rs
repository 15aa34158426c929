//! The sketch against exact counts.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::tally::tests::{NOON, moment};

/// Numbers as if they were hashes of different users; a seed gives other ones.
fn buyer(seed: u64, number: u64) -> Buyer {
    Buyer::mixed(seed << 40 | number)
}

fn off(estimate: u64, truth: u64) -> f64 {
    (estimate as f64 - truth as f64) / truth as f64
}

/// Many seeds and sizes: without bias, nearly always within two percent, never far from it.
#[test]
fn the_estimate_is_within_two_percent_over_many_seeds() {
    // Sparse, around one buyer a register where other estimators are biased, and dense.
    for (count, seeds) in [(1_000u64, 150), (10_000, 60), (50_000, 40)] {
        let errors: Vec<f64> = (0..seeds)
            .map(|seed| {
                let mut buyers = Buyers::default();
                for number in 0..count {
                    buyers.add(buyer(seed, number), moment(NOON), moment(NOON));
                }
                off(buyers.estimate(moment(NOON)), count)
            })
            .collect();
        let mean = errors.iter().sum::<f64>() / seeds as f64;
        let worst = errors
            .iter()
            .fold(0.0f64, |worst, error| worst.max(error.abs()));
        let outside = errors.iter().filter(|error| error.abs() > 0.02).count();
        let spread = (errors.iter().map(|error| error * error).sum::<f64>() / seeds as f64).sqrt();
        assert!(mean.abs() < 0.004, "{count}: biased by {mean}");
        assert!(spread < 0.0095, "{count}: standard error {spread}");
        assert!(
            outside as u64 * 20 <= seeds,
            "{count}: {outside} of {seeds} beyond two percent"
        );
        assert!(worst < 0.035, "{count}: worst {worst}");
    }
}

#[test]
fn few_buyers_are_counted_exactly() {
    for count in [0u64, 1, 2, 3, 10, 50] {
        let mut buyers = Buyers::default();
        for number in 0..count {
            let user = UserId::parse(&format!("user_{number}")).unwrap();
            buyers.add(Buyer::of(&user), moment(NOON), moment(NOON));
        }
        assert_eq!(buyers.estimate(moment(NOON)), count);
    }
}

/// Names as shops give them, which differ in a digit or two.
#[test]
fn names_that_look_alike_spread_as_well_as_any() {
    for form in ["user_", "", "customer-000000", "ünïcode "] {
        let mut buyers = Buyers::default();
        for number in 0..50_000 {
            let user = UserId::parse(&format!("{form}{number}")).unwrap();
            buyers.add(Buyer::of(&user), moment(NOON), moment(NOON));
        }
        let error = off(buyers.estimate(moment(NOON)), 50_000);
        assert!(error.abs() < 0.025, "{form}: {error}");
    }
}

/// An hour later a buyer is not active any more, however many there were: at every minute the
/// estimate is that of the buyers of the last sixty.
#[test]
fn buyers_are_forgotten_minute_by_minute() {
    let mut buyers = Buyers::default();
    let mut last_seen: HashMap<u64, i64> = HashMap::new();
    for minute in 0..180 {
        // A rush in the second half hour, and a quiet time after it; a third come again.
        let rush = (30..60).contains(&minute);
        let count = if rush { 3_000 } else { 300 };
        let at = NOON + minute * MILLIS;
        for number in 0..count {
            let number = (minute as u64 * 2_000 + number) % 200_000;
            buyers.add(buyer(7, number), moment(at), moment(at));
            last_seen.insert(number, minute);
        }
        let active = last_seen.values().filter(|seen| **seen > minute - WINDOW);
        let error = off(buyers.estimate(moment(at)), active.count() as u64);
        assert!(error.abs() < 0.025, "minute {minute}: {error}");
    }
    assert_eq!(buyers.estimate(moment(NOON + 240 * MILLIS)), 0);
}

#[test]
fn the_sketch_stays_small() {
    let mut sizes = Vec::new();
    for count in [1_000u64, 10_000, 300_000] {
        let mut buyers = Buyers::default();
        for number in 0..count {
            let at = moment(NOON + (number * 60 * MILLIS as u64 / count) as i64);
            buyers.add(buyer(3, number), at, at);
        }
        sizes.push(buyers.encode().len());
    }
    assert!(
        sizes[0] < 4_500 && sizes[1] < 35_000 && sizes[2] < 160_000,
        "{sizes:?}"
    );
}

#[test]
fn bytes_of_another_form_are_refused() {
    let mut buyers = Buyers::default();
    buyers.add(buyer(1, 1), moment(NOON), moment(NOON));
    let good = buyers.encode();
    assert_eq!(Buyers::decode(&good), Ok(buyers));
    assert_eq!(Buyers::decode(&good[..good.len() - 1]), Err(Malformed));
    let mut rank = good;
    *rank.last_mut().unwrap() = 0;
    assert_eq!(Buyers::decode(&rank), Err(Malformed));
}

proptest! {
    #[test]
    fn a_sketch_comes_back_as_it_went(seen in prop::collection::vec((any::<u64>(), 0i64..200), 0..300)) {
        let mut buyers = Buyers::default();
        let mut newest = NOON;
        for (hash, minute) in seen {
            let at = NOON + minute * MILLIS;
            newest = newest.max(at);
            buyers.add(Buyer(hash), moment(at), moment(newest));
        }
        prop_assert_eq!(Buyers::decode(&buyers.encode()), Ok(buyers));
    }

    #[test]
    fn foreign_bytes_never_panic(bytes: Vec<u8>) {
        if let Ok(buyers) = Buyers::decode(&bytes) {
            buyers.estimate(moment(NOON));
        }
    }

    /// A union: in any order, with anything twice, and in parts.
    #[test]
    fn merging_is_the_sketch_of_all_buyers(
        seen in prop::collection::vec((0u64..500, 0i64..60, any::<bool>()), 0..300),
    ) {
        let newest = moment(NOON + 60 * MILLIS);
        let (mut all, mut left, mut right) = (Buyers::default(), Buyers::default(), Buyers::default());
        for part in [&mut all, &mut left, &mut right] {
            part.sweep(minute_of(newest));
        }
        for (number, minute, side) in seen {
            let at = moment(NOON + minute * MILLIS);
            all.add(buyer(1, number), at, newest);
            let part = if side { &mut left } else { &mut right };
            part.add(buyer(1, number), at, newest);
        }
        let mut merged = right.clone();
        merged.merge(&left);
        merged.merge(&left);
        prop_assert_eq!(&merged, &all);
        left.merge(&right);
        prop_assert_eq!(&left, &all);
    }
}
