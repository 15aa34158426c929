//! Pipelines in memory. In: records and a plan. Out: what was written and committed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::{Callback, Faults, until_within};
use crate::sync::{Mutex, lock};
use crate::{
    DrainReport, Epoch, Failure, Fate, Flow, Passed, Pipeline, Pulled, Settled, Sink, Source,
    System,
};

#[derive(Debug)]
struct Kept<I, N> {
    items: Vec<I>,
    committed: u64,
    settled: Vec<Settled<N>>,
    endless: bool,
    /// Of the newest source: a commit of an older one is refused, as a broker does.
    epoch: Option<Epoch>,
}

/// The records of a lane, and how far they were committed; outlives its sources, shared by cloning.
pub struct MemoryLane<I, N: 'static = ()> {
    kept: Arc<(Mutex<Kept<I, N>>, Notify)>,
    faults: Faults,
}

impl<I, N> Clone for MemoryLane<I, N> {
    fn clone(&self) -> Self {
        Self {
            kept: Arc::clone(&self.kept),
            faults: self.faults.clone(),
        }
    }
}

impl<I: Clone + Send + 'static, N: Send + 'static> MemoryLane<I, N> {
    /// A lane that ends after these records.
    pub fn new(items: impl IntoIterator<Item = I>) -> Self {
        let kept = Kept {
            items: items.into_iter().collect(),
            committed: 0,
            settled: Vec::new(),
            endless: false,
            epoch: None,
        };
        Self {
            kept: Arc::new((Mutex::new(kept), Notify::new())),
            faults: Faults::new(),
        }
    }

    /// The lane does not end: it waits for more.
    pub fn endless(self) -> Self {
        lock(&self.kept.0).endless = true;
        self
    }

    /// With fault points named `open`, `pull` and `commit`.
    pub fn faults(mut self, faults: &Faults) -> Self {
        self.faults = faults.clone();
        self
    }

    /// Adds a record.
    pub fn push(&self, item: I) {
        lock(&self.kept.0).items.push(item);
        self.kept.1.notify_one();
    }

    /// A source that goes on where the last commit was. A newer one fences it.
    pub fn source(&self) -> MemorySource<I, N> {
        MemorySource {
            lane: self.clone(),
            next: 0,
            epoch: None,
        }
    }

    /// The position of the last commit.
    pub fn committed(&self) -> u64 {
        lock(&self.kept.0).committed
    }

    /// Takes what the commits passed, in their order.
    pub fn take_settled(&self) -> Vec<Settled<N>> {
        std::mem::take(&mut lock(&self.kept.0).settled)
    }
}

/// Gives the records of a [`MemoryLane`].
pub struct MemorySource<I, N: 'static = ()> {
    lane: MemoryLane<I, N>,
    next: u64,
    epoch: Option<Epoch>,
}

impl<I: Clone + Send + 'static, N: Send + 'static> Source for MemorySource<I, N> {
    type Item = I;
    type Note = N;

    async fn open(&mut self, epoch: Epoch) -> Result<u64, Failure> {
        self.lane.faults.point(Callback::Named("open")).await?;
        let mut kept = lock(&self.lane.kept.0);
        self.epoch = Some(epoch);
        kept.epoch = kept.epoch.max(self.epoch);
        self.next = kept.committed;
        Ok(self.next)
    }

    async fn pull(&mut self, most: usize) -> Result<Option<Vec<Pulled<I>>>, Failure> {
        self.lane.faults.point(Callback::Named("pull")).await?;
        loop {
            {
                let kept = lock(&self.lane.kept.0);
                let rest = kept.items.get(self.next as usize..).unwrap_or_default();
                if !rest.is_empty() {
                    let pulled: Vec<_> = (self.next..)
                        .zip(rest.iter().take(most))
                        .map(|(seq, item)| Pulled {
                            seq,
                            bytes: 1,
                            value: item.clone(),
                        })
                        .collect();
                    self.next += pulled.len() as u64;
                    return Ok(Some(pulled));
                }
                if !kept.endless {
                    return Ok(None);
                }
            }
            self.lane.kept.1.notified().await;
        }
    }

