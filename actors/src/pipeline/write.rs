//! The writers. In: ready records. Out: batches to the sink, settlements to where the records came from.
//!
//! A write that takes longer than the writer's patience is given up: its records fail, which has them
//! delivered again, and the next write of its slot begins. It is not dropped, as no side effect is; it
//! runs on by itself, and nobody waits for it any more.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Work;
use super::book::Book;
use super::decide::{Case, Judge};
use super::house::{Presence, Stay};
use super::ports::{Failed, Fate, Sink, Unusable};
use super::shelf::Shelf;
use super::turns::Turns;
use crate::guard::catch;
use crate::{Cx, Failure, Outcome, Receipt, Stage, Timer, Unanswered, owned_within};

/// What a writer takes.
pub(super) enum WriteMsg<I, O, N: 'static> {
    /// Records of one lane.
    Push(Vec<Work<O, N>>),
    /// What is there of a lane, or of all, is to be written as it is.
    Flush(Option<u32>),
    Due,
    /// A batch of this slot is over, but for what the sink refused; or the sink panicked on it.
    Written(u64, Result<Vec<Case<I, O, N>>, String>),
    /// A failed handler is done.
    Handled,
}

pub(super) struct Writer<I, O, N: 'static, K> {
    pub(super) shelf: Shelf<Work<O, N>>,
    /// Whether batches hold records of one key only.
    pub(super) per_key: bool,
    /// How many batches may be written at once, and how many are.
    pub(super) in_flight: usize,
    pub(super) writing: usize,
    /// How long a write may take.
    pub(super) patience: Option<Duration>,
    pub(super) turns: Arc<Turns>,
    pub(super) presence: Presence,
    pub(super) sink: Arc<K>,
    pub(super) judge: Judge<I, O>,
    pub(super) timer: Option<(Instant, Timer)>,
}

impl<I, O, N, K> Writer<I, O, N, K>
where
    I: Send + Sync + 'static,
    O: Send + Sync + 'static,
    N: Send + 'static,
    K: Sink<O, N>,
{
    fn write_ready(&mut self, cx: &mut Cx<WriteMsg<I, O, N>>) {
        while self.writing < self.in_flight
            && let Some((slot, batch)) = self.shelf.take()
        {
            let (sink, turns) = (Arc::clone(&self.sink), &self.turns);
            let (patience, stay) = (self.patience, self.presence.stay());
            self.writing += 1;
            let turn = turns.line_up(slot);
            cx.spawn(async move {
                let _turn = turn.await;
                WriteMsg::Written(slot, write(batch, sink, patience, &stay).await)
            });
        }
    }

    fn decide(&self, case: Case<I, O, N>, cx: &mut Cx<WriteMsg<I, O, N>>) {
        let settled = self.judge.clone().settle(case);
        cx.spawn(async move {
            settled.await;
            WriteMsg::Handled
        });
    }

    /// What a panic of the sink takes along is told of it: everything on the shelf fails.
    fn fall(&mut self, panic: String) -> ! {
        for work in self.shelf.empty() {
            let seq = work.delivery.receipt.position().seq;
            work.book
                .because(seq, format!("its writer panicked: {panic}"));
        }
        resume_unwind(Box::new(panic))
    }

    fn watch_deadline(&mut self, cx: &mut Cx<WriteMsg<I, O, N>>) {
        let Some(deadline) = self.shelf.deadline().map(Instant::from_std) else {
            return;
        };
        if self.timer.as_ref().is_none_or(|(at, _)| *at > deadline) {
            let delay = deadline.saturating_duration_since(Instant::now());
            self.timer = Some((deadline, cx.send_after(delay, WriteMsg::Due)));
        }
    }
}

/// What stays here of a record while its value is with the sink.
type Slip<N> = (Receipt<N>, Arc<Book<N>>);

