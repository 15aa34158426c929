//! Partition reader: one actor per assigned partition, alive for one epoch.
//!
//! In: records of its partition, as fast as it gets credits. Out: purchases to the batch writer,
//! bad records to the dead-letter stage, and their offsets to commit, which hears of them first.
//! Without a credit it does not poll, nor too far ahead of its oldest unsettled record, nor when
//! its partition is stopped; it never pauses the partition, because the client throws its
//! prefetched records away when paused (<https://github.com/confluentinc/librdkafka/issues/2052>).

mod args;
mod decode;
pub mod kafka;
mod place;
mod resume;
mod source;
mod traced;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actors::{
    Cost, Cx, Epoch, Failure, Origin, Outcome, Permit, Position, Receipt, Refused, Stage, Timer,
};
use tracing::{debug, warn};

pub use self::args::{ReadLimits, ReaderArgs};
pub(crate) use self::decode::{Decoded, Raw, decode};
use self::place::Place;
use self::resume::SEEK_PAUSE;
pub use self::source::{OpenPartition, PartitionSource, Polled, SeekError, SourceError};
pub(crate) use self::traced::Traced;
use crate::flow::{
    CommitMsg, DeadLetterMsg, Delivered, Opened, Recall, Rejected, Rejection, WriteMsg,
};
use crate::lane::{Bad, Halt};
use crate::mark::Mark;
use crate::metrics;

/// Mailbox of a reader.
pub enum ReaderMsg {
    /// The books of this partition are open for this epoch: read from this offset.
    Opened(Epoch, u64),
    /// There may be records.
    Poll,
    /// The client is to be set to where the reader stands.
    Seek,
    /// An answer to the wish for a credit.
    Credit(Result<Permit, Refused>),
    /// A record of this epoch failed: end, so that the next epoch starts at what is settled.
    Recall(Epoch),
}

/// The actor of one partition in one epoch.
pub struct PartitionReader<O: OpenPartition> {
    args: ReaderArgs<O>,
    epoch: Epoch,
    source: Option<O::Source>,
    place: Place,
    /// Collapses a burst of wake-ups into one message.
    woken: Arc<AtomicBool>,
    waiting_for_credit: bool,
    /// As far ahead of what is settled as it may be.
    held: bool,
    safety_tick: Option<Timer>,
    seek_again: Option<Timer>,
}

/// How long one wish for a credit waits before it is renewed. Short, so that a reader that must
/// go is not held up by it.
const CREDIT_WAIT: Duration = Duration::from_millis(250);
/// A wake-up of the client that got lost costs at most this.
const SAFETY_TICK: Duration = Duration::from_millis(500);
/// How often a reader that is too far ahead looks whether it still is.
const HELD_TICK: Duration = Duration::from_millis(50);

impl<O: OpenPartition> PartitionReader<O> {
    /// A reader for one epoch of `args.partition`.
    pub fn new(args: ReaderArgs<O>, epoch: Epoch) -> Self {
        Self {
            args,
            epoch,
            source: None,
            place: Place::default(),
            woken: Arc::default(),
            waiting_for_credit: false,
            held: false,
            safety_tick: None,
            seek_again: None,
        }
    }

    fn recall(&self, cx: &Cx<ReaderMsg>) -> Recall {
        let (addr, epoch) = (cx.addr().clone(), self.epoch);
        Arc::new(move || {
            if addr.send(ReaderMsg::Recall(epoch)).is_err() {
                debug!(%epoch, "recall of a reader that is gone");
            }
        })
    }

    /// Told by the commit stage, which first needs the database. This reader does not wait for it
    /// with anything in its hands, so it can be stopped meanwhile, and so can the process.
    fn opened(&self, cx: &Cx<ReaderMsg>) -> Opened {
        let (addr, epoch) = (cx.addr().clone(), self.epoch);
        Box::new(move |next| {
            if addr.send(ReaderMsg::Opened(epoch, next)).is_err() {
                debug!(%epoch, "the reader went away while its partition was opened");
            }
        })
    }

