//! The writers. In: ready records. Out: batches to the sink, settlements to where the records came from.

use std::sync::Arc;

use tokio::time::Instant;

use super::Work;
use super::decide::Judge;
use super::ports::{Failed, Fate, Sink, Unusable};
use super::shelf::Shelf;
use super::turns::Turns;
use crate::{Cx, Delivery, Failure, Outcome, Receipt, Stage, Timer};

/// What a writer takes.
pub(super) enum WriteMsg<I, O, N: 'static> {
    Push(Vec<Work<O, N>>),
    Flush,
    Due,
    /// A batch of this slot is over, but for what the sink refused.
    Written(u64, Vec<Refused<I, O, N>>),
    /// A failed handler is done.
    Handled,
}

/// To be decided about by the failed handler.
type Refused<I, O, N> = (Failed<I, O>, Receipt<N>);

pub(super) struct Writer<I, O, N: 'static, K> {
    pub(super) shelf: Shelf<Work<O, N>>,
    /// Whether batches hold records of one key only.
    pub(super) per_key: bool,
    /// How many batches may be written at once, and how many are.
    pub(super) in_flight: usize,
    pub(super) writing: usize,
    pub(super) turns: Arc<Turns>,
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
            let (sink, turns) = (Arc::clone(&self.sink), Arc::clone(&self.turns));
            self.writing += 1;
            cx.spawn(async move {
                let _turn = turns.take(slot).await;
                WriteMsg::Written(slot, write(batch, sink.as_ref()).await)
            });
        }
    }

    fn decide(&self, (failed, receipt): Refused<I, O, N>, cx: &mut Cx<WriteMsg<I, O, N>>) {
        let verdict = self.judge.clone().decide(failed);
        cx.spawn(async move {
            receipt.settle(verdict.await, None);
            WriteMsg::Handled
        });
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

/// Writes a batch and settles every record of it that the sink did not refuse.
async fn write<I, O, N: Send + 'static>(
    batch: Vec<Work<O, N>>,
    sink: &impl Sink<O, N>,
) -> Vec<Refused<I, O, N>> {
    let (values, receipts): (Vec<O>, Vec<Receipt<N>>) = batch
        .into_iter()
        .filter(|work| !work.book.is_halted())
        .map(
            |Work {
                 delivery: Delivery { value, receipt },
                 ..
             }| (value, receipt),
        )
        .unzip();
    let mut refused = Vec::new();
    if values.is_empty() {
        return refused;
    }
    let mut fates = sink.write(&values).await.into_iter();
    let mut settled = Vec::with_capacity(receipts.len());
    for (value, receipt) in values.into_iter().zip(receipts) {
        settled.push(match fates.next() {
            Some(Fate::Stored(note)) => (receipt, Outcome::Stored, note),
            Some(Fate::Refused(failure)) => {
                let cause = crate::exit::chain(failure.as_ref());
                let failed = Failed {
                    position: receipt.position(),
                    record: Unusable::Ready(value),
                    cause,
                };
                refused.push((failed, receipt));
                continue;
            }
            Some(Fate::Failed(failure)) => {
                let position = receipt.position();
                tracing::warn!(lane = position.lane, seq = position.seq, %failure, "not written");
                (receipt, Outcome::Failed, None)
            }
            None => (receipt, Outcome::Failed, None),
        });
    }
    Receipt::settle_all(settled);
    refused
}

impl<I, O, N, K> Stage for Writer<I, O, N, K>
where
    I: Send + Sync + 'static,
    O: Send + Sync + 'static,
    N: Send + 'static,
    K: Sink<O, N>,
{
    type Msg = WriteMsg<I, O, N>;

    async fn handle(&mut self, msg: Self::Msg, cx: &mut Cx<Self::Msg>) -> Result<(), Failure> {
        let now = Instant::now().into_std();
        match msg {
            WriteMsg::Push(batch) => {
                for work in batch {
                    let (slot, bytes) = (if self.per_key { work.key } else { 0 }, work.bytes);
                    self.shelf.push(slot, work, bytes, now);
                }
            }
            WriteMsg::Flush => self.shelf.close_all(),
            WriteMsg::Due => self.timer = None,
            WriteMsg::Written(slot, refused) => {
                self.writing -= 1;
                self.shelf.written(slot);
                for refused in refused {
                    self.decide(refused, cx);
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
