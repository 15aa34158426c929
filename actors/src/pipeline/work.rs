//! The workers. In: raw records. Out: ready ones to the writers, unusable ones to the failed handler.
//!
//! Those behind an unusable record go on meanwhile, with one exception: a step that panicked may do its
//! work the next time. If the failed handler does not decide about such a record it is delivered again,
//! and is perhaps written then, so what is behind it under its key waits for the decision.

use std::collections::HashMap;
use std::sync::Arc;

use super::book::Book;
use super::decide::{Case, Judge};
use super::house::Presence;
use super::ports::{Failed, Step, Unusable};
use super::write::WriteMsg;
use super::{Steps, Work, nobody_home, route, routes};
use crate::guard::catch_now;
use crate::{Addr, Cx, Delivery, Epoch, Failure, Outcome, Pulse, Receipt, Stage, Undelivered};

/// What a worker takes.
pub(super) enum WorkMsg<I, N: 'static> {
    Push(Vec<Work<I, N>>),
    /// A record whose key could not be found out, and why.
    Unkeyed(Box<Work<I, N>>, String),
    Flush,
    /// A failed handler is done, with a record behind which others wait, or with one of no concern.
    Handled(Option<Behind>),
}

/// What has to stay behind what: a key of one incarnation of a lane. What its next one delivers again
/// waits for nobody the last one left behind.
pub(super) type Behind = (Epoch, u64);

pub(super) struct Worker<I, O, N: 'static> {
    /// First, so that it is said that nobody is there before what is here gives its credits back.
    presence: Presence,
    pub(super) steps: Steps<I, O>,
    pub(super) judge: Judge<I, O>,
    pub(super) writers: Arc<[Addr<WriteMsg<I, O, N>>]>,
    /// Steps under way, for the watch. Nothing else notices one that blocks: other workers move on.
    stepping: Pulse,
    /// What waits until it is decided about the record before it.
    waiting: HashMap<Behind, Waiting<I, N>>,
}

/// What stands behind a record that is not decided about.
struct Waiting<I, N: 'static> {
    book: Arc<Book<N>>,
    works: Vec<Work<I, N>>,
}

impl<I, O, N> Drop for Worker<I, O, N> {
    fn drop(&mut self) {
        // Nobody knows any more what has to wait, so nothing of those lanes goes on.
        for waiting in self.waiting.values() {
            waiting.book.halt();
        }
    }
}

impl<I, O, N> Worker<I, O, N> {
    pub(super) fn new(
        steps: Steps<I, O>,
        judge: Judge<I, O>,
        writers: Arc<[Addr<WriteMsg<I, O, N>>]>,
        stepping: Pulse,
        presence: Presence,
    ) -> Self {
        stepping.reset();
        Self {
            steps,
            judge,
            writers,
            stepping,
            presence,
            waiting: HashMap::new(),
        }
    }
}

impl<I, O, N> Worker<I, O, N>
where
    I: Send + 'static,
    O: Send + 'static,
    N: Send + 'static,
{
    fn work(&mut self, batch: Vec<Work<I, N>>, cx: &mut Cx<WorkMsg<I, N>>) {
        let mut routed = routes(self.writers.len(), batch.len());
        let mut skipped = Vec::new();
        for work in batch {
            // Dropped with its receipt: it is delivered again, and its steps have that turn.
            if work.book.is_halted() {
                continue;
            }
            if !self.waiting.is_empty()
                && let Some(waiting) = self.waiting.get_mut(&work.behind())
            {
                waiting.works.push(work);
                continue;
            }
            let Work {
                key,
                bytes,
                book,
                delivery: Delivery { value, receipt },
            } = work;
            self.stepping.begin(1);
            let step = catch_now(|| (self.steps)(&value));
            self.stepping.done(1);
            let (cause, before) = match step {
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
                Ok(Step::Fail(failure)) => (crate::exit::told(failure), None),
                Err(panic) => {
                    let behind = (receipt.position().epoch, key);
                    let waiting = Waiting {
                        book: Arc::clone(&book),
                        works: Vec::new(),
                    };
                    self.waiting.insert(behind, waiting);
                    (format!("panicked: {panic}"), Some(behind))
                }
            };
            self.unusable(book, Delivery { value, receipt }, cause, before, cx);
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
        before: Option<Behind>,
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
            WorkMsg::Handled(before)
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

    async fn started(&mut self, _cx: &mut Cx<Self::Msg>) -> Result<(), Failure> {
        self.presence.come();
        Ok(())
    }

    async fn handle(&mut self, msg: Self::Msg, cx: &mut Cx<Self::Msg>) -> Result<(), Failure> {
        match msg {
            WorkMsg::Push(batch) => self.work(batch, cx),
            WorkMsg::Unkeyed(work, cause) => {
                let Work { book, delivery, .. } = *work;
                if !book.is_halted() {
                    self.unusable(book, delivery, cause, None, cx);
                }
            }
            WorkMsg::Flush => {
                for writer in self.writers.iter() {
                    if writer.send(WriteMsg::Flush(None)).is_err() {
                        tracing::trace!(writer = writer.name(), "nothing to flush at nobody's");
                    }
                }
            }
            WorkMsg::Handled(before) => {
                let waited = before.and_then(|before| self.waiting.remove(&before));
                if let Some(waited) = waited {
                    self.work(waited.works, cx);
                }
            }
        }
        Ok(())
    }
}
