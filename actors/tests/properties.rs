//! Pure parts against simple references, thousands of random cases each.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;

use actors::testkit::Settlements;
use actors::{Cost, Credits, Epoch, Outcome, Position, Receipt, TrackError, Tracker};
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

/// What happens to the receipts of one permit.
#[derive(Clone, Debug)]
enum Way {
    /// This one takes so many bytes apart.
    Apart(usize, usize),
    Settled(usize),
    Dropped(usize),
    /// So many are settled at once.
    Batch(usize),
}

fn ways() -> impl Strategy<Value = Vec<Way>> {
    let way = prop_oneof![
        (0..12usize, 0..20usize).prop_map(|(which, bytes)| Way::Apart(which, bytes)),
        (0..12usize).prop_map(Way::Settled),
        (0..12usize).prop_map(Way::Dropped),
        (1..4usize).prop_map(Way::Batch),
    ];
    proptest::collection::vec(way, 0..40)
}

proptest! {
    #![proptest_config(config())]

    /// The reference is an account of who holds what: those that are together one sum, the others each
    /// their own.
    #[test]
    fn a_credit_that_is_taken_apart_comes_back_once_and_no_later_than_its_own_receipts(
        ways in ways(),
        charge in 0..100usize,
    ) {
        let (mut together, mut count) = (Cost { count: 12, bytes: charge }, 12);
        let room = Credits::new("room", Cost { count: 12, bytes: 100 });
        let permit = room.try_take(together).unwrap();
        let (book, epoch) = (Settlements::<()>::new(), Epoch::next());
        let positions = (0..12).map(|seq| Position { lane: 0, epoch, seq });
        let receipts = book.receipts(positions, Some(permit));
        let mut held: Vec<(Receipt, Option<Cost>)> = receipts.into_iter().map(|one| (one, None)).collect();
        for way in ways {
            let taken = match way {
                Way::Apart(which, bytes) if which < held.len() => {
                    let (receipt, own) = &mut held[which];
                    receipt.apart(Cost { count: 1, bytes });
                    let from = own.unwrap_or(together);
                    let part = Cost { count: from.count.min(1), bytes: from.bytes.min(bytes) };
                    if own.replace(part).is_none() {
                        count -= 1;
                        together = Cost { count: together.count - part.count, bytes: together.bytes - part.bytes };
                    }
                    Vec::new()
                }
                Way::Settled(which) | Way::Dropped(which) if which < held.len() => vec![held.remove(which)],
                Way::Batch(most) => held.split_off(held.len().saturating_sub(most)),
                _ => Vec::new(),
            };
            count -= taken.iter().filter(|(_, own)| own.is_none()).count();
            if matches!(way, Way::Dropped(_)) {
                drop(taken);
            } else {
                Receipt::settle_all(taken.into_iter().map(|(one, _)| (one, Outcome::Stored, None)));
            }
            let none = Cost::default();
            let parts = held.iter().filter_map(|(_, own)| *own);
            let used = parts.fold(if count == 0 { none } else { together }, |sum, own| Cost {
                count: sum.count + own.count,
                bytes: sum.bytes + own.bytes,
            });
            prop_assert_eq!(room.in_use(), used);
        }
        drop(held);
        prop_assert_eq!(room.in_use(), Cost::default());
        book.assert_each_once();
    }

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
