//! The rate of a pipeline, over all its lanes. In: chunks that want to pass. Out: the moment they may.
//!
//! Locks and time come from `crate::sync` and `crate::clock`, so that the model checker can compile
//! this very file.

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::Rate;
use crate::clock;
use crate::rate::Bucket;
use crate::sync::{Mutex, lock};

pub(super) struct Throttle {
    bucket: Mutex<Bucket>,
    /// Who sleeps has to look again.
    changed: Notify,
    /// There is another rate.
    set: Notify,
}

/// In line; dropped, the line is left.
struct Place<'a> {
    throttle: &'a Throttle,
    ticket: Option<u64>,
}

impl Throttle {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        let mut bucket = Bucket::default();
        // A bucket begins full, so it does not matter which clock this is.
        bucket.set(rate, std::time::Instant::now());
        Self {
            bucket: Mutex::new(bucket),
            changed: Notify::new(),
            set: Notify::new(),
        }
    }

    pub(super) fn set(&self, rate: Option<Rate>) {
        lock(&self.bucket).set(rate, clock::now());
        self.changed.notify_waiters();
        self.set.notify_waiters();
    }

    /// Waits for another rate, from now on.
    pub(super) fn is_set(&self) -> Notified<'_> {
        self.set.notified()
    }

    /// How many may pass at once.
    pub(super) fn burst(&self) -> usize {
        lock(&self.bucket).burst()
    }

    /// Waits as long as the rate wants, also if it changes meanwhile.
    pub(super) async fn pass(&self, count: usize) {
        let Some(ticket) = lock(&self.bucket).enter(count, clock::now()) else {
            return;
        };
        let mut place = Place {
            throttle: self,
            ticket: Some(ticket),
        };
        loop {
            let changed = self.changed.notified();
            let wait = lock(&self.bucket).look(ticket, clock::now());
            let Some(wait) = wait else {
                place.ticket = None;
                return;
            };
            tokio::select! {
                biased;
                () = clock::sleep(wait) => {}
                () = changed => {}
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            lock(&self.throttle.bucket).leave(ticket);
            self.throttle.changed.notify_waiters();
        }
    }
}
