//! How a partition is opened: its statistics are loaded before its first record is read.
//!
//! Nothing waits here. A reader whose partition is not open yet reads nothing, which is right:
//! without the database nothing could be stored either.

use std::sync::Arc;

use actors::{Cx, Epoch};
use tracing::{debug, error, info, warn};

use super::{Commit, Committer};
use crate::flow::{CommitMsg, Opened, Recall};
use crate::lane::{Cause, Lane};
use crate::metrics;
use crate::tally::{Tally, TallyError, TallyStore};

/// A partition on its way to be opened.
pub(super) struct Pending {
    epoch: Epoch,
    pub(super) start: u64,
    /// The end of the log when it was assigned.
    end: u64,
    reader: Reader,
    opened: Opened,
    loading: bool,
    attempts: u32,
}

/// What commit needs of whoever reads a partition.
pub(super) struct Reader {
    pub(super) recall: Recall,
    pub(super) lane: Lane,
}

impl Pending {
    pub(super) fn new(
        epoch: Epoch,
        (start, end): (u64, u64),
        reader: Reader,
        opened: Opened,
    ) -> Self {
        Self {
            epoch,
            start,
            end,
            reader,
            opened,
            loading: false,
            attempts: 0,
        }
    }
}

impl<C: Committer, T: TallyStore> Commit<C, T> {
    pub(super) fn open(&mut self, partition: i32, pending: Pending, cx: &mut Cx<CommitMsg>) {
        let (epoch, start) = (pending.epoch, pending.start);
        self.forget_release(partition);
        if let Some(next) = self.ledger.reopen(partition, epoch, start) {
            info!(partition, %epoch, next, "partition opened again");
            self.begin_reading(partition, pending.reader);
            (pending.opened)(next);
        } else {
            let stopped = pending.reader.lane.halted().is_some();
            self.openings.insert(partition, pending);
            // Nothing is counted from an offset that cannot be, nor committed there.
            if !stopped {
                self.load(partition, cx);
            }
        }
    }

    /// Asks for the statistics of every partition that still needs them.
    pub(super) fn load_again(&mut self, cx: &mut Cx<CommitMsg>) {
        let is_due = |pending: &Pending| !pending.loading && pending.reader.lane.halted().is_none();
        let waiting = self.openings.iter().filter(|(_, pending)| is_due(pending));
        let waiting: Vec<i32> = waiting.map(|(partition, _)| *partition).collect();
        for partition in waiting {
            self.load(partition, cx);
        }
    }

    fn load(&mut self, partition: i32, cx: &mut Cx<CommitMsg>) {
        let Some(pending) = self.openings.get_mut(&partition) else {
            return;
        };
        pending.loading = true;
        let (epoch, tallies) = (pending.epoch, Arc::clone(&self.tallies));
        cx.spawn(async move {
            let found = tallies.load(partition).await;
            CommitMsg::Loaded {
                partition,
                epoch,
                found: found.map(|tally| tally.map(Box::new)),
            }
        });
    }

    pub(super) fn loaded(
        &mut self,
        partition: i32,
        epoch: Epoch,
        found: Result<Option<Box<Tally>>, TallyError>,
        cx: &mut Cx<CommitMsg>,
    ) {
        let wanted = |pending: &Pending| pending.epoch == epoch;
        if !self.openings.get(&partition).is_some_and(wanted) {
            debug!(partition, %epoch, "statistics of a partition that is not wanted any more");
            return;
        }
        match found {
            // Stays as it is, unopened.
            Ok(found) if !self.is_of_this_log(partition, found.as_deref()) => {}
            Ok(found) => {
                if let Some(pending) = self.openings.remove(&partition) {
                    self.begin(partition, pending, found.map(|tally| *tally));
                    // An empty partition gets its first commit now, and a place in the statistics.
                    self.advance(cx);
                }
            }
            Err(cause) => self.not_loaded(partition, &cause),
        }
    }

    fn begin(&mut self, partition: i32, pending: Pending, found: Option<Tally>) {
        let counted = found.as_ref().map(Tally::upto);
        let opening = self
            .ledger
            .open(partition, pending.epoch, pending.start, found);
        if opening.skipped > 0 {
            warn!(
                partition,
                counted,
                start = pending.start,
                "the group's offset was moved ahead of the statistics: what is between is not in them"
            );
        }
        let epoch = pending.epoch;
        info!(partition, %epoch, next = opening.next, counted, "partition opened");
        self.begin_reading(partition, pending.reader);
        (pending.opened)(opening.next);
    }

    /// What an earlier epoch had read and not settled is read again: nothing is under way now.
    fn begin_reading(&mut self, partition: i32, reader: Reader) {
        if let Some(epoch) = self.ledger.epoch(partition) {
            reader.lane.begin(epoch);
        }
        self.readers.insert(partition, reader);
    }

    /// Whether the saved statistics are of this log. Those of a longer one were counted in a log
    /// that is gone: what is read now would be taken for counted, and a foreign event for stored.
    fn is_of_this_log(&self, partition: i32, found: Option<&Tally>) -> bool {
        let pending = self.openings.get(&partition);
        let Some((pending, counted)) = pending.zip(found.map(Tally::upto)) else {
            return true;
        };
        if counted > pending.end {
            let end = pending.end;
            let reason = format!(
                "its statistics reach to offset {counted}, but the log ends at {end}: the topic was made anew or cut off"
            );
            pending.reader.lane.halt(Cause::OtherLog, reason);
        }
        counted <= pending.end
    }

    fn not_loaded(&mut self, partition: i32, cause: &TallyError) {
        metrics::statistics_not_loaded();
        let Some(pending) = self.openings.get_mut(&partition) else {
            return;
        };
        pending.loading = false;
        if pending.attempts.is_multiple_of(10) {
            let attempt = pending.attempts + 1;
            match cause {
                TallyError::Unavailable(_) => {
                    warn!(partition, %cause, attempt, "partition waits for its statistics");
                }
                // Will not pass by itself.
                TallyError::Malformed(_) => {
                    error!(partition, %cause, attempt, "partition waits for its statistics");
                }
            }
        }
        pending.attempts = pending.attempts.saturating_add(1);
    }
}
