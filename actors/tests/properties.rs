//! Pure parts against simple references, thousands of random cases each.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;

use actors::{Epoch, TrackError, Tracker};
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
            prop_assert_eq!(tracker.pending(), admitted.len() - settled.len());
            prop_assert!(tracker.next() >= before);
        }
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
