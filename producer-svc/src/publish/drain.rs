//! The last records: what is under way when the service ends.
//!
//! In: everything that was handed over, and what of it comes back because its request was too large for
//! the topic. Out: each ticket's answer. Messages are not taken any more while this goes on, so what comes
//! back is put aside, and goes again when nothing is under way.

use std::sync::{Arc, Mutex, PoisonError};

use actors::{Cx, Epoch};

use super::pace::LANES;
use super::{Publisher, RecordLog};
use crate::flow::{Leftover, PublishMsg};

/// What came back when the mailbox was closed; clones are one thing. Whatever is still in it when the
/// stage ends answers by itself.
#[derive(Clone, Default)]
pub(super) struct Leftovers(Arc<Mutex<Vec<Leftover>>>);

impl Leftovers {
    pub(super) fn keep(&self, leftover: Leftover) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(leftover);
    }

    fn take(&self) -> Vec<Leftover> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<L: RecordLog> Publisher<L> {
    /// Waits for every report, elsewhere.
    pub(super) fn flush(&self, cx: &mut Cx<PublishMsg>) {
        if let Some(open) = &self.open {
            let (epoch, log) = (open.epoch, Arc::clone(&open.log));
            let within = self.args.report_timeout;
            cx.spawn_blocking(move || PublishMsg::Flushed(epoch, log.flush(within)));
        }
    }

    /// Every lane has landed, or was given up. What came back goes again in smaller requests, as long as a
    /// purchase may wait for its turn.
    pub(super) fn flushed(&mut self, epoch: Epoch, left: usize, cx: &mut Cx<PublishMsg>) {
        if left > 0 {
            tracing::error!(left, "records are given up without a report");
        }
        if !self.draining || !self.is_present(epoch) {
            return;
        }
        for leftover in self.leftovers.take() {
            self.returned(leftover);
        }
        for lane in 0..LANES {
            self.landed(lane);
        }
        let waiting = self.open.as_ref().and_then(|open| open.lanes.waiting());
        if waiting.is_some() {
            self.flush(cx);
        }
    }
}