    async fn commit(&mut self, passed: Passed<N>) -> Result<(), Failure> {
        self.lane.faults.point(Callback::Named("commit")).await?;
        let mut kept = lock(&self.lane.kept.0);
        if kept.epoch != self.epoch {
            return Err("a newer source has the lane".into());
        }
        assert!(
            kept.committed <= passed.next,
            "a commit went back from {} to {}",
            kept.committed,
            passed.next
        );
        kept.committed = passed.next;
        kept.settled.extend(passed.settled);
        Ok(())
    }
}

/// A sink that keeps what is written, with a fault point named `write`; shared by cloning.
pub struct MemorySink<O> {
    batches: Arc<Mutex<Vec<Vec<O>>>>,
    faults: Faults,
    takes: Duration,
    refuses: Arc<dyn Fn(&O) -> bool + Send + Sync>,
}

impl<O> Clone for MemorySink<O> {
    fn clone(&self) -> Self {
        Self {
            batches: Arc::clone(&self.batches),
            faults: self.faults.clone(),
            takes: self.takes,
            refuses: Arc::clone(&self.refuses),
        }
    }
}

impl<O> Default for MemorySink<O> {
    fn default() -> Self {
        Self {
            batches: Arc::default(),
            faults: Faults::new(),
            takes: Duration::ZERO,
            refuses: Arc::new(|_| false),
        }
    }
}

impl<O: Clone> MemorySink<O> {
    /// A sink that writes at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// With faults at `write`: an error fails the whole batch.
    pub fn faults(mut self, faults: &Faults) -> Self {
        self.faults = faults.clone();
        self
    }

    /// Every batch takes so long.
    pub fn slow(mut self, takes: Duration) -> Self {
        self.takes = takes;
        self
    }

    /// Refuses such records.
    pub fn refusing(mut self, refuses: impl Fn(&O) -> bool + Send + Sync + 'static) -> Self {
        self.refuses = Arc::new(refuses);
        self
    }

    /// The batches written so far, as they were written.
    pub fn batches(&self) -> Vec<Vec<O>> {
        lock(&self.batches).clone()
    }

    /// The records written so far, in order.
    pub fn written(&self) -> Vec<O> {
        lock(&self.batches).iter().flatten().cloned().collect()
    }
}

impl<O: Clone + Send + Sync + 'static, N: Send + 'static> Sink<O, N> for MemorySink<O> {
    async fn write(&self, batch: &[O]) -> Vec<Fate<N>> {
        if !self.takes.is_zero() {
            tokio::time::sleep(self.takes).await;
        }
        if let Err(failure) = self.faults.point(Callback::Named("write")).await {
            let cause = failure.to_string();
            return batch
                .iter()
                .map(|_| Fate::Failed(cause.clone().into()))
                .collect();
        }
        lock(&self.batches).push(
            batch
                .iter()
                .filter(|value| !(self.refuses)(value))
                .cloned()
                .collect(),
        );
        let fate = |value| {
            if (self.refuses)(value) {
                Fate::Refused("refused".into())
            } else {
                Fate::Stored(None)
            }
        };
        batch.iter().map(fate).collect()
    }
}

/// How a run went.
pub struct Ran<I, N: 'static = ()> {
    /// The lanes, by number from zero.
    pub lanes: Vec<MemoryLane<I, N>>,
    /// The drain at the end.
    pub drain: DrainReport,
    /// The pipeline, drained.
    pub pipeline: Pipeline<I, N>,
}

/// Runs a plan over lanes that end, until every record is settled, and drains it.
///
/// # Panics
/// If it does not start, or does not come to its end within an hour of the runtime's clock.
pub async fn run_pipeline<I, O, N, K>(
    flow: Flow<I, O>,
    sink: Arc<K>,
    lanes: Vec<MemoryLane<I, N>>,
) -> Ran<I, N>
where
    I: Clone + Send + Sync + 'static,
    O: Send + Sync + 'static,
    N: Send + 'static,
    K: Sink<O, N>,
{
    let (pipeline, spec) = flow.build(sink);
    let system = System::start("run", spec)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    for (number, lane) in (0..).zip(&lanes) {
        let lane = lane.clone();
        let opened = pipeline.open(number, move |_| lane.source()).await;
        opened.unwrap_or_else(|error| panic!("lane {number}: {error}"));
    }
    let hour = Duration::from_secs(3600);
    until_within(hour, "every lane came to its end", || {
        pipeline.lanes().is_empty()
    })
    .await;
    let drain = system.drain(hour).await;
    Ran {
        lanes,
        drain,
        pipeline,
    }
}
