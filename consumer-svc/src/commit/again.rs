//! Whether the log that is read is still the one that was opened: looked at again and again.
//!
//! A topic that is deleted and made anew between two looks at its metadata, and filled beyond the offset at
//! which it was read, shows none of that: the client goes on at the same offset of another log. So the
//! record that the statistics remember is read again, one partition after the other, one small read every
//! few seconds however many there are.
//!
//! The record that is remembered must be one of the log that was opened. So a newer one takes its
//! place only when the older still stood where it was after the newer had been read.

use std::sync::Arc;
use std::time::Duration;

use actors::{Backoff, Cx, Pace};
use tokio::time::Instant;
use tracing::debug;

use super::opening::made_anew;
use super::{Commit, Committer};
use crate::flow::CommitMsg;
use crate::lane::Cause;
use crate::mark::{Look, Print};
use crate::tally::TallyStore;

/// From one look to the next.
pub(super) const EVERY: Duration = Duration::from_secs(5);
/// How long one look is waited for.
const WAIT: Duration = Duration::from_secs(2);

/// When which partition is looked at.
pub(super) struct Looks {
    due: Instant,
    is_looking: bool,
    /// Who was looked at last.
    last: i32,
    /// Longer and longer while the log cannot be read.
    pauses: Pace,
}

impl Looks {
    pub(super) fn new() -> Self {
        let pace = Backoff {
            min: EVERY,
            max: 12 * EVERY,
            ..Backoff::default()
        };
        Self {
            due: Instant::now() + EVERY,
            is_looking: false,
            last: -1,
            pauses: pace.pace(),
        }
    }
}

impl<C: Committer, T: TallyStore> Commit<C, T> {
    /// Begins a look at the next partition, if it is time for one.
    pub(super) fn look(&mut self, cx: &mut Cx<CommitMsg>) {
        if self.looks.is_looking || Instant::now() < self.looks.due {
            return;
        }
        let Some(look) = self.next_look() else {
            return;
        };
        (self.looks.is_looking, self.looks.last) = (true, look.partition);
        let log = Arc::clone(&self.committer);
        cx.spawn(async move {
            let read = log.print(look.partition, look.known.offset);
            let found = tokio::time::timeout(WAIT, read).await;
            let found = found.unwrap_or_else(|_| Err(format!("no answer within {WAIT:?}")));
            CommitMsg::Looked { look, found }
        });
    }

    /// The next partition after the last that is read and has a record to be known by.
    fn next_look(&self) -> Option<Look> {
        let is_read = |partition: &i32| {
            let reader = self.readers.get(partition);
            reader.is_some_and(|reader| reader.lane.halted().is_none())
        };
        let all = || self.ledger.partitions().filter(is_read);
        let (last, look) = (self.looks.last, |partition| {
            let (epoch, known, newer) = self.ledger.marks(partition)?;
            Some(Look {
                partition,
                epoch,
                known,
                newer,
            })
        });
        let after = all().filter(|partition| *partition > last);
        after.chain(all()).find_map(look)
    }

    pub(super) fn looked(&mut self, look: Look, found: Result<Option<Print>, String>) {
        let Look {
            partition,
            epoch,
            known,
            newer,
        } = look;
        let pause = match found {
            Ok(_) => {
                self.looks.pauses.reset();
                EVERY
            }
            Err(_) => self.looks.pauses.next().unwrap_or(EVERY),
        };
        (self.looks.is_looking, self.looks.due) = (false, Instant::now() + pause);
        // One that was given back, and perhaps came again, is looked at when it is opened.
        if self.ledger.epoch(partition) != Some(epoch) {
            return;
        }
        match found {
            Ok(Some(print)) if print != known.print => {
                if let Some(reader) = self.readers.get(&partition) {
                    reader.lane.halt(Cause::OtherLog, made_anew(known.offset));
                }
            }
            // One that retention has removed proves nothing any more; the newer one is believed.
            Ok(_) => {
                if let Some(newer) = newer {
                    self.ledger.remember(partition, newer);
                }
            }
            Err(cause) => debug!(partition, %cause, "the log cannot be looked at"),
        }
    }
}
