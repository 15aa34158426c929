//! The workers. In: raw records. Out: ready ones to the writers, unusable ones to the failed handler.

use std::sync::Arc;

use super::book::Book;
use super::decide::{Case, Judge};
use super::ports::{Failed, Step, Unusable};
use super::write::WriteMsg;
use super::{Steps, Work, nobody_home, route, routes};
use crate::guard::catch_now;
use crate::{Addr, Cx, Delivery, Failure, Outcome, Receipt, Stage, Undelivered};

/// What a worker takes.
pub(super) enum WorkMsg<I, N: 'static> {
    Push(Vec<Work<I, N>>),
    /// A record whose key could not be found out, and why.
    Unkeyed(Box<Work<I, N>>, String),
    Flush,
    /// A failed handler is done.
    Handled,
}

pub(super) struct Worker<I, O, N: 'static> {
    pub(super) steps: Steps<I, O>,
    pub(super) judge: Judge<I, O>,
    pub(super) writers: Arc<[Addr<WriteMsg<I, O, N>>]>,
}

impl<I, O, N> Worker<I, O, N>
where
    I: Send + 'static,
    O: Send + 'static,
    N: Send + 'static,
{
    fn work(&self, batch: Vec<Work<I, N>>, cx: &mut Cx<WorkMsg<I, N>>) {
        let mut routed = routes(self.writers.len(), batch.len());
        let mut skipped = Vec::new();
        for Work {
            key,
            bytes,
            book,
            delivery: Delivery { value, receipt },
        } in batch
        {
            // Dropped with its receipt: it is delivered again, and its steps have that turn.
            if book.is_halted() {
                continue;
            }
            let step = catch_now(|| (self.steps)(&value));
            let cause = match step {
                Ok(Step::Next(value)) => {
                    let to = route(key, routed.len());
                    routed[to].push(Work {
                        key,
                        bytes,
                        book,
                        delivery: Delivery { value, receipt },
                    });
                    continue;
                }
                Ok(Step::Skip) => {
                    skipped.push((receipt, Outcome::Stored, None));
                    continue;
                }
                Ok(Step::Fail(failure)) => crate::exit::told(failure),
                Err(panic) => format!("panicked: {panic}"),
            };
            self.unusable(book, Delivery { value, receipt }, cause, cx);
        }
        Receipt::settle_all(skipped);
        for (writer, work) in self.writers.iter().zip(routed) {
            if !work.is_empty()
                && let Err(Undelivered(WriteMsg::Push(work))) = writer.send(WriteMsg::Push(work))
            {
                // Dropped with its receipts, which fails the lane: it begins again at its commit.
                nobody_home(&work, writer.name());
            }
        }
    }

    fn unusable(
        &self,
        book: Arc<Book<N>>,
        Delivery { value, receipt }: Delivery<I, N>,
        cause: String,
        cx: &mut Cx<WorkMsg<I, N>>,
    ) {
        let failed = Failed {
            position: receipt.position(),
            record: Unusable::Raw(value),
            cause,
        };
        let settled = self.judge.clone().settle(Case {
            failed,
            receipt,
            book,
        });
        cx.spawn(async move {
            settled.await;
            WorkMsg::Handled
        });
    }
}

impl<I, O, N> Stage for Worker<I, O, N>
where
    I: Send + 'static,
    O: Send + 'static,
    N: Send + 'static,
{
    type Msg = WorkMsg<I, N>;

    async fn handle(&mut self, msg: Self::Msg, cx: &mut Cx<Self::Msg>) -> Result<(), Failure> {
        match msg {
            WorkMsg::Push(batch) => self.work(batch, cx),
            WorkMsg::Unkeyed(work, cause) => {
                let Work { book, delivery, .. } = *work;
                if !book.is_halted() {
                    self.unusable(book, delivery, cause, cx);
                }
            }
            WorkMsg::Flush => {
                for writer in self.writers.iter() {
                    if writer.send(WriteMsg::Flush).is_err() {
                        tracing::trace!(writer = writer.name(), "nothing to flush at nobody's");
                    }
                }
            }
            WorkMsg::Handled => {}
        }
        Ok(())
    }
}
