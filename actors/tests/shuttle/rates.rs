//! The rate of a pipeline: nobody passes too early, and nobody waits for what changed meanwhile.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::{future, thread};

use crate::rate::Rate;
use crate::throttle::Throttle;
use crate::{check, clock};

const SECOND: Duration = Duration::from_secs(1);

/// Ten a second, two at once.
const TEN: Rate = Rate {
    per_second: 10.0,
    burst: 2,
};

fn throttle(rate: Rate) -> Arc<Throttle> {
    clock::reset();
    Arc::new(Throttle::new(Some(rate)))
}

#[test]
fn no_more_pass_than_the_rate_allows_and_in_the_end_all_do() {
    check(|| {
        let (throttle, passed) = (throttle(TEN), Arc::<AtomicUsize>::default());
        let chunks: Vec<_> = [1, 3, 1]
            .into_iter()
            .map(|count| {
                let (throttle, passed) = (Arc::clone(&throttle), Arc::clone(&passed));
                future::spawn(async move {
                    throttle.pass(count).await;
                    let passed = passed.fetch_add(count, Ordering::SeqCst) + count;
                    let allowed = clock::passed().as_secs_f64() * 10.0 + 2.0;
                    assert!(passed as f64 <= allowed + 0.01, "{passed} of {allowed}");
                })
            })
            .collect();
        while passed.load(Ordering::SeqCst) < 5 {
            clock::advance(SECOND / 20);
            thread::yield_now();
        }
        future::block_on(async {
            for chunk in chunks {
                chunk.await.expect("it does not panic");
            }
        });
    });
}

#[test]
fn who_waits_hears_that_the_rate_is_lifted() {
    check(|| {
        let throttle = throttle(TEN);
        let chunks: Vec<_> = [2, 5, 1]
            .into_iter()
            .map(|count| {
                let throttle = Arc::clone(&throttle);
                future::spawn(async move { throttle.pass(count).await })
            })
            .collect();
        let lifter = Arc::clone(&throttle);
        let lifter = thread::spawn(move || lifter.set(None));
        // The clock stands: a change nobody hears of would leave this waiting for ever.
        future::block_on(async {
            for chunk in chunks {
                chunk.await.expect("it does not panic");
            }
        });
        lifter.join().expect("it does not panic");
    });
}

#[test]
fn who_leaves_the_line_holds_nobody_up() {
    check(|| {
        let throttle = throttle(TEN);
        let fickle = Arc::clone(&throttle);
        let fickle = future::spawn(async move {
            let mut pass = pin!(fickle.pass(50));
            // Asked once, and dropped: it never has its turn, since the clock stands.
            let passed = poll_fn(|cx| Poll::Ready(pass.as_mut().poll(cx).is_ready())).await;
            future::yield_now().await;
            assert!(!passed);
        });
        let patient: Vec<_> = (0..2)
            .map(|_| {
                let throttle = Arc::clone(&throttle);
                future::spawn(async move { throttle.pass(1).await })
            })
            .collect();
        future::block_on(async {
            fickle.await.expect("it does not panic");
            for one in patient {
                one.await.expect("it does not panic");
            }
        });
    });
}
