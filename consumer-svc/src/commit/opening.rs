//! How a partition is opened: its statistics are loaded before its first record is read, once it is known
//! where that stands.
//!
//! Nothing waits here. A reader whose partition is not open yet reads nothing, which is right:
//! without the database nothing could be stored either.

use std::sync::Arc;
use std::time::Duration;

use actors::{Cx, Epoch};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::{Commit, Committer};
use crate::flow::{CommitMsg, Opened, Recall, Standing};
use crate::lane::{Cause, Halt, Lane};
use crate::mark::{Kin, Mark};
use crate::metrics;
use crate::tally::{Tally, TallyError, TallyStore};

/// A partition on its way to be opened.
pub(super) struct Pending {
    pub(super) epoch: Epoch,
    /// Where the group stood when it was assigned; nothing until somebody says so.
    pub(super) standing: Option<Standing>,
    pub(super) reader: Reader,
    opened: Opened,
    loading: bool,
    pub(super) attempts: u32,
    pub(super) began: Instant,
    /// Since when its statistics are asked for; nothing while nobody knows where it stands.
    asked: Option<Instant>,
    /// Why the last attempt to load its statistics failed.
    cause: Option<TallyError>,
    /// Why the last attempt to learn where it stands failed.
    pub(super) unknown: Option<String>,
}

/// A partition may wait for so long for its statistics before readiness says so: a database that
/// elects another primary, or starts again, is back before.
pub(super) const LATE: Duration = Duration::from_secs(30);

/// What commit needs of whoever reads a partition.
pub(super) struct Reader {
    pub(super) recall: Recall,
    pub(super) lane: Lane,
    /// Refused records that its statistics had forgotten when that was last looked at.
    forgotten: u64,
}

impl Reader {
    pub(super) fn new(recall: Recall, lane: Lane) -> Self {
        // Until it begins to read.
        let forgotten = 0;
        Self {
            recall,
            lane,
            forgotten,
        }
    }
}

impl Pending {
    pub(super) fn new(
        epoch: Epoch,
        standing: Option<Standing>,
        reader: Reader,
        opened: Opened,
    ) -> Self {
        Self {
            epoch,
            standing,
            reader,
            opened,
            loading: false,
            attempts: 0,
            began: Instant::now(),
            asked: None,
            cause: None,
            unknown: None,
        }
    }

    /// Where it would be read from. One that nobody knows stands where it was.
    pub(super) fn start(&self) -> u64 {
        self.standing.map_or(0, |standing| standing.start())
    }

    /// Tells the outside what it waits for, once that takes too long: at once, where it will not pass.
    pub(super) fn tell(&self) {
        if self.standing.is_none() {
            return self.tell_unknown();
        }
        let Some(asked) = self.asked else { return };
        let reason = match &self.cause {
            Some(cause @ TallyError::Malformed(_)) => format!(
                "{cause}; run the version that wrote them, or stop all consumers and count anew: \
                 put statistics and collection aside together and reset the group's offsets"
            ),
            _ if asked.elapsed() < LATE => return,
            Some(cause) => format!(
                "{cause}; look at the database (MONGODB_URI) and the broker"
            ),
            None => "its statistics were asked for and the database has not answered; look at it (MONGODB_URI)"
                .to_owned(),
        };
        self.reader.lane.waits(Cause::Statistics, reason);
    }
}

impl<C: Committer, T: TallyStore> Commit<C, T> {
    pub(super) fn open(&mut self, partition: i32, pending: Pending, cx: &mut Cx<CommitMsg>) {
        let (epoch, start) = (pending.epoch, pending.start());
        self.forget_release(partition);
        if let Some(next) = self.ledger.reopen(partition, epoch, start) {
            info!(partition, %epoch, next, "partition opened again");
            self.begin_reading(partition, pending.reader);
            (pending.opened)(next);
        } else {
            let stopped = pending.reader.lane.halted().is_some();
            let is_known = pending.standing.is_some();
            pending.reader.lane.opens();
            self.openings.insert(partition, pending);
            // Nothing is counted from an offset that cannot be, nor committed there.
            if stopped {
                return;
            }
            if is_known {
                self.load(partition, cx);
            } else {
                self.ask_starts(cx);
            }
        }
    }

