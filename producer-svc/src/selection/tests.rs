//! That ids choose by the odds: chi-square tests over fixed ids, and what holds for every id.

use proptest::prelude::*;
use purchases::{IdSource, IdempotencyKey, Timestamp, UserId};

use super::*;

const ITEMS: usize = 20;
const DRAWS: usize = 100_000;
/// With 20 items there are 19 degrees of freedom: this is exceeded by chance once in ten thousand,
/// and never by these ids, which are fixed.
const THRESHOLD: f64 = 50.8;

fn fresh() -> impl Iterator<Item = PurchaseId> {
    let source = IdSource::new([1, 2, 3, 4, 5], 0);
    (0..DRAWS).map(move |draw| {
        // As at a thousand purchases a second.
        let now = Timestamp::from_millis(1_700_000_000_000 + draw as i64).unwrap();
        source.fresh(now)
    })
}

/// Alike in all but the counter.
fn fresh_at_once() -> impl Iterator<Item = PurchaseId> {
    let source = IdSource::new([9; 5], u32::MAX - 1_000);
    let now = Timestamp::from_millis(1_700_000_000_000).unwrap();
    (0..DRAWS).map(move |_| source.fresh(now))
}

fn keyed() -> impl Iterator<Item = PurchaseId> {
    let user = UserId::parse("user_1").unwrap();
    (0..DRAWS).map(move |n| {
        PurchaseId::derived(&user, &IdempotencyKey::parse(&format!("key-{n}")).unwrap())
    })
}

fn rising() -> Vec<f64> {
    (1..=ITEMS).map(|n| n as f64).collect()
}

/// One item takes nearly everything; the rest share as little as a test of this size can see.
fn steep() -> Vec<f64> {
    (0..ITEMS)
        .map(|n| if n == 7 { 900.0 } else { 1.5 })
        .collect()
}

fn chi_square(odds: &Odds, ids: impl Iterator<Item = PurchaseId>, weights: &[f64]) -> f64 {
    let mut counts = [0_u32; ITEMS];
    for id in ids {
        counts[odds.position(id)] += 1;
    }
    let total: f64 = weights.iter().sum();
    counts
        .iter()
        .zip(weights)
        .map(|(&count, weight)| {
            let expected = DRAWS as f64 * weight / total;
            (f64::from(count) - expected).powi(2) / expected
        })
        .sum()
}

#[track_caller]
fn assert_chosen_by(odds: &Odds, weights: &[f64]) {
    for (what, chi_square) in [
        ("fresh", chi_square(odds, fresh(), weights)),
        ("at once", chi_square(odds, fresh_at_once(), weights)),
        ("keyed", chi_square(odds, keyed(), weights)),
    ] {
        assert!(
            chi_square < THRESHOLD,
            "{what} ids: chi-square {chi_square}"
        );
    }
}

#[test]
fn without_weights_fresh_and_keyed_ids_choose_uniformly() {
    assert_chosen_by(&Odds::even(ITEMS), &[1.0; ITEMS]);
}

#[test]
fn with_weights_fresh_and_keyed_ids_choose_by_weight() {
    for weights in [rising(), steep(), vec![0.25; ITEMS]] {
        assert_chosen_by(&Odds::weighted(&weights).unwrap(), &weights);
    }
}

#[test]
fn the_test_tells_other_odds_apart() {
    let mut slightly = [1.0; ITEMS];
    slightly[3] = 1.1;
    let even = Odds::even(ITEMS);
    assert!(chi_square(&even, keyed(), &slightly) > THRESHOLD);
    let weighted = Odds::weighted(&slightly).unwrap();
    assert!(chi_square(&weighted, fresh(), &[1.0; ITEMS]) > THRESHOLD);
}

#[test]
fn every_position_can_be_chosen_also_by_the_least_weight() {
    let mut weights = vec![1.0; 10_000];
    weights[9_999] = 1e-4;
    let Odds(Kind::Weighted(starts)) = Odds::weighted(&weights).unwrap() else {
        panic!("weighted odds");
    };
    assert_eq!(starts[0], 0);
    assert!(starts.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(starts[9_999] < u64::MAX);
    weights[9_999] = 1e-6;
    let refused = Odds::weighted(&weights).unwrap_err();
    assert_eq!(refused, BadWeights::TooSmall(vec![9_999]));
}

proptest! {
    #[test]
    fn every_position_is_within_the_catalog_and_repeats(
        bytes: [u8; 12],
        weights in prop::collection::vec(0.01_f64..100.0, 1..200),
    ) {
        let id = PurchaseId::from_bytes(bytes);
        for odds in [Odds::even(weights.len()), Odds::weighted(&weights).unwrap()] {
            prop_assert!(odds.position(id) < weights.len());
            prop_assert_eq!(odds.position(id), odds.clone().position(id));
        }
    }
}
