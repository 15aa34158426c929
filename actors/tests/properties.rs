//! Pure parts against simple references, thousands of random cases each.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use actors::{BatchLimits, Batcher, Epoch, TrackError, Tracker};
use proptest::prelude::*;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 4000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

#[derive(Clone, Debug)]
enum Op {
    Admit(u64),
    Settle(u64, bool),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        (0..3u64).prop_map(Op::Admit),
        (0..40u64, prop::bool::weighted(0.9)).prop_map(|(seq, ours)| Op::Settle(seq, ours)),
    ];
    proptest::collection::vec(op, 0..120)
}

proptest! {
    #![proptest_config(config())]

    /// The reference keeps everything that was admitted and everything that was settled.
    #[test]
    fn a_tracker_moves_over_the_contiguous_prefix_only(ops in ops()) {
        let (ours, theirs) = (Epoch::next(), Epoch::next());
        let mut tracker = Tracker::new(ours, 0);
        let (mut admitted, mut settled) = (BTreeSet::new(), BTreeSet::new());
        let mut open = 0;
        for op in ops {
            let before = tracker.next();
            match op {
                Op::Admit(gap) => {
                    let seq = open + gap;
                    prop_assert_eq!(tracker.admit(seq), Ok(()));
                    admitted.insert(seq);
                    open = seq + 1;
                    if seq > 0 {
                        let again = TrackError::NotRising { seq: seq - 1, last: open };
                        prop_assert_eq!(tracker.admit(seq - 1), Err(again));
                    }
                }
                Op::Settle(seq, false) => {
                    prop_assert_eq!(tracker.settle(seq, theirs), Err(TrackError::Fenced { ours, theirs }));
                }
                Op::Settle(seq, true) => {
                    let result = tracker.settle(seq, ours);
                    if result.is_ok() {
                        prop_assert!(admitted.contains(&seq) && settled.insert(seq));
                    } else {
                        prop_assert!(!admitted.contains(&seq) || settled.contains(&seq));
                    }
                }
            }
            let oldest = admitted.difference(&settled).next().copied();
            let next = match oldest {
                Some(oldest) => admitted.range(..oldest).next_back().map_or(0, |last| last + 1),
                None => admitted.last().map_or(0, |last| last + 1),
            };
            prop_assert_eq!(tracker.next(), next);
            prop_assert_eq!(tracker.oldest(), oldest);
            prop_assert_eq!(tracker.pending(), admitted.len() - settled.len());
            prop_assert!(tracker.next() >= before);
        }
    }

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
        prop_assert_eq!((batcher.len(), batcher.bytes()), (0, 0));
        for batch in &batches {
            prop_assert!(!batch.is_empty() && batch.len() <= limits.count);
            let bytes: usize = batch.iter().map(|(_, bytes)| bytes).sum();
            prop_assert!(bytes <= limits.bytes || batch.len() == 1);
        }
        let numbers: Vec<_> = batches.iter().flatten().map(|(number, _)| *number).collect();
        prop_assert_eq!(numbers, (0..items.len()).collect::<Vec<_>>());
    }

    #[test]
    fn a_later_epoch_is_greater_and_fences_the_earlier(count in 1..50usize) {
        let epochs: Vec<_> = (0..count).map(|_| Epoch::next()).collect();
        prop_assert!(epochs.is_sorted_by(|earlier, later| earlier < later));
        let mut tracker = Tracker::new(*epochs.last().unwrap(), 0);
        tracker.admit(0).unwrap();
        for epoch in &epochs[..count - 1] {
            let fenced = matches!(tracker.settle(0, *epoch), Err(TrackError::Fenced { .. }));
            prop_assert!(fenced);
        }
        prop_assert_eq!(tracker.settle(0, epochs[count - 1]), Ok(()));
    }
}