    fn wake(&self, cx: &Cx<ReaderMsg>) -> Arc<dyn Fn() + Send + Sync> {
        let (addr, woken) = (cx.addr().clone(), Arc::clone(&self.woken));
        Arc::new(move || {
            if !woken.swap(true, Ordering::AcqRel) && addr.send(ReaderMsg::Poll).is_err() {
                // A reader that is not there yet, or any more, polls when it starts.
                woken.store(false, Ordering::Release);
            }
        })
    }

    /// Reads until the queue is empty, the turn is over, or no credit is left.
    fn pump(&mut self, permit: Option<Permit>, cx: &mut Cx<ReaderMsg>) -> Result<(), Failure> {
        self.woken.store(false, Ordering::Release);
        let is_elsewhere = self.place.is_elsewhere().is_some();
        if self.source.is_none() || is_elsewhere || self.args.lane.is_shut() {
            return Ok(());
        }
        let ReadLimits {
            records,
            bytes,
            ahead,
        } = self.args.limits;
        let room = (ahead as u64).saturating_sub(self.args.lane.pulse().pending());
        self.held = room == 0;
        if self.held {
            return Ok(());
        }
        let turn = Cost {
            count: records.min(room as usize),
            bytes,
        };
        let permit = match permit.map_or_else(|| self.args.credits.try_take(turn), Ok) {
            Ok(permit) => permit,
            Err(_) => {
                self.ask_for_credit(turn, cx);
                return Ok(());
            }
        };
        let more = self.turn(permit)?;
        if self.place.is_elsewhere().is_some() {
            self.seek_again = Some(cx.send_after(SEEK_PAUSE, ReaderMsg::Seek));
        } else if more {
            // More is waiting; other messages get their chance first.
            self.woken.store(true, Ordering::Release);
            if cx.addr().send(ReaderMsg::Poll).is_err() {
                self.woken.store(false, Ordering::Release);
            }
        }
        Ok(())
    }

    fn ask_for_credit(&mut self, turn: Cost, cx: &mut Cx<ReaderMsg>) {
        if !std::mem::replace(&mut self.waiting_for_credit, true) {
            let credits = self.args.credits.clone();
            cx.spawn(async move { ReaderMsg::Credit(credits.take(turn, CREDIT_WAIT).await) });
        }
    }

    /// One turn. Answers whether its limits ended it, rather than an empty queue.
    fn turn(&mut self, mut permit: Permit) -> Result<bool, Failure> {
        let Some(source) = self.source.as_mut() else {
            return Ok(false);
        };
        // What was asked for when there was room.
        let limits = permit.cost();
        let (mut polled, mut bytes, mut more) = (Vec::new(), 0, false);
        loop {
            if polled.len() >= limits.count || bytes >= limits.bytes {
                more = true;
                break;
            }
            match source.poll() {
                Ok(None) => break,
                Ok(Some(record)) if self.place.is_below(record.offset()) => {
                    self.strayed(record.offset(), polled.is_empty())?;
                    break;
                }
                Ok(Some(Polled::Bad(record, _)))
                    if !self.args.lane.takes_bad(&Bad {
                        offset: record.origin.offset.unsigned_abs(),
                        came_back: record.came_back,
                        reason: &record.reason,
                    }) =>
                {
                    break;
                }
                Ok(Some(record)) => {
                    self.place.passed(record.offset());
                    bytes += record.bytes();
                    polled.push(record);
                }
                Err(SourceError::Passing(cause)) => {
                    metrics::consumer_error();
                    warn!(partition = self.args.partition, %cause, "reading");
                    break;
                }
                Err(SourceError::Lost(Halt { cause, reason })) => {
                    self.args.lane.halt(cause, reason);
                    break;
                }
            }
        }
        if polled.is_empty() {
            return Ok(false);
        }
        metrics::read(self.args.partition, polled.len(), bytes);
        self.args.lane.admitted(polled.len() as u64);
        // What this turn did not use goes back at once.
        let used = permit.split(Cost {
            count: polled.len(),
            bytes: bytes.min(limits.bytes),
        });
        drop(std::mem::replace(
            &mut permit,
            used.ok_or("a turn used more than its credit")?,
        ));
        let mark = self.source.as_mut().and_then(PartitionSource::mark);
        self.dispatch(polled, mark, permit);
        Ok(more)
    }

