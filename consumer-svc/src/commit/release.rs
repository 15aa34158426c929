//! How partitions are given back: unsettled work is waited for, then statistics are saved and
//! offsets committed, until the deadline; then the books of the partition are closed. Those of a
//! partition that was lost are closed at once: nothing of it may be committed, and whoever reads it
//! now reads again what is under way here.

use std::time::{Duration, Instant};

use actors::Reply;
use tracing::{debug, warn};

use super::{Commit, Committer};
use crate::flow::Released;
use crate::tally::TallyStore;

/// A release that waits for unsettled work, for its statistics, or for a commit.
pub(super) struct Release {
    partitions: Vec<i32>,
    until: Instant,
    lost: bool,
    reply: Reply<Vec<Released>>,
}

impl Release {
    pub(super) fn new(
        partitions: Vec<i32>,
        wait: Duration,
        lost: bool,
        reply: Reply<Vec<Released>>,
    ) -> Self {
        Self {
            partitions,
            until: Instant::now() + wait,
            lost,
            reply,
        }
    }
}

impl<C: Committer, T: TallyStore> Commit<C, T> {
    /// Whether the partition already belongs to somebody else.
    pub(super) fn is_lost(&self, partition: i32) -> bool {
        let mut lost = self.releases.iter().filter(|release| release.lost);
        lost.any(|release| release.partitions.contains(&partition))
    }

    /// A partition that is opened again is not given back any more, whoever still waits for that.
    pub(super) fn forget_release(&mut self, partition: i32) {
        for release in &mut self.releases {
            release.partitions.retain(|released| *released != partition);
        }
    }

    /// Answers every release whose partitions are settled, saved and committed, or out of time.
    /// One in time waits for the commit under way. One out of time cannot: either that is the client's
    /// already, and goes out before the client joins again, or it never becomes the client's.
    pub(super) fn finish_releases(&mut self) {
        let now = Instant::now();
        for release in std::mem::take(&mut self.releases) {
            let overdue = now >= release.until;
            let mut partitions = release.partitions.iter();
            let done = release.lost
                || self.committing.is_empty()
                    && partitions.all(|partition| self.is_done(*partition));
            if !done && !overdue {
                self.releases.push(release);
                continue;
            }
            let released: Vec<Released> = release
                .partitions
                .iter()
                .map(|partition| self.close(*partition))
                .collect();
            if release.reply.send(released).is_err() {
                debug!("nobody waits for the release any more");
            }
        }
    }

    /// Whether it was stopped with records that cannot be settled: nobody waits for those, and they are
    /// no work that was left undone for want of time.
    fn is_stopped(&self, partition: i32) -> bool {
        let reader = self.readers.get(&partition);
        let halted = reader.is_some_and(|reader| reader.lane.halted().is_some());
        halted && self.ledger.is_failed(partition)
    }

    fn is_done(&self, partition: i32) -> bool {
        match self.ledger.position(partition) {
            None => true,
            // What holds the prefix is not settled before it is read again: nobody waits for that, nor
            // for what comes after it, but for the commit of what comes before.
            Some((_, committed)) if self.ledger.is_failed(partition) => committed,
            Some((_, committed)) => self.ledger.pending(partition) == 0 && committed,
        }
    }

    fn close(&mut self, partition: i32) -> Released {
        // One that was never opened was never read: it stands where it was.
        let unopened = self.openings.get(&partition);
        let (next, committed) = match (self.ledger.position(partition), unopened) {
            (Some(position), _) => position,
            (None, Some(pending)) => (pending.start(), true),
            (None, None) => (0, false),
        };
        if self.committing.contains_key(&partition) && self.warrant.withdraw() {
            warn!(
                partition,
                "given back before its last commit could be handed to the client"
            );
        }
        let unsettled = match self.is_stopped(partition) {
            true => 0,
            false => self.ledger.pending(partition),
        };
        self.fence(partition);
        Released {
            partition,
            next,
            committed,
            unsettled,
        }
    }
}
