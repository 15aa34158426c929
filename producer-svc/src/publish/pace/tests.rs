//! What comes when, in which request, and what of too large ones comes again.

use std::sync::Mutex;

use proptest::prelude::*;

use super::*;

const LINGER: Duration = Duration::from_millis(10);

fn arrived(
    pacer: &mut Pacer<usize>,
    lane: usize,
    busy: bool,
    now: Instant,
    record: usize,
) -> Option<usize> {
    let arrived = pacer.arrived(lane, busy, || now, record);
    arrived.map(|(record, at)| {
        assert_eq!(at, now);
        record
    })
}

#[test]
fn the_first_record_and_those_soon_after_share_a_request_and_the_rest_the_next() {
    let (mut pacer, start) = (Pacer::new(LINGER, |_| 1), Instant::now());
    assert_eq!(arrived(&mut pacer, 0, false, start, 1), Some(1));
    assert_eq!(arrived(&mut pacer, 0, true, start + LINGER / 2, 2), Some(2));
    assert_eq!(arrived(&mut pacer, 0, true, start + LINGER, 3), None);
    assert_eq!(arrived(&mut pacer, 0, true, start + LINGER, 4), None);
    assert_eq!(
        arrived(&mut pacer, 1, false, start + LINGER, 5),
        Some(5),
        "another lane is free"
    );
    assert_eq!(pacer.landed(0, start + LINGER), [3, 4]);
    assert_eq!(
        arrived(&mut pacer, 0, true, start + LINGER, 6),
        Some(6),
        "a new request was begun"
    );
    assert_eq!(pacer.held(), 0);
}

#[test]
fn the_last_report_of_a_lane_is_told_and_no_other() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&told);
    let lanes = Lanes::new(
        Box::new(move |lane| to.lock().unwrap().push(lane)),
        Box::new(|_, _| {}),
    );
    let (one, two, other) = (lanes.enter(3), lanes.enter(3), lanes.enter(4));
    drop(one);
    assert!(told.lock().unwrap().is_empty() && lanes.is_busy(3));
    drop(two);
    assert_eq!(*told.lock().unwrap(), [3]);
    drop(other);
    assert_eq!(*told.lock().unwrap(), [3, 4]);
    assert!(!lanes.is_busy(3) && lanes.waiting().is_none());
    let again = lanes.enter(3);
    assert!(lanes.waiting().is_some());
    drop(again);
}

#[test]
fn what_is_overdue_is_given_up_in_order() {
    let (mut pacer, now) = (Pacer::new(LINGER, |_| 1), Instant::now());
    arrived(&mut pacer, 0, false, now, 0);
    for record in 1..5 {
        assert_eq!(arrived(&mut pacer, 0, true, now + LINGER, record), None);
    }
    assert_eq!(pacer.overdue(|&record| record < 3), [1, 2]);
    assert_eq!(pacer.held(), 2);
    assert_eq!(pacer.take_all(), [3, 4]);
}

/// A topic that takes requests of up to this many bytes, and records that weigh what they are
/// called. Gives everything to it that `pacer` has for lane 0; tells what it took, what was refused
/// for good, and how many requests that needed.
fn exhaust(
    pacer: &mut Pacer<usize>,
    takes: usize,
    now: Instant,
) -> (Vec<usize>, Vec<usize>, usize) {
    let (mut taken, mut refused, mut requests) = (Vec::new(), Vec::new(), 0);
    loop {
        refused.extend(pacer.refused(0, now));
        let next = pacer.landed(0, now);
        if next.is_empty() {
            return (taken, refused, requests);
        }
        requests += 1;
        if next.iter().sum::<usize>() <= takes {
            taken.extend(next);
        } else {
            next.into_iter()
                .for_each(|record| pacer.returned(0, record));
        }
    }
}

#[test]
fn the_next_requests_are_small_enough_at_once_and_later_a_large_one_is_tried_again() {
    let (mut pacer, now) = (Pacer::new(LINGER, |&record| record), Instant::now());
    assert_eq!(arrived(&mut pacer, 0, false, now, 1), Some(1));
    let come = |pacer: &mut Pacer<usize>, now| {
        (0..16).for_each(|_| assert_eq!(arrived(pacer, 0, true, now, 10), None));
    };
    come(&mut pacer, now + LINGER);
    // 160, 80, 40 and 20 at once, and then by 20 each.
    assert_eq!(exhaust(&mut pacer, 25, now).2, 11);
    come(&mut pacer, now + LINGER);
    assert_eq!(exhaust(&mut pacer, 25, now).2, 8);
    come(&mut pacer, now + LINGER);
    assert_eq!(exhaust(&mut pacer, 160, now + BOUND_FOR).2, 1);
}

proptest! {
    #[test]
    fn of_requests_that_are_too_large_only_what_is_too_large_alone_is_refused(
        records in prop::collection::vec(1_usize..100, 1..60),
        takes in 1_usize..200,
    ) {
        let (mut pacer, now) = (Pacer::new(LINGER, |&record| record), Instant::now());
        for &record in &records {
            pacer.returned(0, record);
        }
        let (taken, refused, _) = exhaust(&mut pacer, takes, now);
        prop_assert_eq!(pacer.held(), 0);
        if let [alone] = records[..] {
            // It came back alone.
            prop_assert_eq!(refused, [alone]);
        } else {
            let (small, large): (Vec<usize>, Vec<usize>) =
                records.iter().copied().partition(|&record| record <= takes);
            prop_assert_eq!(taken, small);
            prop_assert_eq!(refused, large);
        }
    }

    #[test]
    fn every_record_comes_out_once_and_in_its_lanes_order(
        steps in prop::collection::vec((0_usize..3, 0_u64..20, any::<bool>()), 1..200),
    ) {
        let mut pacer = Pacer::new(LINGER, |_| 1);
        let mut now = Instant::now();
        let mut under_way = [0_usize; 3];
        let mut out: [Vec<usize>; 3] = Default::default();
        let mut sent: [Vec<usize>; 3] = Default::default();
        for (at, (lane, pause, lands)) in steps.into_iter().enumerate() {
            now += Duration::from_millis(pause);
            if lands {
                under_way[lane] = 0;
                let next = pacer.landed(lane, now);
                under_way[lane] += next.len();
                out[lane].extend(next);
            } else {
                sent[lane].push(at);
                if let Some(record) = arrived(&mut pacer, lane, under_way[lane] > 0, now, at) {
                    under_way[lane] += 1;
                    out[lane].push(record);
                }
            }
        }
        for (lane, out) in out.iter_mut().enumerate() {
            out.extend(pacer.landed(lane, now));
        }
        prop_assert_eq!(pacer.held(), 0);
        prop_assert_eq!(out, sent);
    }
}
