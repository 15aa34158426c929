//! Where to start with partitions of which nobody could say so when they were assigned: their leaders, or the
//! group's coordinator, were away. Asked again and again, and for all of them in one question, until it is known.
//!
//! Nobody waits here, least of all for another partition. What is learnt counts in the epoch it was asked
//! for: a partition that went meanwhile, and came back, may have been read on by others.

use std::sync::Arc;
use std::time::Duration;

use actors::{Backoff, Cx, Epoch, Pace, owned_blocking_within};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::opening::{LATE, Pending};
use super::{Commit, Committer};
use crate::flow::{CommitMsg, Learnt};
use crate::lane::Cause;
use crate::tally::TallyStore;

/// From one question to the next: soon, as a leader that is elected answers soon, and longer and longer.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);
/// How long one question is waited for. It may go on for longer without anybody.
const WAIT: Duration = Duration::from_secs(10);

/// When it is asked again.
pub(super) struct Starts {
    due: Instant,
    is_asking: bool,
    pauses: Pace,
    /// Ends the wait for answers of brokers.
    closing: CancellationToken,
}

impl Starts {
    pub(super) fn new() -> Self {
        let pace = Backoff {
            min: FIRST,
            max: LONGEST,
            ..Backoff::default()
        };
        Self {
            due: Instant::now(),
            is_asking: false,
            pauses: pace.pace(),
            closing: CancellationToken::new(),
        }
    }

    /// Nobody waits any more for what is being asked.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }

    /// Cancelled once nobody waits for them.
    pub(super) fn closing(&self) -> CancellationToken {
        self.closing.clone()
    }
}

impl Pending {
    /// Tells the outside that nobody says where to start, once that takes too long.
    pub(super) fn tell_unknown(&self) {
        if self.began.elapsed() < LATE {
            return;
        }
        let said = self.unknown.as_deref().unwrap_or("nobody has answered yet");
        let reason = format!(
            "nobody says where to start: {said}; look at who leads it and at its brokers (KAFKA_BOOTSTRAP_SERVERS)"
        );
        self.reader.lane.waits(Cause::StartUnknown, reason);
    }
}

impl<C: Committer, T: TallyStore> Commit<C, T> {
    /// Asks for every partition of which it is not known, if it is time to.
    pub(super) fn ask_starts(&mut self, cx: &mut Cx<CommitMsg>) {
        if self.starts.is_asking || Instant::now() < self.starts.due {
            return;
        }
        let is_wanted = |pending: &Pending| {
            pending.standing.is_none() && pending.reader.lane.halted().is_none()
        };
        let wanted = self.openings.iter().filter(|(_, one)| is_wanted(one));
        let asked: Vec<(i32, Epoch)> = wanted
            .map(|(partition, one)| (*partition, one.epoch))
            .collect();
        if asked.is_empty() {
            self.starts.pauses.reset();
            return;
        }
        self.starts.is_asking = true;
        let (log, closing) = (Arc::clone(&self.committer), self.starts.closing());
        cx.spawn(async move {
            let partitions: Vec<i32> = asked.iter().map(|(partition, _)| *partition).collect();
            let all = partitions.clone();
            let found = tokio::select! {
                found = owned_blocking_within(WAIT, move || log.standings(&partitions)) => {
                    found.unwrap_or_else(|none| Learnt::nothing(&all, &none.to_string()))
                }
                () = closing.cancelled() => Learnt::nothing(&all, "this process ends"),
            };
            CommitMsg::Stood { asked, found }
        });
    }

    /// What is known begins; the rest is told of, and asked for again.
    pub(super) fn stood(&mut self, asked: &[(i32, Epoch)], found: Learnt, cx: &mut Cx<CommitMsg>) {
        self.starts.is_asking = false;
        let Learnt {
            known, mut unknown, ..
        } = found;
        if !known.is_empty() {
            self.starts.pauses.reset();
        }
        let pause = self.starts.pauses.next().unwrap_or(LONGEST);
        self.starts.due = Instant::now() + pause;
        for (partition, epoch) in asked {
            let pending = self.openings.get_mut(partition);
            let Some(pending) = pending.filter(|pending| pending.epoch == *epoch) else {
                debug!(partition, %epoch, "told where to start with a partition that is not wanted any more");
                continue;
            };
            let Some(standing) = known.iter().find(|one| one.partition == *partition) else {
                pending.not_known(*partition, unknown.remove(partition));
                continue;
            };
            info!(?standing, "now it is known where to start");
            (pending.standing, pending.attempts) = (Some(*standing), 0);
            match standing.is_in_log() {
                Ok(()) => self.load(*partition, cx),
                Err(reason) => pending.reader.lane.halt(Cause::OffsetGone, reason),
            }
        }
    }
}

impl Pending {
    fn not_known(&mut self, partition: i32, cause: Option<String>) {
        self.unknown = cause.or_else(|| self.unknown.take());
        if self.attempts.is_multiple_of(10) {
            let cause = self.unknown.as_deref().unwrap_or_default();
            let attempt = self.attempts + 1;
            warn!(
                partition,
                cause, attempt, "partition waits: nobody says where to start"
            );
        }
        self.attempts = self.attempts.saturating_add(1);
        self.tell();
    }
}
