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

/// An account, and so many receipts that share a permit of it.
fn sharing(count: u64, charge: Cost, log: &Arc<Log>) -> (Credits, Vec<Receipt<u8>>) {
    let limit = Cost {
        count: 100,
        bytes: 100,
    };
    let credits = Credits::new("t", limit);
    let permit = credits.try_take(charge).unwrap();
    let origin = Origin::new(Arc::clone(log) as Outlet<u8>, Some(permit));
    let receipts = (0..count).map(|seq| origin.receipt(position(seq)));
    let receipts = receipts.collect();
    (credits, receipts)
}

const fn cost(count: usize, bytes: usize) -> Cost {
    Cost { count, bytes }
}

#[test]
fn the_credit_of_what_was_taken_apart_does_not_keep_that_of_the_others() {
    let log = Arc::new(Log::default());
    let (credits, mut receipts) = sharing(10, cost(10, 80), &log);
    let mut slow = receipts.split_off(8);
    for receipt in &mut slow {
        receipt.apart(cost(1, 8));
        assert_eq!(credits.in_use(), cost(10, 80), "nothing is back yet");
    }
    Receipt::settle_all(receipts.into_iter().map(|one| (one, Outcome::Stored, None)));
    assert_eq!(credits.in_use(), cost(2, 16));
    slow.pop().unwrap().settle(Outcome::DeadLettered, None);
    assert_eq!(credits.in_use(), cost(1, 8));
    drop(slow);
    assert_eq!(credits.in_use(), Cost::default());
    // Each was told once, and those that share an outlet together.
    let told = log.outcomes();
    assert_eq!(told[0].len(), 8);
    let (lettered, failed) = ((9, Outcome::DeadLettered), (8, Outcome::Failed));
    assert_eq!(told[1..], [vec![lettered], vec![failed]]);
}

#[test]
fn the_last_one_that_is_taken_apart_gives_back_what_the_others_left() {
    let log = Arc::new(Log::default());
    let (credits, mut receipts) = sharing(10, cost(10, 80), &log);
    let mut slow = receipts.pop().unwrap();
    drop(receipts);
    assert_eq!(credits.in_use(), cost(10, 80));
    for _ in 0..2 {
        slow.apart(cost(1, 8));
        assert_eq!(credits.in_use(), cost(1, 8), "however often");
    }
    drop(slow);
    assert_eq!(credits.in_use(), Cost::default());
}

#[test]
fn no_more_is_taken_apart_than_there_is() {
    let log = Arc::new(Log::default());
    // Three of eight bytes each, of which the account had less to give.
    let (credits, mut receipts) = sharing(3, cost(3, 10), &log);
    for receipt in &mut receipts {
        receipt.apart(cost(1, 8));
    }
    let mut left = [cost(2, 2), cost(1, 0), Cost::default()].into_iter();
    for receipt in receipts {
        receipt.settle(Outcome::Stored, None);
        assert_eq!(Some(credits.in_use()), left.next());
    }
    // All of it can be taken again, and no more.
    let whole = credits.try_take(credits.limit()).unwrap();
    assert!(credits.try_take(cost(1, 1)).is_err());
    drop(whole);
}

#[test]
fn without_a_credit_nothing_is_taken_apart() {
    let log = Arc::new(Log::default());
    let mut alone = receipt(1, &log);
    alone.apart(cost(1, 8));
    alone.settle(Outcome::Stored, None);
    assert_eq!(log.outcomes(), [vec![(1, Outcome::Stored)]]);
}

#[test]
fn what_was_taken_back_meanwhile_comes_back_from_nobody_a_second_time() {
    let log = Arc::new(Log::default());
    let (credits, mut receipts) = sharing(4, cost(4, 40), &log);
    receipts[0].apart(cost(1, 10));
    // Their receiver died, and another one has taken all there is.
    credits.reclaim();
    let whole = credits.try_take(credits.limit()).unwrap();
    receipts[1].apart(cost(1, 10));
    drop(receipts);
    assert_eq!(credits.in_use(), credits.limit());
    drop(whole);
    assert_eq!(credits.in_use(), Cost::default());
}

#[test]
fn a_credit_that_somebody_may_take_back_stays_whole() {
    let log = Arc::new(Log::default());
    let credits = Credits::new("t", cost(4, 40));
    let permit = Arc::new(credits.try_take(cost(4, 40)).unwrap());
    let origin = Origin::watched(Arc::clone(&log) as Outlet<u8>, Arc::clone(&permit));
    let [mut first, second] = [1, 2].map(|seq| origin.receipt(position(seq)));
    drop(origin);
    first.apart(cost(1, 10));
    permit.reclaim();
    assert_eq!(credits.in_use(), Cost::default());
    drop((first, second, permit));
    assert_eq!(credits.in_use(), Cost::default());
}

#[test]
fn an_outlet_that_panics_keeps_no_credit_of_what_was_taken_apart() {
    struct Broken;
    impl Settle<u8> for Broken {
        fn settled(&self, _: Vec<Settled<u8>>) {
            panic!("planned panic");
        }
    }
    let credits = Credits::new("t", cost(2, 2));
    let permit = credits.try_take(cost(2, 2)).unwrap();
    let origin = Origin::new(Arc::new(Broken) as Outlet<u8>, Some(permit));
    let [mut slow, other] = [1, 2].map(|seq| origin.receipt(position(seq)));
    drop(origin);
    slow.apart(cost(1, 1));
    other.settle(Outcome::Stored, None);
    assert_eq!(credits.in_use(), cost(1, 1));
    slow.settle(Outcome::Stored, None);
    assert_eq!(credits.in_use(), Cost::default());
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
