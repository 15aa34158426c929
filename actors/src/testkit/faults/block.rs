//! Blocking a thread, as a callback that cannot wait does when it hangs. In: for how long, and who is
//! let go. Out: time that passes on the wall.

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::sync::{Mutex, lock};

/// So that a test which forgets to let somebody go ends nevertheless.
const LONGEST: Duration = Duration::from_secs(20);

#[derive(Debug, Default)]
pub(super) struct Block {
    is_released: Mutex<bool>,
    released: Condvar,
}

impl Block {
    pub(super) fn release(&self) {
        *lock(&self.is_released) = true;
        self.released.notify_all();
    }

    /// # Panics
    /// On a runtime of one thread.
    pub(super) fn here(&self, callback: impl Debug, time: Duration) {
        let runtime = Handle::try_current().ok();
        let alone = runtime
            .as_ref()
            .is_some_and(|runtime| runtime.metrics().num_workers() < 2);
        assert!(
            !alone,
            "a hang or delay planned at {callback:?} blocks a thread, and this runtime has no other: \
             the test needs the flavor multi_thread, with two worker threads or more"
        );
        let _awake = runtime.map(Awake::new);
        let waited = self.released.wait_timeout_while(
            lock(&self.is_released),
            time.min(LONGEST),
            |is_released| !*is_released,
        );
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Wakes a runtime from outside, as the traffic of a process does. A worker that blocks right after
/// it was the one to wait for timers would otherwise keep the others asleep in an idle runtime.
struct Awake(Arc<AtomicBool>);

impl Awake {
    fn new(runtime: Handle) -> Self {
        let over = Arc::<AtomicBool>::default();
        let watched = Arc::clone(&over);
        std::thread::spawn(move || {
            while !watched.load(Ordering::Relaxed) {
                runtime.spawn(async {});
                std::thread::park_timeout(Duration::from_millis(1));
            }
        });
        Self(over)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
