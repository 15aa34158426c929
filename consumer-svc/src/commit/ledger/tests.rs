//! The ledger against its promises.

mod recount;

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
    let opening = ledger.open(partition, epoch, start, None);
    assert_eq!((opening.next, opening.skipped), (start, 0));
    (ledger, epoch)
}

/// Saves everything there is, as a database that is well does.
fn saved(ledger: &mut Ledger) {
    for (partition, tally) in ledger.unsaved() {
        let epoch = ledger.epoch(partition).unwrap();
        ledger.saved(partition, epoch, tally.reach());
    }
}

fn sold(partition: i32, epoch: Epoch, seq: u64) -> Settled<Note> {
    let note = Some(crate::tally::tests::sale(1, "Pen", 10, 0));
    Settled {
        note,
        ..settled(partition, epoch, seq, Outcome::Stored)
    }
}

fn counted(ledger: &Ledger, partition: i32) -> u64 {
    ledger.lanes[&partition].tally.counts().total.purchases
}

/// Offsets are committed after the statistics that count them, and not beyond.
#[test]
fn nothing_is_due_for_commit_before_its_statistics_are_saved() {
    let (mut ledger, epoch) = opened(0, 5);
    assert_eq!(ledger.due(), vec![]);
    saved(&mut ledger);
    assert_eq!(ledger.due(), vec![(0, 5)]);
    ledger.committed(&[(0, 5)]);
    assert!(ledger.admit(0, epoch, 5) && ledger.admit(0, epoch, 6));
    ledger.settle(vec![sold(0, epoch, 5)]);
    let unsaved = ledger.unsaved();
    ledger.settle(vec![sold(0, epoch, 6)]);
    assert_eq!(ledger.due(), vec![]);
    // What was saved is older than what is settled by now.
    ledger.saved(0, epoch, unsaved[0].1.reach());
    assert_eq!(ledger.due(), vec![(0, 6)]);
    saved(&mut ledger);
    assert_eq!(ledger.due(), vec![(0, 7)]);
}

#[test]
fn sales_are_counted_as_the_prefix_passes_them_and_lost_with_their_epoch_before() {
    let (mut ledger, old) = opened(0, 0);
    for offset in 0..4 {
        assert!(ledger.admit(0, old, offset));
    }
    ledger.settle(vec![sold(0, old, 0), sold(0, old, 2), sold(0, old, 3)]);
    assert_eq!(counted(&ledger, 0), 1);
    let new = Epoch::next();
    assert_eq!(ledger.reopen(0, new, 0), Some(1));
    for offset in 1..4 {
        assert!(ledger.admit(0, new, offset));
    }
    ledger.settle(vec![
        settled(0, new, 1, Outcome::DeadLettered),
        sold(0, new, 2),
        settled(0, new, 3, Outcome::Stored),
    ]);
    // What the last epoch said of the fourth is not remembered.
    assert_eq!(counted(&ledger, 0), 2);
}

#[test]
fn records_that_the_saved_statistics_count_are_not_counted_again() {
    let (mut ledger, epoch) = opened(0, 0);
    for offset in 0..6 {
        assert!(ledger.admit(0, epoch, offset));
        ledger.settle(vec![sold(0, epoch, offset)]);
    }
    let (_, tally) = ledger.unsaved().remove(0);
    // The successor starts where the last commit was, before what is saved.
    let (mut successor, epoch) = (Ledger::default(), Epoch::next());
    assert_eq!(successor.open(0, epoch, 2, Some(tally)).next, 2);
    for offset in 2..8 {
        assert!(successor.admit(0, epoch, offset));
    }
    for offset in [7, 3, 2, 4, 6, 5] {
        successor.settle(vec![sold(0, epoch, offset)]);
    }
    assert_eq!(counted(&successor, 0), 8);
    // Up to what is saved it may commit at once; beyond, only once that is saved too.
    assert_eq!(successor.due(), vec![(0, 6)]);
}

