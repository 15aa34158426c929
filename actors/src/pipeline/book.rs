//! The settlements of one lane in one epoch. In: settlements, in any order. Out: how far the lane has
//! come, and whether a record failed.
//!
//! A book is closed when its lane goes on without it: what is settled in it afterwards is counted and
//! changes nothing, and the credits of what is still under way are taken back.
//!
//! The locks come from `crate::sync`, so that the model checker can compile this very file.

use std::sync::{Arc, Weak};

use tokio::sync::Notify;

use super::Passed;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, lock};
use crate::window::Window;
use crate::{Epoch, Outcome, Permit, Pulse, Settle, Settled, TrackError, metrics};

struct Pages<N> {
    window: Window<Settled<N>>,
    passed: Vec<Settled<N>>,
    failed: Option<u64>,
    /// What went wrong with the first record of which that is known.
    cause: Option<(u64, String)>,
    /// Admitted and not settled, in whatever way.
    open: u64,
    /// The credits of what is under way.
    permits: Vec<Weak<Permit>>,
    closed: bool,
}

/// Counts over all books of a pipeline.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Settlements that came too late.
    pub(super) fenced: AtomicU64,
    /// Records sent on whose receipt nobody settled yet, also such that a lane went on without.
    pub(super) open: AtomicU64,
    /// Settlements of records that were settled before. There are none: a receipt is settled once.
    pub(super) twice: AtomicU64,
    /// Settlements in time: how the line before the workers and writers moves.
    pub(super) moved: Arc<crate::sync::AtomicU64>,
}

/// What a lane's watch looks at.
#[derive(Clone)]
pub(super) struct Pulses {
    /// Its records. They wait with those of other lanes for the same workers and writers, so they move
    /// while any of the pipeline's do; who hangs there is given up by a limit of its own.
    pub(super) records: Pulse,
    /// Its commits and finding out keys, for which nobody waits but the lane itself.
    pub(super) own: Pulse,
}

impl Pulses {
    pub(super) fn new(tally: &Tally) -> Self {
        Self {
            records: Pulse::within(&tally.moved),
            own: Pulse::new(),
        }
    }
}

/// An outlet that tracks.
pub(super) struct Book<N> {
    pages: Mutex<Pages<N>>,
    news: Notify,
    pulses: Pulses,
    tally: Arc<Tally>,
    /// A record failed, or the lane is given up: what is still on its way is not to be written any
    /// more, or it would overtake what is delivered again.
    halted: AtomicBool,
    /// The lane ends: what of it is still on its way waits for nobody to fill a batch with.
    hurried: AtomicBool,
}

/// What was in the book.
pub(super) struct Page<N> {
    pub(super) passed: Passed<N>,
    pub(super) pending: usize,
    /// A record that failed, and why.
    pub(super) failed: Option<(u64, String)>,
}

/// Said of a record whose receipt was dropped by somebody who had nothing to say about it.
pub(super) const DROPPED: &str = "its receipt was dropped: an actor ended that held it";

impl<N: Send + 'static> Book<N> {
    pub(super) fn new(epoch: Epoch, next: u64, pulses: Pulses, tally: Arc<Tally>) -> Self {
        pulses.records.reset();
        pulses.own.reset();
        let pages = Pages {
            window: Window::new(epoch, next),
            passed: Vec::new(),
            failed: None,
            cause: None,
            open: 0,
            permits: Vec::new(),
            closed: false,
        };
        Self {
            pages: Mutex::new(pages),
            news: Notify::new(),
            pulses,
            tally,
            halted: AtomicBool::new(false),
            hurried: AtomicBool::new(false),
        }
    }

    /// Takes numbers in before they are sent on, under a permit they share.
    pub(super) fn admit(
        &self,
        seqs: impl IntoIterator<Item = u64>,
        permit: &Arc<Permit>,
    ) -> Result<(), crate::TrackError> {
        let mut pages = lock(&self.pages);
        let before = pages.open;
        let admitted = seqs.into_iter().try_for_each(|seq| {
            pages.window.admit(seq)?;
            pages.open += 1;
            Ok(())
        });
        if admitted.is_err() {
            // None of them is sent on: the lane fails, and nobody has a receipt to settle.
            pages.open = before;
            return admitted;
        }
        let new = pages.open - before;
        self.tally.open.fetch_add(new, Ordering::Relaxed);
        if !pages.closed {
            // The pulse of a closed book beats for another one.
            self.pulses.records.begin(new);
        }
        // Amortised: swept whenever the list would have to grow.
        if pages.permits.len() == pages.permits.capacity() {
            pages.permits.retain(|known| known.strong_count() > 0);
        }
        pages.permits.push(Arc::downgrade(permit));
        Ok(())
    }

    /// A commit is work as well: one that hangs has to be noticed.
    pub(super) fn commit_begins(&self) {
        let pages = lock(&self.pages);
        self.pulses.own.begin(u64::from(!pages.closed));
    }

    pub(super) fn commit_is_done(&self) {
        let pages = lock(&self.pages);
        self.pulses.own.done(u64::from(!pages.closed));
    }

    pub(super) fn read(&self) -> Page<N> {
        let mut pages = lock(&self.pages);
        let settled = std::mem::take(&mut pages.passed);
        let passed = Passed {
            next: pages.window.next(),
            settled,
        };
        let failed = pages.failed.map(|seq| {
            let cause = pages.cause.clone();
            cause.unwrap_or_else(|| (seq, DROPPED.to_owned()))
        });
        Page {
            passed,
            pending: pages.window.pending(),
            failed,
        }
    }
}

