//! A ready-made batching stage. In: items with their sizes. Out: batches given to a sink, a few at a time.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use tokio::time::Instant;

use crate::batch::Batcher;
use crate::{BatchLimits, Cx, Failure, Stage, Timer};

/// Where batches go. It settles the receipts in them itself; what it drops counts as failed.
pub trait BatchSink<T>: Send + Sync + 'static {
    /// Writes one batch. Runs in an owned task: it is never dropped half way. A panic fails the
    /// stage with its text, and the batch with its receipts.
    fn write(&self, batch: Vec<T>) -> impl Future<Output = ()> + Send;
}

/// What a [`BatchStage`] takes.
#[derive(Debug)]
pub enum BatchMsg<T> {
    /// Items with their bytes.
    Push(Vec<(T, usize)>),
    /// Whatever is there makes a batch now.
    Flush,
    /// The batch is old enough.
    #[doc(hidden)]
    Due(Own),
    /// A write is over.
    #[doc(hidden)]
    Written(Own),
}

/// Only a stage sends such messages, to itself: nobody else can make one.
#[derive(Debug)]
pub struct Own(());

/// Batches what it is given and writes at most `in_flight` batches at once. When it drains it writes
/// everything first.
pub struct BatchStage<T, S> {
    batcher: Batcher<T>,
    in_flight: usize,
    sink: Arc<S>,
    ready: VecDeque<Vec<T>>,
    /// Set for the deadline of the batch being filled.
    timer: Option<(Instant, Timer)>,
}

impl<T: Send + 'static, S: BatchSink<T>> BatchStage<T, S> {
    /// A batching stage.
    ///
    /// # Panics
    /// If `in_flight`, the count or the bytes are zero: nothing would ever be written.
    pub fn new(limits: BatchLimits, in_flight: usize, sink: Arc<S>) -> Self {
        assert!(
            in_flight > 0,
            "a batch stage that may write zero batches at once never writes"
        );
        Self {
            batcher: Batcher::new(limits),
            in_flight,
            sink,
            ready: VecDeque::new(),
            timer: None,
        }
    }

    fn write_ready(&mut self, cx: &mut Cx<BatchMsg<T>>) {
        while cx.in_flight() < self.in_flight
            && let Some(batch) = self.ready.pop_front()
        {
            let sink = Arc::clone(&self.sink);
            cx.spawn(async move {
                sink.write(batch).await;
                BatchMsg::Written(Own(()))
            });
        }
    }

    /// Age seals a batch only where it can be written at once. While every writer is busy it grows
    /// instead: a slow sink gets full batches, not a queue of the small ones that age would cut.
    fn can_write(&self, cx: &Cx<BatchMsg<T>>) -> bool {
        self.ready.is_empty() && cx.in_flight() < self.in_flight
    }

    /// The timer that runs is kept if it is early enough: looking in vain is cheaper than a new one.
    fn watch_deadline(&mut self, cx: &mut Cx<BatchMsg<T>>) {
        if !self.can_write(cx) {
            // The end of a write looks at the age again.
            return;
        }
        let Some(deadline) = self.batcher.deadline().map(Instant::from_std) else {
            return;
        };
        if self.timer.as_ref().is_none_or(|(at, _)| *at > deadline) {
            let delay = deadline.saturating_duration_since(Instant::now());
            self.timer = Some((deadline, cx.send_after(delay, BatchMsg::Due(Own(())))));
        }
    }
}

impl<T: Send + 'static, S: BatchSink<T>> Stage for BatchStage<T, S> {
    type Msg = BatchMsg<T>;

    async fn handle(&mut self, msg: BatchMsg<T>, cx: &mut Cx<BatchMsg<T>>) -> Result<(), Failure> {
        let now = Instant::now().into_std();
        match msg {
            BatchMsg::Push(items) => {
                for (item, bytes) in items {
                    self.ready.extend(self.batcher.push(item, bytes, now));
                }
            }
            BatchMsg::Flush => self.ready.extend(self.batcher.flush()),
            BatchMsg::Due(_) => self.timer = None,
            BatchMsg::Written(_) => {}
        }
        self.write_ready(cx);
        if self.can_write(cx) {
            self.ready.extend(self.batcher.take_due(now));
            self.write_ready(cx);
        }
        self.watch_deadline(cx);
        Ok(())
    }

    async fn drained(&mut self, cx: &mut Cx<BatchMsg<T>>) -> Result<(), Failure> {
        self.timer = None;
        self.ready.extend(self.batcher.flush());
        self.write_ready(cx);
        Ok(())
    }
}
