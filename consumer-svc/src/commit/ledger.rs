//! Pure: per partition, what is settled, what of it is counted, and what of that is saved and
//! committed.
//!
//! In: openings, admissions, settlements, results of saving and committing. Out: statistics to
//! save and positions to commit, never beyond what is saved. No clock, no actor, no client.

use std::collections::BTreeMap;

use actors::{Epoch, Outcome, Settled, Tracker};

use crate::flow::Note;
use crate::mark::Mark;
use crate::tally::{Folded, Reach, Sale, Tally};

/// One assigned partition.
struct Lane {
    tracker: Tracker,
    /// `None` until a commit of this assignment was accepted, so that every assigned partition
    /// gets a commit early, empty ones too: autoscalers count "no commit" as lag.
    committed: Option<u64>,
    /// A record of this epoch failed; the prefix cannot pass it before it is read again.
    failed: bool,
    /// The statistics of everything before the settled prefix's end.
    tally: Tally,
    /// Sales beyond the prefix, which are counted when it passes them; nothing where a record was refused.
    ahead: BTreeMap<u64, Option<Sale>>,
    /// How far the saved statistics reach.
    saved: Option<Reach>,
    /// The first record that was passed before and counted now, since they were saved.
    amended: Option<u64>,
    /// Records the prefix has passed since that was last told.
    passed: u64,
    /// A record that the prefix has not passed yet.
    mark: Option<Mark>,
    /// The newest that it has passed. The statistics remember it once it is known to be of the log that
    /// was opened; the first is believed.
    newest: Option<Mark>,
}

impl Lane {
    /// Notes a settled record and counts what the prefix has passed by it. Most records settle in
    /// order and never wait.
    fn settled(&mut self, offset: u64, outcome: Outcome, sale: Option<Sale>) {
        let next = self.tracker.next();
        // What is neither a sale nor refused has nothing to count, ever.
        if sale.is_some() || matches!(outcome, Outcome::DeadLettered) {
            if self.ahead.is_empty() && offset < next {
                self.count(offset, sale.as_ref());
            } else {
                self.ahead.insert(offset, sale);
            }
        }
        while let Some(first) = self.ahead.first_entry().filter(|sale| *sale.key() < next) {
            let (offset, sale) = first.remove_entry();
            self.count(offset, sale.as_ref());
        }
        self.tally.pass(next);
        if let Some(mark) = self.mark.take_if(|mark| mark.offset < next) {
            match self.tally.mark() {
                None => self.tally.remember(mark),
                Some(_) => self.newest = Some(mark),
            }
        }
    }

    fn count(&mut self, offset: u64, sale: Option<&Sale>) {
        match sale.map(|sale| self.tally.fold(offset, sale)) {
            Some(Folded::Amended) => {
                self.amended.get_or_insert(offset);
            }
            Some(Folded::Counted | Folded::Known) => {}
            None => self.tally.refuse(offset),
        }
    }

    /// What may be committed: settled, and counted in saved statistics.
    fn committable(&self) -> Option<u64> {
        let settled = self.tracker.next();
        let counted = self.saved?.upto.min(self.amended.unwrap_or(u64::MAX));
        Some(counted.min(settled))
    }
}

/// What one batch of settlements did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Settlements of an epoch that is over. Harmless, but worth counting.
    pub(crate) fenced: usize,
    /// Partitions in which a record failed for the first time in this epoch.
    pub(crate) recall: Vec<i32>,
}

/// Where a partition's reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    /// Next offset to read.
    pub(crate) next: u64,
    /// Offsets that nobody counted and nobody will, because the group's offset was moved.
    pub(crate) skipped: u64,
}

/// The books of the commit stage.
#[derive(Default)]
pub(crate) struct Ledger {
    lanes: BTreeMap<i32, Lane>,
}

impl Ledger {
    /// Begins an assignment with the statistics that were found saved.
    pub(crate) fn open(
        &mut self,
        partition: i32,
        epoch: Epoch,
        start: u64,
        found: Option<Tally>,
    ) -> Opening {
        let saved = found.as_ref().map(Tally::reach);
        let mut tally = found.unwrap_or_else(|| Tally::starting_at(start));
        let skipped = tally.resume(start);
        let lane = Lane {
            tracker: Tracker::new(epoch, start),
            committed: None,
            failed: false,
            tally,
            ahead: BTreeMap::new(),
            saved,
            amended: None,
            passed: 0,
            mark: None,
            newest: None,
        };
        self.lanes.insert(partition, lane);
        let next = start;
        Opening { next, skipped }
    }