    /// Asks for the statistics of every partition that still needs them.
    pub(super) fn load_again(&mut self, cx: &mut Cx<CommitMsg>) {
        self.openings.values().for_each(Pending::tell);
        let is_due = |pending: &Pending| {
            let waits = !pending.loading && pending.reader.lane.halted().is_none();
            waits && pending.standing.is_some()
        };
        let waiting = self.openings.iter().filter(|(_, pending)| is_due(pending));
        let waiting: Vec<i32> = waiting.map(|(partition, _)| *partition).collect();
        for partition in waiting {
            self.load(partition, cx);
        }
    }

    pub(super) fn load(&mut self, partition: i32, cx: &mut Cx<CommitMsg>) {
        let Some(pending) = self.openings.get_mut(&partition) else {
            return;
        };
        let (epoch, Some(standing)) = (pending.epoch, pending.standing) else {
            return;
        };
        pending.loading = true;
        if pending.asked.is_none() {
            // Whatever it waited for before has passed.
            pending.asked = Some(Instant::now());
            pending.reader.lane.goes_on();
        }
        let (tallies, log) = (Arc::clone(&self.tallies), Arc::clone(&self.committer));
        let closing = self.starts.closing();
        cx.spawn(async move {
            let found = match tallies.load(partition).await {
                Ok(None) => Ok(None),
                Ok(Some(tally)) => {
                    let kin = closing.run_until_cancelled(kin(log, standing, tally.mark()));
                    let ends = || Err(TallyError::Unavailable("this process ends".to_owned()));
                    let kin = kin.await.unwrap_or_else(ends);
                    kin.map(|kin| Some((Box::new(tally), kin)))
                }
                Err(cause) => Err(cause),
            };
            CommitMsg::Loaded {
                partition,
                epoch,
                found,
            }
        });
    }

    pub(super) fn loaded(
        &mut self,
        partition: i32,
        epoch: Epoch,
        found: Result<Option<(Box<Tally>, Kin)>, TallyError>,
        cx: &mut Cx<CommitMsg>,
    ) {
        let wanted = |pending: &Pending| pending.epoch == epoch;
        if !self.openings.get(&partition).is_some_and(wanted) {
            debug!(partition, %epoch, "statistics of a partition that is not wanted any more");
            return;
        }
        match found {
            // Stays as it is, unopened.
            Ok(Some((tally, kin))) if !self.is_of_this_log(partition, &tally, kin) => {}
            Ok(found) => {
                let pending = self.openings.remove(&partition);
                let standing = pending.as_ref().and_then(|pending| pending.standing);
                if let (Some(pending), Some(standing)) = (pending, standing) {
                    let found = found.map(|(mut tally, kin)| {
                        // A record that is not there any more is no use; the next one is taken.
                        if kin == Kin::Unknown {
                            tally.forget_mark();
                        }
                        *tally
                    });
                    self.begin(standing, pending, found);
                    // An empty partition gets its first commit now, and a place in the statistics.
                    self.advance(cx);
                }
            }
            Err(cause) => self.not_loaded(partition, &cause),
        }
    }

    fn begin(&mut self, standing: Standing, pending: Pending, mut found: Option<Tally>) {
        if let Some(found) = &mut found {
            found.cut(standing.first);
        }
        let counted = found.as_ref().map(Tally::upto);
        let (partition, start) = (standing.partition, standing.start());
        let opening = self.ledger.open(partition, pending.epoch, start, found);
        if opening.skipped > 0 {
            warn!(
                partition,
                counted,
                start,
                "the group's offset was moved ahead of the statistics: what is between is not in them"
            );
        }
        let epoch = pending.epoch;
        info!(partition, %epoch, next = opening.next, counted, "partition opened");
        self.begin_reading(partition, pending.reader);
        (pending.opened)(opening.next);
    }

    /// What an earlier epoch had read and not settled is read again: nothing is under way now.
    /// What its statistics have forgotten by now was told of, and is shown from here on.
    fn begin_reading(&mut self, partition: i32, mut reader: Reader) {
        if let Some(epoch) = self.ledger.epoch(partition) {
            reader.lane.begin(epoch);
        }
        reader.forgotten = self.ledger.forgotten(partition);
        metrics::refusals_forgotten(partition, reader.forgotten);
        self.readers.insert(partition, reader);
    }

