//! Limits, order, and a random life against both.

use super::*;

const LIMITS: BatchLimits = BatchLimits {
    count: 3,
    bytes: 10,
    age: Duration::from_millis(20),
};

#[test]
fn count_closes_a_batch() {
    let mut batcher = Batcher::new(LIMITS);
    let now = Instant::now();
    assert_eq!(batcher.push('a', 1, now), None);
    assert_eq!(batcher.push('b', 1, now), None);
    assert_eq!(batcher.push('c', 1, now), Some(vec!['a', 'b', 'c']));
    assert!(batcher.is_empty());
    assert_eq!(batcher.deadline(), None);
}

#[test]
fn an_item_that_does_not_fit_closes_the_batch_before_it() {
    let mut batcher = Batcher::new(LIMITS);
    let now = Instant::now();
    assert_eq!(batcher.push('a', 6, now), None);
    assert_eq!(batcher.push('b', 30, now), Some(vec!['a']));
    assert_eq!(
        batcher.deadline(),
        Some(now),
        "a lone oversize item is due at once"
    );
    assert_eq!(batcher.take_due(now), Some(vec!['b']));
}

#[test]
fn age_counts_from_the_first_item() {
    let mut batcher = Batcher::new(LIMITS);
    let start = Instant::now();
    batcher.push('a', 1, start);
    batcher.push('b', 1, start + Duration::from_millis(19));
    assert_eq!(batcher.take_due(start + Duration::from_millis(19)), None);
    assert_eq!(
        batcher.take_due(start + Duration::from_millis(20)),
        Some(vec!['a', 'b'])
    );
}

#[test]
#[should_panic(expected = "BatchLimits::count must be at least 1")]
fn zero_items_are_refused() {
    Batcher::<()>::new(BatchLimits { count: 0, ..LIMITS });
}

#[test]
#[should_panic(expected = "BatchLimits::bytes must be at least 1")]
fn zero_bytes_are_refused() {
    Batcher::<()>::new(BatchLimits { bytes: 0, ..LIMITS });
}

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_batcher_keeps_order_and_limits_and_forgets_nothing(
        limits in (1..6usize, 1..30usize, 1..50u64),
        items in proptest::collection::vec((0..40usize, 0..30u64, 0..8u8), 0..80),
    ) {
        let limits = BatchLimits { count: limits.0, bytes: limits.1, age: Duration::from_millis(limits.2) };
        let mut batcher = Batcher::new(limits);
        let mut now = Instant::now();
        let mut opened = None;
        let mut batches: Vec<Vec<(usize, usize)>> = Vec::new();
        for (number, (bytes, pause, other)) in items.iter().enumerate() {
            now += Duration::from_millis(*pause);
            let due = batcher.take_due(now);
            if let Some(opened) = opened {
                prop_assert_eq!(due.is_some(), now >= opened, "due exactly at its deadline");
            } else {
                prop_assert!(due.is_none());
            }
            batches.extend(due);
            batches.extend(batcher.push((number, *bytes), *bytes, now));
            if *other == 0 {
                batches.extend(batcher.flush());
                prop_assert!(batcher.is_empty());
            }
            opened = batcher.deadline();
            prop_assert_eq!(opened.is_none(), batcher.is_empty());
            prop_assert!(opened.is_none_or(|at| at <= now + limits.age));
        }
        batches.extend(batcher.flush());
        prop_assert!(batcher.is_empty());
        for batch in &batches {
            prop_assert!(!batch.is_empty() && batch.len() <= limits.count);
            let bytes: usize = batch.iter().map(|(_, bytes)| bytes).sum();
            prop_assert!(bytes <= limits.bytes || batch.len() == 1);
        }
        let numbers: Vec<_> = batches.iter().flatten().map(|(number, _)| *number).collect();
        prop_assert_eq!(numbers, (0..items.len()).collect::<Vec<_>>());
    }
}