    /// Begins another epoch of the same assignment. Everything settled in an older one stands, and
    /// so do its statistics: nobody else has read on since. `None` if there was no assignment.
    pub(crate) fn reopen(&mut self, partition: i32, epoch: Epoch, start: u64) -> Option<u64> {
        let lane = self.lanes.get_mut(&partition)?;
        let next = start.max(lane.tracker.next());
        lane.tracker = Tracker::new(epoch, next);
        (lane.failed, lane.passed, lane.mark) = (false, 0, None);
        // They will be read and settled again.
        lane.ahead.clear();
        lane.tally.resume(next);
        Some(next)
    }

    /// Notes that an offset was read. Answers whether it counts: not in an epoch that is over.
    pub(crate) fn admit(&mut self, partition: i32, epoch: Epoch, offset: u64) -> bool {
        let lane = self
            .lanes
            .get_mut(&partition)
            .filter(|lane| lane.tracker.epoch() == epoch);
        lane.is_some_and(|lane| lane.tracker.admit(offset).is_ok())
    }

    /// Notes a record by which the log may be known again, unless one is on its way already.
    pub(crate) fn mark(&mut self, partition: i32, epoch: Epoch, mark: Mark) {
        let lane = self.lanes.get_mut(&partition);
        if let Some(lane) = lane.filter(|lane| lane.tracker.epoch() == epoch) {
            lane.mark.get_or_insert(mark);
        }
    }

    /// The record that the statistics remember, and the newest that they could.
    pub(crate) fn marks(&self, partition: i32) -> Option<(Epoch, Mark, Option<Mark>)> {
        let lane = self.lanes.get(&partition)?;
        Some((lane.tracker.epoch(), lane.tally.mark()?, lane.newest))
    }

    /// This record is of the log that was opened.
    pub(crate) fn remember(&mut self, partition: i32, mark: Mark) {
        if let Some(lane) = self.lanes.get_mut(&partition) {
            lane.tally.remember(mark);
        }
    }

    /// Applies settlements; those of lost epochs change nothing.
    pub(crate) fn settle(&mut self, batch: Vec<Settled<Note>>) -> Applied {
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
                    let before = lane.tracker.ahead();
                    match lane.tracker.settle(position.seq, position.epoch) {
                        Ok(()) => {
                            lane.passed += (before - lane.tracker.ahead()) as u64;
                            lane.settled(position.seq, settled.outcome, settled.note);
                        }
                        Err(_) => applied.fenced += 1,
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

    /// How many records each prefix has passed since this was last asked, and where it ends now.
    pub(crate) fn passed(&mut self) -> impl Iterator<Item = (i32, u64, u64)> + '_ {
        self.lanes.iter_mut().filter_map(|(partition, lane)| {
            let passed = std::mem::take(&mut lane.passed);
            (passed > 0).then_some((*partition, passed, lane.tracker.next()))
        })
    }

    /// Refused records that the statistics of this partition have no room to remember.
    pub(crate) fn forgotten(&self, partition: i32) -> u64 {
        self.lanes
            .get(&partition)
            .map_or(0, |lane| lane.tally.forgotten())
    }

    /// Statistics that grew since they were last saved, or never were.
    pub(crate) fn unsaved(&self) -> Vec<(i32, Tally)> {
        self.lanes
            .iter()
            .filter(|(_, lane)| lane.saved != Some(lane.tally.reach()))
            .map(|(partition, lane)| (*partition, lane.tally.clone()))
            .collect()
    }

    /// Notes saved statistics. Those of an epoch that is over say nothing of these: they may reach
    /// further than what was loaded since.
    pub(crate) fn saved(&mut self, partition: i32, epoch: Epoch, reach: Reach) {
        let lane = self.lanes.get_mut(&partition);
        if let Some(lane) = lane.filter(|lane| lane.tracker.epoch() == epoch) {
            lane.saved = Some(reach);
            if reach.amended >= lane.tally.reach().amended {
                lane.amended = None;
            }
        }
    }

    /// Positions that may be committed and are not.
    pub(crate) fn due(&self) -> Vec<(i32, u64)> {
        let due = self.lanes.iter().filter_map(|(partition, lane)| {
            let position = lane.committable()?;
            (lane.committed < Some(position)).then_some((*partition, position))
        });
        due.collect()
    }

    /// Notes an accepted commit. A position never moves back.
    pub(crate) fn committed(&mut self, positions: &[(i32, u64)]) {
        for (partition, next) in positions {
            if let Some(lane) = self.lanes.get_mut(partition) {
                lane.committed = lane.committed.max(Some(*next));
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

    /// The epoch the partition is in.
    pub(crate) fn epoch(&self, partition: i32) -> Option<Epoch> {
        Some(self.lanes.get(&partition)?.tracker.epoch())
    }

    /// Ends the epoch: nothing of it is saved, committed or counted any more.
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
