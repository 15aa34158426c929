//! A clock that stands until somebody moves it: whoever waits for a time that does not come, and for
//! nothing else, is a deadlock that the checker reports.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

thread_local! {
    // The checker runs all its threads on one of the system's.
    static BEGAN: Instant = Instant::now();
    static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static ASLEEP: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

/// At the beginning of a run.
pub(crate) fn reset() {
    PASSED.set(Duration::ZERO);
    ASLEEP.take();
}

pub(crate) fn passed() -> Duration {
    PASSED.get()
}

pub(crate) fn now() -> Instant {
    BEGAN.with(|began| *began + passed())
}

pub(crate) fn advance(time: Duration) {
    PASSED.set(passed() + time);
    ASLEEP.take().into_iter().for_each(Waker::wake);
}

pub(crate) async fn sleep(time: Duration) {
    let until = passed().saturating_add(time);
    poll_fn(|cx| {
        if passed() >= until {
            return Poll::Ready(());
        }
        ASLEEP.with_borrow_mut(|asleep| asleep.push(cx.waker().clone()));
        Poll::Pending
    })
    .await;
}