    /// Says that there is no room to remember what was refused: once, and shows how much it is.
    pub(super) fn tell_forgotten(&mut self, partition: i32) {
        let forgotten = self.ledger.forgotten(partition);
        let Some(reader) = self.readers.get_mut(&partition) else {
            return;
        };
        metrics::refusals_forgotten(partition, forgotten);
        if forgotten > reader.forgotten {
            if reader.forgotten == 0 {
                warn!(
                    partition,
                    forgotten,
                    "too many refused records to remember each: the oldest will not be in the statistics if they are read again and taken"
                );
            }
            reader.forgotten = forgotten;
        }
    }

    /// Whether the saved statistics are of this log; else it is stopped.
    fn is_of_this_log(&self, partition: i32, found: &Tally, kin: Kin) -> bool {
        let pending = self.openings.get(&partition);
        let Some((pending, standing)) = pending.and_then(|one| Some((one, one.standing?))) else {
            return false;
        };
        match compare(&standing, found, kin) {
            Ok(()) => true,
            Err(Halt { cause, reason }) => {
                pending.reader.lane.halt(cause, reason);
                false
            }
        }
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
                TallyError::Malformed(_) | TallyError::Overtaken { .. } => {
                    error!(partition, %cause, attempt, "partition waits for its statistics");
                }
            }
        }
        pending.attempts = pending.attempts.saturating_add(1);
        pending.cause = Some(cause.clone());
        pending.tell();
    }
}

/// Whether the marked record still stands where it stood.
async fn kin<C: Committer>(
    log: Arc<C>,
    standing: Standing,
    mark: Option<Mark>,
) -> Result<Kin, TallyError> {
    let kept = standing.first..standing.end;
    let Some(mark) = mark.filter(|mark| kept.contains(&mark.offset)) else {
        return Ok(Kin::Unknown);
    };
    match log.print(standing.partition, mark.offset).await {
        Ok(Some(print)) if print == mark.print => Ok(Kin::Same),
        Ok(Some(_)) => Ok(Kin::Other(mark)),
        Ok(None) => Ok(Kin::Unknown),
        Err(cause) => Err(TallyError::Unavailable(format!(
            "the log cannot be compared with them: {cause}"
        ))),
    }
}

/// Why a log is another one that has another record at this offset.
pub(super) fn made_anew(offset: u64) -> String {
    format!(
        "at offset {offset} stands another record than the one that was read there: the topic was made anew"
    )
}

/// Whether reading may go on in this log with what was counted. In another one, what is read now
/// would be taken for counted, and a foreign event for stored. Where nothing is committed, the
/// statistics alone say how far the group was: a crash before the first commit leaves that, and so do
/// a topic that was made anew, which takes the commits with it, and commits that were removed.
fn compare(standing: &Standing, found: &Tally, kin: Kin) -> Result<(), Halt> {
    let (Standing { first, end, .. }, counted) = (*standing, found.upto());
    let other = |reason| {
        let cause = Cause::OtherLog;
        Err(Halt { cause, reason })
    };
    if counted > end {
        return other(format!(
            "its statistics reach to offset {counted}, but the log ends at {end}: the topic was made anew or cut off"
        ));
    }
    if let Kin::Other(Mark { offset, .. }) = kin {
        return other(made_anew(offset));
    }
    if standing.committed.is_some() || !found.has_begun() {
        return Ok(());
    }
    if counted < first {
        let reason = format!(
            "nothing is committed, its statistics reach to offset {counted}, but the log begins at {first}: {} records were removed before they were read",
            first - counted
        );
        let cause = Cause::OffsetGone;
        return Err(Halt { cause, reason });
    }
    match kin {
        Kin::Unknown => other(format!(
            "nothing is committed, although its statistics reach to offset {counted}, and no record is left that shows whether they are of this log \
             (who knows that they are sets the group's offset with Kafka's tools)"
        )),
        Kin::Same | Kin::Other(_) => Ok(()),
    }
}
