//! The hand-written primitives under a scheduler that tries thousands of interleavings: the very
//! source files of the crate, compiled against the checker's locks and atomics.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "parts of the crate, included as they are"
)]

#[path = "../../src/bell.rs"]
mod bell;
#[path = "../../src/lifeline/control.rs"]
mod control;
#[path = "../../src/credits/gate.rs"]
mod gate;
#[path = "../../src/credits/ledger.rs"]
mod ledger;

mod sync {
    pub(crate) use shuttle::sync::atomic::{AtomicBool, Ordering};
    pub(crate) use shuttle::sync::{Mutex, MutexGuard};

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use shuttle::sync::atomic::AtomicUsize;
use shuttle::sync::mpsc;
use shuttle::{check_pct, check_random, future, thread};
use sync::Ordering;

use bell::Bell;
use control::{Control, Reachable};
use gate::Gate;
use ledger::{Cost, Refused};

const ONE: Cost = Cost { count: 1, bytes: 1 };
const TWO: Cost = Cost { count: 2, bytes: 2 };

/// Under random schedules and under such that aim at rare orders.
fn check(test: fn()) {
    check_random(test, 5000);
    check_pct(test, 5000, 3);
}

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

#[derive(Default)]
struct Orders {
    kills: AtomicUsize,
    drains: AtomicUsize,
}

struct Target(Arc<Orders>);

impl Reachable for Target {
    type Order = ();

    fn kill(&self) {
        self.0.kills.fetch_add(1, Ordering::SeqCst);
    }

    fn drain(&self, (): ()) {
        self.0.drains.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn orders_given_during_a_birth_reach_the_newborn() {
    check(|| {
        let control = Arc::new(Control::<Target>::default());
        let orders = Arc::new(Orders::default());
        let (birth, child) = (Arc::clone(&control), Arc::clone(&orders));
        let birth = thread::spawn(move || {
            birth.reached(Target(child));
            birth.up();
        });
        let drain = Arc::clone(&control);
        let drain = thread::spawn(move || drain.drain(()));
        control.kill();
        birth.join().expect("it does not panic");
        drain.join().expect("it does not panic");
        assert_eq!(orders.kills.load(Ordering::SeqCst), 1);
        assert_eq!(orders.drains.load(Ordering::SeqCst), 1);
        assert!(control.is_killed());
    });
}

#[test]
fn a_bell_wakes_for_every_result() {
    check(|| {
        let bell = Arc::new(Bell::new());
        let (results_in, results) = mpsc::channel();
        let (wake, wakes) = mpsc::channel();
        let workers: Vec<_> = (0..3)
            .map(|number| {
                let (bell, results_in, wake) =
                    (Arc::clone(&bell), results_in.clone(), wake.clone());
                thread::spawn(move || {
                    results_in.send(number).expect("somebody listens");
                    if bell.ring() {
                        wake.send(()).expect("somebody listens");
                    }
                })
            })
            .collect();
        let mut seen = 0;
        // A lost wake-up would leave this waiting for ever, which the checker reports.
        while seen < 3 {
            wakes.recv().expect("the workers live or have woken us");
            bell.heard();
            seen += results.try_iter().count();
        }
        for worker in workers {
            worker.join().expect("it does not panic");
        }
    });
}
