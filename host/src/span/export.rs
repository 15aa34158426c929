//! The queue to the collector, and the task behind it.
//!
//! In: ended spans, from any thread. Out: batches, one under way at a time. A full queue drops what
//! comes; a batch that cannot be delivered in its time is dropped whole; both are counted. Whoever
//! ends a span never waits.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::collector::{Collector, Undelivered};
use super::settings::Address;
use crate::metrics::SpanCounts;

/// Spans that wait, beside those that are on their way; the standard's own default is half of it.
const QUEUE: usize = 4096;
/// Spans a request, as the standard's default has it.
const BATCH: usize = 512;
/// How long the first span of a batch waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// First pause between two attempts; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest time that the end of a process is held up for its spans.
const GOODBYE: Duration = Duration::from_secs(3);

/// The way of ended spans out of this process.
pub(super) struct Exporter {
    queue: mpsc::Sender<SpanData>,
    closing: CancellationToken,
    task: Mutex<Option<JoinHandle<Account>>>,
}

/// What became of the spans.
#[derive(Debug, Default, Clone, Copy)]
struct Account {
    exported: u64,
    lost: u64,
}

impl Exporter {
    pub(super) fn start(address: &Address, resource: &Resource, counts: SpanCounts) -> Self {
        let (queue, spans) = mpsc::channel(QUEUE);
        let closing = CancellationToken::new();
        let work = Work {
            spans,
            collector: Collector::new(address, resource),
            closing: closing.clone(),
            counts,
            account: Account::default(),
            complained: false,
        };
        Self {
            queue,
            closing,
            task: Mutex::new(Some(tokio::spawn(work.run()))),
        }
    }

    /// Takes a span, if there is room.
    pub(super) fn take(&self, span: SpanData, counts: &SpanCounts) {
        match self.queue.try_send(span) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => counts.queue_full.increment(1),
            Err(TrySendError::Closed(_)) => counts.too_late.increment(1),
        }
    }

    pub(super) async fn close(&self, within: Duration) {
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut task) = task else {
            return;
        };
        self.closing.cancel();
        let within = within.min(GOODBYE);
        match tokio::time::timeout(within, &mut task).await {
            Ok(Ok(Account { exported, lost: 0 })) => {
                tracing::info!(exported, "the spans are exported");
            }
            Ok(Ok(Account { exported, lost })) => {
                tracing::warn!(
                    exported,
                    lost,
                    "the last spans are exported, others were lost"
                );
            }
            Ok(Err(error)) => tracing::error!(%error, "the export of spans ended by itself"),
            Err(_) => {
                task.abort();
                tracing::warn!(
                    ?within,
                    "the last spans are given up: the collector takes too long"
                );
            }
        }
    }
}

struct Work {
    spans: mpsc::Receiver<SpanData>,
    collector: Collector,
    closing: CancellationToken,
    counts: SpanCounts,
    account: Account,
    /// Whether it was said that the collector does not take them; that may last for hours.
    complained: bool,
}

impl Work {
    async fn run(mut self) -> Account {
        let mut batch = Vec::new();
        while self.fill(&mut batch).await {
            self.deliver(std::mem::take(&mut batch)).await;
        }
        self.account
    }

    /// The next batch: full, or as old as it may get. `false` at the end of everything.
    async fn fill(&mut self, batch: &mut Vec<SpanData>) -> bool {
        let mut due: Option<Instant> = None;
        loop {
            if self.closing.is_cancelled() {
                // What is there still comes out, and nothing goes in.
                self.spans.close();
            }
            let room = BATCH - batch.len();
            let more = async {
                match due {
                    None => Some(self.spans.recv_many(batch, room).await),
                    Some(due) => {
                        let more = self.spans.recv_many(batch, room);
                        tokio::time::timeout_at(due, more).await.ok()
                    }
                }
            };
            tokio::select! {
                biased;
                more = more => match more {
                    Some(1..) if batch.len() < BATCH => {
                        due.get_or_insert_with(|| Instant::now() + LINGER);
                    }
                    _ => return !batch.is_empty(),
                },
                () = self.closing.cancelled(), if !self.closing.is_cancelled() => {}
            }
        }
    }

    async fn deliver(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let body = self.collector.encode(batch);
        let until = Instant::now() + self.collector.timeout();
        let mut pause = PAUSE;
        let lost = loop {
            let left = until.saturating_duration_since(Instant::now());
            let undelivered = match self.collector.send(body.clone(), left).await {
                Ok(0) => break None,
                Ok(refused) => {
                    let why = format!("it does not want {refused} of {count} spans");
                    break Some((refused.min(count), why));
                }
                Err(undelivered) => undelivered,
            };
            let Undelivered { why, again } = undelivered;
            let wait = again.map(|least| least.max(pause));
            match wait.filter(|&wait| Instant::now() + wait < until) {
                Some(wait) if !self.closing.is_cancelled() => {
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        // One last attempt, at once.
                        () = self.closing.cancelled() => {}
                    }
                    pause *= 2;
                }
                _ => break Some((count, why)),
            }
        };
        self.settle(count, lost);
    }

    /// Counts, and says what changed.
    fn settle(&mut self, count: u64, lost: Option<(u64, String)>) {
        let (undelivered, why) = lost.unwrap_or_default();
        self.account.exported += count - undelivered;
        self.account.lost += undelivered;
        self.counts.exported.increment(count - undelivered);
        self.counts.undelivered.increment(undelivered);
        if undelivered > 0 && !std::mem::replace(&mut self.complained, true) {
            tracing::warn!(
                why,
                spans = undelivered,
                "the collector does not take spans, they are dropped (OTEL_EXPORTER_OTLP_ENDPOINT)"
            );
        } else if undelivered == 0 && std::mem::take(&mut self.complained) {
            tracing::info!(lost = self.account.lost, "the collector takes spans again");
        }
    }
}
