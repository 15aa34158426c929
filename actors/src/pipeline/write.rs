//! The writers. In: ready records. Out: batches to the sink, settlements to where the records came from.
//!
//! What becomes of a batch in the hands of the sink is in `attempt.rs`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Work;
use super::attempt::write;
use super::decide::{Case, Judge};
use super::house::Presence;
use super::ports::Sink;
use super::shelf::Shelf;
use super::turns::Turns;
use crate::{Cx, Failure, Stage, Timer};

/// What a writer takes.
pub(super) enum WriteMsg<I, O, N: 'static> {
    /// Records of one lane.
    Push(Vec<Work<O, N>>),
    /// What is there of a lane, or of all, is to be written as it is.
    Flush(Option<u32>),
    Due,
    /// A batch of this slot is over, but for what the sink refused.
    Written(u64, Vec<Case<I, O, N>>),
    /// A failed handler is done.
    Handled,
}

pub(super) struct Writer<I, O, N: 'static, K> {
    /// First, so that it is said that nobody is there before what is here gives its credits back.
    pub(super) presence: Presence,
    pub(super) shelf: Shelf<Work<O, N>>,
    /// Whether batches hold records of one key only.
    pub(super) per_key: bool,
    /// How many batches may be written at once, and how many are.
    pub(super) in_flight: usize,
    pub(super) writing: usize,
    /// How long a write may take.
    pub(super) patience: Option<Duration>,
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
            let (sink, turns) = (Arc::clone(&self.sink), &self.turns);
            let (patience, judge) = (self.patience, self.judge.clone());
            self.writing += 1;
            let turn = turns.line_up(slot);
            cx.spawn(async move {
                let _turn = turn.await;
                WriteMsg::Written(slot, write(batch, sink, patience, judge).await)
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
            WriteMsg::Written(slot, refused) => {
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
