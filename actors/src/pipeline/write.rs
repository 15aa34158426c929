//! The writers. In: ready records. Out: batches to the sink, settlements to where the records came from.

use std::sync::Arc;

use tokio::time::Instant;

use super::ports::{Failed, Fate, Sink, Unusable};
use super::shelf::Shelf;
use super::turns::Turns;
use super::{Handler, Work};
use crate::{Cx, Delivery, Failure, Outcome, Receipt, Stage, Timer};

/// What a writer takes.
pub(super) enum WriteMsg<O, N: 'static> {
    Push(Vec<Work<O, N>>),
    Flush,
    Due,
    /// A batch of this slot is over.
    Written(u64),
}

pub(super) struct Writer<I, O, N: 'static, K> {
    pub(super) shelf: Shelf<Work<O, N>>,
    /// Whether batches hold records of one key only.
    pub(super) per_key: bool,
    pub(super) in_flight: usize,
    pub(super) turns: Arc<Turns>,
    pub(super) sink: Arc<K>,
    pub(super) on_failed: Handler<I, O>,
    pub(super) timer: Option<(Instant, Timer)>,
}

impl<I, O, N, K> Writer<I, O, N, K>
where
    I: Send + 'static,
    O: Send + Sync + 'static,
    N: Send + 'static,
    K: Sink<O, N>,
{
    fn write_ready(&mut self, cx: &mut Cx<WriteMsg<O, N>>) {
        while cx.in_flight() < self.in_flight
            && let Some((slot, batch)) = self.shelf.take()
        {
            let (sink, on_failed) = (Arc::clone(&self.sink), Arc::clone(&self.on_failed));
            let turns = Arc::clone(&self.turns);
            cx.spawn(async move {
                let _turn = turns.take(slot).await;
                write(batch, sink.as_ref(), on_failed.as_ref()).await;
                WriteMsg::Written(slot)
            });
        }
    }

    fn watch_deadline(&mut self, cx: &mut Cx<WriteMsg<O, N>>) {
        let Some(deadline) = self.shelf.deadline().map(Instant::from_std) else {
            return;
        };
        if self.timer.as_ref().is_none_or(|(at, _)| *at > deadline) {
            let delay = deadline.saturating_duration_since(Instant::now());
            self.timer = Some((deadline, cx.send_after(delay, WriteMsg::Due)));
        }
    }
}

/// Writes a batch and settles every record of it.
async fn write<I, O, N: Send + 'static>(
    batch: Vec<Work<O, N>>,
    sink: &impl Sink<O, N>,
    on_failed: &super::HandlerFn<I, O>,
) {
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
    if values.is_empty() {
        return;
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
                let verdict = on_failed(failed).await;
                (receipt, verdict, None)
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
}

impl<I, O, N, K> Stage for Writer<I, O, N, K>
where
    I: Send + 'static,
    O: Send + Sync + 'static,
    N: Send + 'static,
    K: Sink<O, N>,
{
    type Msg = WriteMsg<O, N>;

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
            WriteMsg::Written(slot) => self.shelf.written(slot),
        }
        self.shelf.close_due(now);
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
