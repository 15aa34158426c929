//! Each once, one call per outlet, credits back at the end.

use super::*;
use crate::sync::{Mutex, lock};
use crate::{Cost, Credits};

#[derive(Default)]
struct Log(Mutex<Vec<Vec<Settled<u8>>>>);

impl Settle<u8> for Log {
    fn settled(&self, batch: Vec<Settled<u8>>) {
        lock(&self.0).push(batch);
    }
}

impl Log {
    fn outcomes(&self) -> Vec<Vec<(u64, Outcome)>> {
        lock(&self.0)
            .iter()
            .map(|call| call.iter().map(|s| (s.position.seq, s.outcome)).collect())
            .collect()
    }
}

fn position(seq: u64) -> Position {
    Position {
        lane: 0,
        epoch: Epoch::next(),
        seq,
    }
}

fn receipt(seq: u64, log: &Arc<Log>) -> Receipt<u8> {
    Receipt::new(position(seq), Arc::clone(log) as Outlet<u8>, None)
}

#[test]
fn a_dropped_receipt_is_settled_as_failed_once() {
    let log = Arc::new(Log::default());
    drop(receipt(1, &log));
    receipt(2, &log).settle(Outcome::Stored, Some(7));
    assert_eq!(
        log.outcomes(),
        [vec![(1, Outcome::Failed)], vec![(2, Outcome::Stored)]]
    );
    assert_eq!(lock(&log.0)[1][0].note, Some(7));
}

#[test]
fn many_are_settled_with_one_call_per_outlet_in_order() {
    let (left, right) = (Arc::new(Log::default()), Arc::new(Log::default()));
    let batch = [(1, &left), (2, &right), (3, &left), (4, &right)];
    Receipt::settle_all(batch.map(|(seq, log)| (receipt(seq, log), Outcome::Stored, None)));
    assert_eq!(
        left.outcomes(),
        [vec![(1, Outcome::Stored), (3, Outcome::Stored)]]
    );
    assert_eq!(
        right.outcomes(),
        [vec![(2, Outcome::Stored), (4, Outcome::Stored)]]
    );
}

#[test]
fn the_credit_comes_back_with_the_last_receipt_that_shares_it() {
    let credits = Credits::new("t", Cost { count: 2, bytes: 2 });
    let permit = credits.try_take(Cost { count: 2, bytes: 2 }).unwrap();
    let log = Arc::new(Log::default());
    let origin = Origin::new(Arc::clone(&log) as Outlet<u8>, Some(permit));
    let [first, second] = [1, 2].map(|seq| origin.receipt(position(seq)));
    drop(origin);
    first.settle(Outcome::Stored, None);
    assert_eq!(credits.in_use().count, 2);
    drop(second);
    assert_eq!(credits.in_use().count, 0);
}

#[test]
fn what_was_settled_before_the_batch_panicked_is_told_and_the_rest_failed() {
    let log = Arc::new(Log::default());
    let receipts: Vec<_> = (1..=4).map(|seq| receipt(seq, &log)).collect();
    let panic = catch_now(|| {
        Receipt::settle_all(receipts.into_iter().map(|receipt| {
            assert!(receipt.position().seq < 3, "planned panic");
            (receipt, Outcome::Stored, None)
        }));
    });
    assert!(panic.unwrap_err().contains("planned panic"));
    let mut all: Vec<_> = log.outcomes().into_iter().flatten().collect();
    all.sort_by_key(|(seq, _)| *seq);
    let (stored, failed) = (Outcome::Stored, Outcome::Failed);
    assert_eq!(all, [(1, stored), (2, stored), (3, failed), (4, failed)]);
}