    /// Hands the records on. A stage that is being replaced drops them, which settles them as
    /// failed, which calls this reader back.
    fn dispatch(&self, polled: Vec<Polled>, mark: Option<Mark>, permit: Permit) {
        let offsets = polled.iter().map(Polled::offset).collect();
        let (partition, epoch) = (self.args.partition, self.epoch);
        if self
            .args
            .commit
            .send(CommitMsg::Admit {
                partition,
                epoch,
                offsets,
                mark,
            })
            .is_err()
        {
            debug!(partition, "commit is being replaced, so is this reader");
            return;
        }
        let mut purchases: Vec<(Delivered, usize)> = Vec::with_capacity(polled.len());
        let mut bad: Vec<(Rejected, usize)> = Vec::new();
        let mut passed = Vec::new();
        // One credit for the turn: it comes back when the last record of it is settled, but for what may
        // take longer than the others and is taken apart.
        let origin = Origin::new(Arc::clone(&self.args.outlet), Some(permit));
        for record in polled {
            let position = Position {
                lane: partition as u32,
                epoch,
                seq: record.offset(),
            };
            let mut receipt = origin.receipt(position);
            match record {
                Polled::Purchase(value, bytes) => purchases.push((
                    Delivered {
                        value: *value,
                        receipt,
                    },
                    bytes,
                )),
                Polled::Bad(value, bytes) => {
                    warn!(partition, offset = value.origin.offset, reason = %value.reason, "bad record, goes to the dead letters");
                    receipt.apart(Cost { count: 1, bytes });
                    bad.push((
                        Rejected {
                            value: Rejection::Record(*value),
                            receipt,
                            letter: self.args.lane.letter(epoch),
                        },
                        bytes,
                    ));
                }
                Polled::Tombstone { .. } => passed.push((receipt, Outcome::Stored, None)),
            }
        }
        if !passed.is_empty() {
            metrics::tombstones(passed.len());
            Receipt::settle_all(passed);
        }
        if !purchases.is_empty() && self.args.write.send(WriteMsg::Push(purchases)).is_err() {
            debug!(partition, "the writer is being replaced");
        }
        if !bad.is_empty()
            && self
                .args
                .dead_letter
                .send(DeadLetterMsg::Push(bad))
                .is_err()
        {
            debug!(partition, "the dead-letter stage is being replaced");
        }
    }
}

impl<O: OpenPartition> Stage for PartitionReader<O> {
    type Msg = ReaderMsg;

    async fn started(&mut self, cx: &mut Cx<ReaderMsg>) -> Result<(), Failure> {
        let open = CommitMsg::Open {
            partition: self.args.partition,
            epoch: self.epoch,
            standing: self.args.standing,
            lane: self.args.lane.clone(),
            recall: self.recall(cx),
            opened: self.opened(cx),
        };
        if self.args.commit.send(open).is_err() {
            return Err("the commit stage is being replaced".into());
        }
        self.safety_tick = Some(cx.send_after(SAFETY_TICK, ReaderMsg::Poll));
        Ok(())
    }

    async fn handle(&mut self, msg: ReaderMsg, cx: &mut Cx<ReaderMsg>) -> Result<(), Failure> {
        match msg {
            ReaderMsg::Opened(epoch, next) if epoch == self.epoch => self.begin(next, cx).await,
            ReaderMsg::Opened(..) => Ok(()),
            ReaderMsg::Seek => self.go_on(cx).await,
            ReaderMsg::Poll => {
                if !self.waiting_for_credit {
                    self.pump(None, cx)?;
                }
                let tick = if self.held { HELD_TICK } else { SAFETY_TICK };
                self.safety_tick = Some(cx.send_after(tick, ReaderMsg::Poll));
                Ok(())
            }
            ReaderMsg::Credit(answer) => {
                self.waiting_for_credit = false;
                self.pump(answer.ok(), cx)
            }
            ReaderMsg::Recall(epoch) if epoch == self.epoch => Err(format!(
                "partition {} starts over: a record failed",
                self.args.partition
            )
            .into()),
            ReaderMsg::Recall(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
