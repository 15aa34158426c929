//! Credits: what is taken comes back once, and nobody waits for ever.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use shuttle::{future, thread};

use crate::check;
use crate::gate::{Gate, Share};
use crate::ledger::{Cost, Refused};

const ONE: Cost = Cost { count: 1, bytes: 1 };
const TWO: Cost = Cost { count: 2, bytes: 2 };

#[test]
fn no_wake_up_is_lost_and_credits_are_conserved() {
    check(|| {
        let gate = Arc::new(Gate::new(TWO));
        let tasks: Vec<_> = [ONE, TWO, ONE, TWO]
            .into_iter()
            .map(|cost| {
                let gate = Arc::clone(&gate);
                future::spawn(async move {
                    let generation = gate.wait(cost).await.expect("nothing refuses it");
                    future::yield_now().await;
                    gate.give_back(cost, generation);
                })
            })
            .collect();
        future::block_on(async {
            for task in tasks {
                task.await.expect("it does not panic");
            }
        });
        assert_eq!(gate.used(), Cost::default());
    });
}

#[test]
fn a_request_dropped_while_it_is_granted_passes_the_credit_on() {
    check(|| {
        let gate = Arc::new(Gate::new(ONE));
        let generation = gate.try_take(ONE).expect("it is free");
        let holder = Arc::clone(&gate);
        let holder = thread::spawn(move || holder.give_back(ONE, generation));
        let fickle = Arc::clone(&gate);
        let fickle = future::spawn(async move {
            let mut wait = pin!(fickle.wait(ONE));
            let taken = poll_fn(|cx| match wait.as_mut().poll(cx) {
                Poll::Ready(taken) => Poll::Ready(taken.ok()),
                Poll::Pending => Poll::Ready(None),
            })
            .await;
            future::yield_now().await;
            if let Some(generation) = taken {
                fickle.give_back(ONE, generation);
            }
        });
        let patient = Arc::clone(&gate);
        let patient = future::spawn(async move {
            let generation = patient.wait(ONE).await.expect("nothing refuses it");
            patient.give_back(ONE, generation);
        });
        future::block_on(async {
            fickle.await.expect("it does not panic");
            patient.await.expect("it does not panic");
        });
        holder.join().expect("it does not panic");
        assert_eq!(gate.used(), Cost::default());
    });
}

#[test]
fn closing_wakes_everybody_who_waits() {
    check(|| {
        let gate = Arc::new(Gate::new(ONE));
        let held = gate.try_take(ONE).expect("it is free");
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let gate = Arc::clone(&gate);
                future::spawn(async move { gate.wait(ONE).await })
            })
            .collect();
        let closer = Arc::clone(&gate);
        let closer = thread::spawn(move || closer.close());
        future::block_on(async {
            for task in waiting {
                assert_eq!(task.await.expect("it does not panic"), Err(Refused::Closed));
            }
        });
        closer.join().expect("it does not panic");
        gate.give_back(ONE, held);
        assert_eq!(gate.used(), Cost::default());
    });
}

#[test]
fn reclaiming_and_resizing_amid_requests_leave_the_books_right() {
    check(|| {
        let gate = Arc::new(Gate::new(ONE));
        let lost = gate.try_take(ONE).expect("it is free");
        let tasks: Vec<_> = (0..2)
            .map(|_| {
                let gate = Arc::clone(&gate);
                future::spawn(async move {
                    let generation = gate.wait(ONE).await.expect("nothing refuses it");
                    gate.give_back(ONE, generation);
                })
            })
            .collect();
        let other = Arc::clone(&gate);
        let other = thread::spawn(move || {
            other.reclaim();
            other.resize(TWO);
            other.give_back(ONE, lost);
        });
        future::block_on(async {
            for task in tasks {
                task.await.expect("it does not panic");
            }
        });
        other.join().expect("it does not panic");
        assert_eq!(gate.used(), Cost::default());
    });
}

#[test]
fn a_share_comes_back_once_whether_it_is_reclaimed_or_dropped_or_both_at_once() {
    check(|| {
        let gate = Arc::new(Gate::new(TWO));
        let generation = gate.try_take(TWO).expect("it is free");
        let mut share = Share::new(TWO, generation);
        let part = share.split(ONE).expect("it is large enough");
        let share = Arc::new(share);
        let waiting = Arc::clone(&gate);
        let waiting = future::spawn(async move {
            let generation = waiting.wait(TWO).await.expect("nothing refuses it");
            waiting.give_back(TWO, generation);
        });
        let givers: Vec<_> = (0..2)
            .map(|_| {
                let (gate, share) = (Arc::clone(&gate), Arc::clone(&share));
                thread::spawn(move || share.give_back(&gate))
            })
            .collect();
        part.give_back(&gate);
        for giver in givers {
            giver.join().expect("it does not panic");
        }
        future::block_on(waiting).expect("it does not panic");
        assert_eq!(gate.used(), Cost::default());
    });
}
