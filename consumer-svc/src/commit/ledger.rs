//! Pure: per partition, what is settled and what of it is committed.
//!
//! In: openings, admissions, settlements, commit results. Out: positions to commit.
//! No clock, no actor, no client.

use std::collections::BTreeMap;

use actors::{Epoch, Outcome, Settled, Tracker};

use crate::flow::Note;

/// One assigned partition.
struct Lane {
    tracker: Tracker,
    /// `None` until a commit of this assignment was accepted, so that every assigned partition
    /// gets a commit early, empty ones too: autoscalers count "no commit" as lag.
    committed: Option<u64>,
    /// A record of this epoch failed; the prefix cannot pass it before it is read again.
    failed: bool,
}

/// What one batch of settlements did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Settlements of an epoch that is over. Harmless, but worth counting.
    pub(crate) fenced: usize,
    /// Partitions in which a record failed for the first time in this epoch.
    pub(crate) recall: Vec<i32>,
}

/// The books of the commit stage.
#[derive(Default)]
pub(crate) struct Ledger {
    lanes: BTreeMap<i32, Lane>,
}

impl Ledger {
    /// Begins an epoch. Everything settled in an older epoch of the same assignment stands.
    pub(crate) fn open(&mut self, partition: i32, epoch: Epoch, start: u64) -> u64 {
        let (next, committed) = match self.lanes.get(&partition) {
            Some(lane) => (start.max(lane.tracker.next()), lane.committed),
            None => (start, None),
        };
        let lane = Lane {
            tracker: Tracker::new(epoch, next),
            committed,
            failed: false,
        };
        self.lanes.insert(partition, lane);
        next
    }

    /// Notes that an offset was read. Answers whether it counts: not in an epoch that is over.
    pub(crate) fn admit(&mut self, partition: i32, epoch: Epoch, offset: u64) -> bool {
        let lane = self
            .lanes
            .get_mut(&partition)
            .filter(|lane| lane.tracker.epoch() == epoch);
        lane.is_some_and(|lane| lane.tracker.admit(offset).is_ok())
    }

    /// Applies settlements; those of lost epochs change nothing.
    pub(crate) fn settle(&mut self, batch: &[Settled<Note>]) -> Applied {
        let mut applied = Applied::default();
        for settled in batch {
            let position = settled.position;
            let partition = position.lane as i32;
            let lane = self.lanes.get_mut(&partition);
            let Some(lane) = lane.filter(|lane| lane.tracker.epoch() == position.epoch) else {
                applied.fenced += 1;
                continue;
            };
            match settled.outcome {
                Outcome::Stored | Outcome::DeadLettered => {
                    if lane.tracker.settle(position.seq, position.epoch).is_err() {
                        applied.fenced += 1;
                    }
                }
                Outcome::Failed if !lane.failed => {
                    lane.failed = true;
                    applied.recall.push(partition);
                }
                Outcome::Failed => {}
            }
        }
        applied
    }

    /// Positions that moved since the last accepted commit, of all partitions or of these.
    pub(crate) fn due(&self, only: Option<&[i32]>) -> Vec<(i32, u64)> {
        self.lanes
            .iter()
            .filter(|(partition, _)| only.is_none_or(|only| only.contains(partition)))
            .filter(|(_, lane)| lane.committed != Some(lane.tracker.next()))
            .map(|(partition, lane)| (*partition, lane.tracker.next()))
            .collect()
    }

    /// Notes an accepted commit. A position never moves back.
    pub(crate) fn committed(&mut self, positions: &[(i32, u64)]) {
        for (partition, next) in positions {
            if let Some(lane) = self.lanes.get_mut(partition) {
                lane.committed = Some(lane.committed.map_or(*next, |old| old.max(*next)));
            }
        }
    }

    /// Records of this partition that were read and are not settled.
    pub(crate) fn pending(&self, partition: i32) -> usize {
        self.lanes
            .get(&partition)
            .map_or(0, |lane| lane.tracker.pending())
    }

    /// Where the partition stands: next offset, and whether that is committed.
    pub(crate) fn position(&self, partition: i32) -> Option<(u64, bool)> {
        let lane = self.lanes.get(&partition)?;
        let next = lane.tracker.next();
        Some((next, lane.committed == Some(next)))
    }

    /// Ends the epoch: nothing of it is committed or counted any more.
    pub(crate) fn fence(&mut self, partition: i32) {
        self.lanes.remove(&partition);
    }

    /// Whether a failed record holds the partition's prefix until it is read again.
    pub(crate) fn is_failed(&self, partition: i32) -> bool {
        self.lanes.get(&partition).is_some_and(|lane| lane.failed)
    }

    /// The assigned partitions.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = i32> + '_ {
        self.lanes.keys().copied()
    }
}

#[cfg(test)]
mod tests;
