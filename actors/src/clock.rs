//! The time of the runtime, so that a paused clock is obeyed. In: nothing. Out: the moment, and waiting.
//!
//! A module of its own, so that the model checker can put another one in its place.

use std::time::Instant;

pub(crate) use tokio::time::sleep;

pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