impl<N> Book<N> {
    /// Says why a record is going to be settled as failed.
    pub(super) fn because(&self, seq: u64, cause: impl Into<String>) {
        let mut pages = lock(&self.pages);
        if pages.cause.as_ref().is_none_or(|(known, _)| seq < *known) {
            pages.cause = Some((seq, cause.into()));
        }
    }

    /// A key may block its thread, and the records of other lanes move on meanwhile.
    pub(super) fn keying_begins(&self) {
        self.pulses.own.begin(1);
    }

    pub(super) fn keying_is_done(&self) {
        // Closed meanwhile, the pulse beats for another book, which has forgotten this one.
        if !self.is_halted() {
            self.pulses.own.done(1);
        }
    }

    /// A sink has answered: the line moves, also where nothing is settled by that.
    pub(super) fn answered(&self) {
        self.tally.moved.fetch_add(1, Ordering::Relaxed);
    }

    /// Nothing of it is to be written any more, before it is delivered again.
    pub(super) fn halt(&self) {
        self.halted.store(true, Ordering::Release);
    }

    pub(super) fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Acquire)
    }

    /// Nothing more is admitted. Who batches is to be told to flush after this, and only the writers: what
    /// comes to them later has this word on it, whoever passed it on.
    pub(super) fn hurry(&self) {
        self.hurried.store(true, Ordering::Release);
    }

    pub(super) fn is_hurried(&self) -> bool {
        self.hurried.load(Ordering::Acquire)
    }

    /// The lane goes on without this book, or not at all.
    pub(super) fn close(&self) {
        self.halt();
        let permits = {
            let mut pages = lock(&self.pages);
            pages.closed = true;
            std::mem::take(&mut pages.permits)
        };
        // Work that hangs must not hold the room of those who live.
        for permit in permits.iter().filter_map(Weak::upgrade) {
            permit.reclaim();
        }
    }

    /// Waits for settlements since the last time it was waited for.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }
}

impl<N: Send + 'static> Settle<N> for Book<N> {
    fn settled(&self, batch: Vec<Settled<N>>) {
        let all = batch.len() as u64;
        let (mut late, mut twice) = (0, 0);
        // A note is somebody else's, and is not dropped under the lock.
        let mut dropped = Vec::new();
        let mut guard = lock(&self.pages);
        let pages = &mut *guard;
        let known = pages.open.min(all);
        pages.open -= known;
        if pages.closed {
            late = all;
            twice = all - known;
        } else {
            for settled in batch {
                let seq = settled.position.seq;
                if settled.outcome == Outcome::Failed {
                    self.halt();
                    pages.failed = Some(pages.failed.map_or(seq, |first| first.min(seq)));
                    dropped.extend(settled.note);
                    continue;
                }
                let (epoch, passed) = (settled.position.epoch, &mut pages.passed);
                let taken = pages.window.settle(seq, epoch, settled, passed);
                if let Err((error, settled)) = taken {
                    dropped.extend(settled.note);
                    late += 1;
                    twice += u64::from(!matches!(error, TrackError::Fenced { .. }));
                }
            }
            twice = twice.max(all - known);
            self.pulses.records.done(all - late);
        }
        drop(guard);
        self.tally.open.fetch_sub(known, Ordering::Relaxed);
        if late > 0 {
            self.tally.fenced.fetch_add(late, Ordering::Relaxed);
            metrics::fenced(late);
        }
        if twice > 0 {
            self.tally.twice.fetch_add(twice, Ordering::Relaxed);
            tracing::error!(twice, "records were settled that were settled already");
        }
        self.news.notify_one();
    }
}
