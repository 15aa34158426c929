//! The settlements of one lane in one epoch. In: settlements, in any order. Out: how far the lane has
//! come, and whether a record failed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use super::Passed;
use crate::sync::{Mutex, lock};
use crate::{Epoch, Outcome, Pulse, Settle, Settled, Tracker};

struct Pages<N> {
    tracker: Tracker,
    /// Settled, and not passed by the prefix yet.
    ahead: BTreeMap<u64, Settled<N>>,
    passed: Vec<Settled<N>>,
    failed: Option<u64>,
}

/// An outlet that tracks.
pub(super) struct Book<N> {
    pages: Mutex<Pages<N>>,
    news: Notify,
    pulse: Pulse,
    /// A record failed, or the lane is given up: what is still on its way is not to be written any
    /// more, or it would overtake what is delivered again.
    halted: AtomicBool,
}

/// What was in the book.
pub(super) struct Page<N> {
    pub(super) passed: Passed<N>,
    pub(super) pending: usize,
    pub(super) failed: Option<u64>,
}

impl<N: Send + 'static> Book<N> {
    pub(super) fn new(epoch: Epoch, next: u64, pulse: Pulse) -> Self {
        pulse.reset();
        let tracker = Tracker::new(epoch, next);
        let pages = Pages {
            tracker,
            ahead: BTreeMap::new(),
            passed: Vec::new(),
            failed: None,
        };
        Self {
            pages: Mutex::new(pages),
            news: Notify::new(),
            pulse,
            halted: AtomicBool::new(false),
        }
    }

    /// Takes numbers in before they are sent on.
    pub(super) fn admit(
        &self,
        seqs: impl IntoIterator<Item = u64>,
    ) -> Result<(), crate::TrackError> {
        let mut pages = lock(&self.pages);
        for seq in seqs {
            pages.tracker.admit(seq)?;
            self.pulse.begin(1);
        }
        Ok(())
    }

    pub(super) fn read(&self) -> Page<N> {
        let mut pages = lock(&self.pages);
        let settled = std::mem::take(&mut pages.passed);
        let passed = Passed {
            next: pages.tracker.next(),
            settled,
        };
        Page {
            passed,
            pending: pages.tracker.pending(),
            failed: pages.failed,
        }
    }

    pub(super) fn halt(&self) {
        self.halted.store(true, Ordering::Release);
    }

    pub(super) fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Acquire)
    }

    /// Waits for settlements since the last time it was waited for.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }
}

impl<N: Send + 'static> Settle<N> for Book<N> {
    fn settled(&self, batch: Vec<Settled<N>>) {
        let mut guard = lock(&self.pages);
        let pages = &mut *guard;
        self.pulse.done(batch.len() as u64);
        for settled in batch {
            let seq = settled.position.seq;
            if settled.outcome == Outcome::Failed {
                self.halt();
                pages.failed = Some(pages.failed.map_or(seq, |first| first.min(seq)));
            } else if pages.tracker.settle(seq, settled.position.epoch).is_ok() {
                pages.ahead.insert(seq, settled);
            }
        }
        let rest = pages.ahead.split_off(&pages.tracker.next());
        pages
            .passed
            .extend(std::mem::replace(&mut pages.ahead, rest).into_values());
        drop(guard);
        self.news.notify_one();
    }
}