#[test]
fn nothing_is_due_for_commit_before_what_was_refused_and_is_taken_now_is_saved() {
    let (mut ledger, epoch) = opened(0, 0);
    for offset in 0..6 {
        assert!(ledger.admit(0, epoch, offset));
        let refused = [1, 3].contains(&offset);
        ledger.settle(vec![match refused {
            true => settled(0, epoch, offset, Outcome::DeadLettered),
            false => sold(0, epoch, offset),
        }]);
    }
    let (_, tally) = ledger.unsaved().remove(0);
    assert_eq!((counted(&ledger, 0), tally.upto()), (4, 6));
    // Somebody moves the group's offset back, and a version runs that takes all of them.
    let (mut later, epoch) = (Ledger::default(), Epoch::next());
    later.open(0, epoch, 0, Some(tally));
    for offset in 0..5 {
        assert!(later.admit(0, epoch, offset));
    }
    // Out of order, as batches end.
    for offset in [4, 3, 0] {
        later.settle(vec![sold(0, epoch, offset)]);
    }
    assert_eq!(later.due(), vec![(0, 1)]);
    later.settle(vec![sold(0, epoch, 1)]);
    let first = later.unsaved();
    later.settle(vec![sold(0, epoch, 2)]);
    assert_eq!((counted(&later, 0), later.due()), (6, vec![(0, 1)]));
    // What is saved has one of them and not the other.
    later.saved(0, epoch, first[0].1.reach());
    assert_eq!(later.due(), vec![(0, 1)]);
    saved(&mut later);
    assert_eq!(later.due(), vec![(0, 5)]);
    assert_eq!(later.unsaved(), vec![]);
}

#[test]
fn what_an_earlier_assignment_saved_says_nothing_of_this_one() {
    let (mut ledger, former) = opened(0, 0);
    saved(&mut ledger);
    let (_, loaded) = (ledger.fence(0), Tally::starting_at(0));
    let epoch = Epoch::next();
    ledger.open(0, epoch, 0, Some(loaded));
    assert!(ledger.admit(0, epoch, 0));
    ledger.settle(vec![sold(0, epoch, 0)]);
    // It was much further, and its answer comes now.
    let (amended, upto) = (3, 200);
    ledger.saved(0, former, Reach { amended, upto });
    assert_eq!(ledger.due(), vec![(0, 0)]);
    assert_eq!(ledger.unsaved().len(), 1, "it is still to be saved");
    saved(&mut ledger);
    assert_eq!(ledger.due(), vec![(0, 1)]);
}

#[test]
fn an_offset_moved_ahead_is_a_gap_and_not_a_commit_beyond_the_statistics() {
    let (mut ledger, epoch) = (Ledger::default(), Epoch::next());
    let opening = ledger.open(0, epoch, 9, Some(Tally::starting_at(4)));
    assert_eq!((opening.next, opening.skipped), (9, 5));
    assert_eq!(ledger.due(), vec![(0, 4)]);
    saved(&mut ledger);
    assert_eq!(ledger.due(), vec![(0, 9)]);
}

#[test]
fn an_assigned_partition_is_due_for_commit_before_its_first_record() {
    let (mut ledger, _) = opened(2, 17);
    saved(&mut ledger);
    assert_eq!(ledger.due(), vec![(2, 17)]);
    ledger.committed(&[(2, 17)]);
    assert_eq!(ledger.due(), vec![]);
}

#[test]
fn the_position_stops_before_the_first_unsettled_record() {
    let (mut ledger, epoch) = opened(0, 0);
    for offset in 0..3 {
        assert!(ledger.admit(0, epoch, offset));
    }
    ledger.settle(vec![
        settled(0, epoch, 0, Outcome::Stored),
        settled(0, epoch, 2, Outcome::DeadLettered),
    ]);
    saved(&mut ledger);
    assert_eq!(ledger.due(), vec![(0, 1)]);
    ledger.settle(vec![settled(0, epoch, 1, Outcome::Stored)]);
    saved(&mut ledger);
    assert_eq!(ledger.due(), vec![(0, 3)]);
}

#[test]
fn a_failed_record_holds_the_prefix_and_calls_the_reader_back_once() {
    let (mut ledger, epoch) = opened(0, 0);
    assert!(ledger.admit(0, epoch, 0));
    assert!(ledger.admit(0, epoch, 1));
    let applied = ledger.settle(vec![
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
    ledger.settle(vec![settled(0, old, 10, Outcome::Stored)]);
    let new = Epoch::next();
    assert_eq!(ledger.reopen(0, new, 10), Some(11));
    let applied = ledger.settle(vec![settled(0, old, 11, Outcome::Stored)]);
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
            .settle(vec![settled(0, epoch, 0, Outcome::Stored)])
            .fenced,
        1
    );
    assert_eq!(ledger.due(), vec![]);
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
            let applied = ledger.settle(vec![settled(1, epoch, offsets[place], Outcome::Stored)]);
            // A second settlement of the same record is refused and counted.
            prop_assert_eq!(applied.fenced, usize::from(!open[place]));
            open[place] = false;
            let prefix = open.iter().take_while(|open| !**open).count();
            let expected = if prefix == 0 { 5 } else { offsets[prefix - 1] + 1 };
            prop_assert_eq!(ledger.position(1).map(|(next, _)| next), Some(expected));
        }
    }
}