/// Writes a batch and settles every record of it that the sink did not refuse. An error is the text
/// of a panic.
async fn write<I, O, N, K>(
    batch: Vec<Work<O, N>>,
    sink: Arc<K>,
    patience: Option<Duration>,
    writer: &Stay,
) -> Result<Vec<Case<I, O, N>>, String>
where
    O: Send + Sync + 'static,
    N: Send + 'static,
    K: Sink<O, N>,
{
    let room = batch.len();
    let (mut values, mut slips) = (Vec::with_capacity(room), Vec::with_capacity(room));
    for Work { book, delivery, .. } in batch {
        if !book.is_halted() {
            values.push(delivery.value);
            slips.push((delivery.receipt, book));
        }
    }
    let mut refused = Vec::new();
    if values.is_empty() {
        return Ok(refused);
    }
    let (values, fates) = match hand_in(values, sink, patience).await {
        Ok(done) => done,
        Err(Unanswered::Panicked(panic)) => {
            writer.ends();
            fail(slips, &format!("the sink panicked: {panic}"));
            return Err(panic);
        }
        Err(gone @ Unanswered::Cancelled) => {
            writer.ends();
            fail(slips, &gone.to_string());
            return Err(gone.to_string());
        }
        Err(Unanswered::Late(limit)) => {
            tracing::error!(
                ?limit,
                records = slips.len(),
                "a write takes too long and is given up"
            );
            fail(
                slips,
                &format!("the sink did not write it within {limit:?}"),
            );
            return Ok(refused);
        }
    };
    if let Some((_, book)) = slips.first() {
        book.answered();
    }
    let mut fates = fates.into_iter();
    let mut settled = Vec::with_capacity(slips.len());
    for (value, (receipt, book)) in values.into_iter().zip(slips) {
        let position = receipt.position();
        settled.push(match fates.next() {
            Some(Fate::Stored(note)) => (receipt, Outcome::Stored, note),
            Some(Fate::Refused(failure)) => {
                let failed = Failed {
                    position,
                    record: Unusable::Ready(value),
                    cause: crate::exit::told(failure),
                };
                refused.push(Case {
                    failed,
                    receipt,
                    book,
                });
                continue;
            }
            Some(Fate::Failed(failure)) => {
                let cause = crate::exit::told(failure);
                tracing::warn!(
                    lane = position.lane,
                    seq = position.seq,
                    cause,
                    "not written"
                );
                book.because(position.seq, format!("not written: {cause}"));
                (receipt, Outcome::Failed, None)
            }
            None => {
                book.because(position.seq, "the sink gave no fate for it");
                (receipt, Outcome::Failed, None)
            }
        });
    }
    Receipt::settle_all(settled);
    Ok(refused)
}

/// Gives a batch to the sink; under a limit in a task of its own, so that it can be left alone there.
async fn hand_in<O, N, K>(
    values: Vec<O>,
    sink: Arc<K>,
    patience: Option<Duration>,
) -> Result<(Vec<O>, Vec<Fate<N>>), Unanswered>
where
    O: Send + Sync + 'static,
    N: Send + 'static,
    K: Sink<O, N>,
{
    let write = async move {
        let fates = sink.write(&values).await;
        (values, fates)
    };
    match patience {
        None => catch(write).await.map_err(Unanswered::Panicked),
        Some(limit) => owned_within(limit, write).await,
    }
}

fn fail<N>(slips: Vec<Slip<N>>, cause: &str) {
    Receipt::settle_all(slips.into_iter().map(|(receipt, book)| {
        book.because(receipt.position().seq, cause);
        (receipt, Outcome::Failed, None)
    }));
}

impl<I, O, N, K> Stage for Writer<I, O, N, K>
where
    I: Send + Sync + 'static,
    O: Send + Sync + 'static,
    N: Send + 'static,
    K: Sink<O, N>,
{
    type Msg = WriteMsg<I, O, N>;

    async fn started(&mut self, _cx: &mut Cx<Self::Msg>) -> Result<(), Failure> {
        self.presence.come();
        Ok(())
    }

    async fn handle(&mut self, msg: Self::Msg, cx: &mut Cx<Self::Msg>) -> Result<(), Failure> {
        let now = Instant::now().into_std();
        match msg {
            WriteMsg::Push(batch) => {
                let hurried = batch.first().filter(|work| work.book.is_hurried());
                let lane = hurried.map(Work::lane);
                for work in batch {
                    let slot = if self.per_key { work.key } else { 0 };
                    self.shelf.push(slot, work, now);
                }
                // What came after the flush of its lane.
                if let Some(lane) = lane {
                    self.shelf.close_of(|work| work.lane() == lane);
                }
            }
            WriteMsg::Flush(None) => self.shelf.close_all(),
            WriteMsg::Flush(Some(lane)) => self.shelf.close_of(|work| work.lane() == lane),
            WriteMsg::Due => self.timer = None,
            WriteMsg::Written(_, Err(panic)) => self.fall(panic),
            WriteMsg::Written(slot, Ok(refused)) => {
                self.writing -= 1;
                self.shelf.written(slot);
                for case in refused {
                    self.decide(case, cx);
                }
            }
            WriteMsg::Handled => {}
        }
        self.shelf.line_up_due(now);
        self.write_ready(cx);
        self.watch_deadline(cx);
        Ok(())
    }

    async fn drained(&mut self, cx: &mut Cx<Self::Msg>) -> Result<(), Failure> {
        self.timer = None;
        self.shelf.close_all();
        self.write_ready(cx);
        Ok(())
    }
}
