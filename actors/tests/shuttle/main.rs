//! The hand-written primitives under a scheduler that tries thousands of interleavings: the very
//! source files of the crate, compiled against the checker's locks and atomics. What they call of
//! tokio and of arc-swap is trusted, and runs without a break.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "parts of the crate, included as they are"
)]

#[path = "../../src/bell.rs"]
mod bell;
#[path = "../../src/pipeline/book.rs"]
mod book;
#[path = "../../src/lifeline/control.rs"]
mod control;
#[path = "../../src/depth.rs"]
mod depth;
#[path = "../../src/credits/gate.rs"]
mod gate;
#[path = "../../src/home.rs"]
mod home;
#[path = "../../src/inbox.rs"]
mod inbox;
#[path = "../../src/credits/ledger.rs"]
mod ledger;
#[path = "../../src/pulse.rs"]
mod pulse;
#[path = "../../src/rate.rs"]
mod rate;
#[path = "../../src/pipeline/throttle.rs"]
mod throttle;
#[path = "../../src/pipeline/turns.rs"]
mod turns;
#[path = "../../src/window.rs"]
mod window;
#[path = "../../src/lifeline/word.rs"]
mod word;

mod books;
mod clock;
mod ends;
mod mails;
mod pulses;
mod rates;
mod rooms;

mod sync {
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    pub(crate) use shuttle::sync::{Mutex, MutexGuard};

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What the books call of the rest of the crate.
mod metrics {
    pub(crate) fn fenced(_count: u64) {}
}

pub use actors::{Epoch, Outcome, Passed, Settle, Settled, TrackError};
pub use books::Permit;
pub use pulse::Pulse;
pub use rate::Rate;

use shuttle::{check_pct, check_random};

/// Under random schedules and under such that aim at rare orders.
fn check(test: fn()) {
    check_random(test, 5000);
    check_pct(test, 5000, 3);
}
