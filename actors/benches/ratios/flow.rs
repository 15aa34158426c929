//! The ready-made pipeline: a lane, a step, batches by key, a sink, receipts, credits and commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actors::{
    BatchLimits, Cost, Epoch, Failure, Fate, Flow, Passed, Pulled, Sink, Source, Step, System,
};
use tokio::sync::oneshot;

use crate::BATCH;
use crate::ours::ROOM;

/// Counts up.
struct Numbers {
    next: u64,
    end: u64,
    committed: Option<oneshot::Sender<()>>,
}

impl Source for Numbers {
    type Item = u64;
    type Note = ();

    async fn open(&mut self, _: Epoch) -> Result<u64, Failure> {
        Ok(self.next)
    }

    async fn pull(&mut self, most: usize) -> Result<Option<Vec<Pulled<u64>>>, Failure> {
        if self.next == self.end {
            // Whoever waits for the last commit ends it.
            std::future::pending::<()>().await;
        }
        let first = self.next;
        self.next = self.end.min(first + most as u64);
        let pulled = (first..self.next).map(|seq| Pulled {
            seq,
            bytes: 8,
            value: seq,
        });
        Ok(Some(pulled.collect()))
    }

    async fn commit(&mut self, passed: Passed<()>) -> Result<(), Failure> {
        if passed.next == self.end
            && let Some(committed) = self.committed.take()
        {
            committed.send(()).unwrap();
        }
        Ok(())
    }
}

#[derive(Default)]
struct Count(AtomicU64);

impl Sink<u64, ()> for Count {
    async fn write(&self, batch: &[u64]) -> Vec<Fate<()>> {
        self.0.fetch_add(batch.len() as u64, Ordering::Relaxed);
        batch.iter().map(|_| Fate::Stored(None)).collect()
    }
}

pub(crate) async fn keyed(messages: u64) -> Duration {
    let flow = Flow::new("bench", |number: &u64| Step::Next(number.wrapping_add(1)))
        .key(|number| number % 4)
        .batches_per_key(4)
        .batches(BatchLimits {
            count: BATCH,
            bytes: 1 << 20,
            age: Duration::from_millis(20),
        })
        .chunk(BATCH)
        .credits(Cost {
            count: ROOM,
            bytes: ROOM * 8,
        });
    let sink = Arc::<Count>::default();
    let (pipeline, spec) = flow.build(Arc::clone(&sink));
    let system = System::start("bench", spec).await.unwrap();
    let (committed, finished) = oneshot::channel();
    let committed = std::sync::Mutex::new(Some(committed));
    let began = Instant::now();
    let make = move |_| Numbers {
        next: 0,
        end: messages,
        committed: committed.lock().unwrap().take(),
    };
    pipeline.open(0, make).await.unwrap();
    finished.await.unwrap();
    let took = began.elapsed();
    assert_eq!(sink.0.load(Ordering::Relaxed), messages);
    assert!(system.drain(Duration::from_secs(5)).await.is_clean());
    took
}
