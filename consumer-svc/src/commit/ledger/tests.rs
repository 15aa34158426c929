//! The ledger against its promises.

use actors::Position;
use proptest::prelude::*;

use super::*;

fn settled(partition: i32, epoch: Epoch, seq: u64, outcome: Outcome) -> Settled<Note> {
    Settled {
        position: Position {
            lane: partition as u32,
            epoch,
            seq,
        },
        outcome,
        note: None,
    }
}

fn opened(partition: i32, start: u64) -> (Ledger, Epoch) {
    let mut ledger = Ledger::default();
    let epoch = Epoch::next();
    assert_eq!(ledger.open(partition, epoch, start), start);
    (ledger, epoch)
}

#[test]
fn an_assigned_partition_is_due_for_commit_before_its_first_record() {
    let (mut ledger, _) = opened(2, 17);
    assert_eq!(ledger.due(None), vec![(2, 17)]);
    ledger.committed(&[(2, 17)]);
    assert_eq!(ledger.due(None), vec![]);
}

#[test]
fn the_position_stops_before_the_first_unsettled_record() {
    let (mut ledger, epoch) = opened(0, 0);
    for offset in 0..3 {
        assert!(ledger.admit(0, epoch, offset));
    }
    ledger.settle(&[
        settled(0, epoch, 0, Outcome::Stored),
        settled(0, epoch, 2, Outcome::DeadLettered),
    ]);
    assert_eq!(ledger.due(None), vec![(0, 1)]);
    ledger.settle(&[settled(0, epoch, 1, Outcome::Stored)]);
    assert_eq!(ledger.due(None), vec![(0, 3)]);
}

#[test]
fn a_failed_record_holds_the_prefix_and_calls_the_reader_back_once() {
    let (mut ledger, epoch) = opened(0, 0);
    assert!(ledger.admit(0, epoch, 0));
    assert!(ledger.admit(0, epoch, 1));
    let applied = ledger.settle(&[
        settled(0, epoch, 0, Outcome::Failed),
        settled(0, epoch, 1, Outcome::Failed),
    ]);
    assert_eq!(applied.recall, vec![0]);
    assert!(ledger.is_failed(0));
    assert_eq!(ledger.position(0), Some((0, false)));
}

#[test]
fn a_new_epoch_begins_at_what_the_old_one_settled_and_fences_it() {
    let (mut ledger, old) = opened(0, 10);
    assert!(ledger.admit(0, old, 10));
    assert!(ledger.admit(0, old, 11));
    ledger.settle(&[settled(0, old, 10, Outcome::Stored)]);
    let new = Epoch::next();
    assert_eq!(ledger.open(0, new, 10), 11);
    let applied = ledger.settle(&[settled(0, old, 11, Outcome::Stored)]);
    assert_eq!(applied.fenced, 1);
    assert_eq!(ledger.position(0), Some((11, false)));
    assert!(!ledger.admit(0, old, 12));
}

#[test]
fn a_fenced_partition_is_not_committed() {
    let (mut ledger, epoch) = opened(0, 0);
    assert!(ledger.admit(0, epoch, 0));
    ledger.fence(0);
    assert_eq!(
        ledger
            .settle(&[settled(0, epoch, 0, Outcome::Stored)])
            .fenced,
        1
    );
    assert_eq!(ledger.due(None), vec![]);
}

proptest! {
    /// Whatever the order of settlements, the due position is the contiguous prefix, computed the
    /// slow way.
    #[test]
    fn the_due_position_is_always_the_contiguous_prefix(
        gaps in prop::collection::vec(1u64..4, 1..60),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
    ) {
        let (mut ledger, epoch) = opened(1, 5);
        let mut offsets = Vec::new();
        let mut next = 5;
        for gap in gaps {
            next += gap - 1;
            offsets.push(next);
            assert!(ledger.admit(1, epoch, next));
            next += 1;
        }
        let mut open: Vec<bool> = vec![true; offsets.len()];
        for pick in order {
            let place = pick.index(offsets.len());
            let applied = ledger.settle(&[settled(1, epoch, offsets[place], Outcome::Stored)]);
            // A second settlement of the same record is refused and counted.
            prop_assert_eq!(applied.fenced, usize::from(!open[place]));
            open[place] = false;
            let prefix = open.iter().take_while(|open| !**open).count();
            let expected = if prefix == 0 { 5 } else { offsets[prefix - 1] + 1 };
            prop_assert_eq!(ledger.position(1).map(|(next, _)| next), Some(expected));
        }
    }
}
