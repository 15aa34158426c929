//! The plan of a pipeline. In: steps, limits, concurrency. Out: a specification and a handle.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::ports::{Failed, Step};
use super::{Handler, Key, Steps};
use crate::{Backoff, BatchLimits, Cost, Intensity, Outcome, Rate};

/// A plan: what is done to records, how many at once, and in what batches.
///
/// It starts from one worker, one writer, batches of 500 records, 1 MiB or 20 ms, and room for
/// 10,000 records of 64 MiB.
#[must_use = "a plan does nothing before it is built"]
pub struct Flow<I, O> {
    pub(super) name: String,
    pub(super) steps: Steps<I, O>,
    pub(super) key: Option<Key<I>>,
    pub(super) on_failed: Option<Handler<I, O>>,
    pub(super) batches: BatchLimits,
    pub(super) per_key: bool,
    pub(super) workers: usize,
    pub(super) writers: usize,
    pub(super) in_flight: usize,
    pub(super) credits: Cost,
    pub(super) chunk: usize,
    pub(super) rate: Option<Rate>,
    pub(super) quiet: Option<Duration>,
    pub(super) intensity: Intensity,
    pub(super) backoff: Backoff,
}

impl<I, O> fmt::Debug for Flow<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<I: Send + Sync + 'static, O: Send + Sync + 'static> Flow<I, O> {
    /// A plan with its first step. The step looks at the raw record, which is kept until it is over,
    /// so that a record it fails or panics on reaches the failed handler whole.
    pub fn new(
        name: impl Into<String>,
        step: impl Fn(&I) -> Step<O> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            steps: Arc::new(step),
            key: None,
            on_failed: None,
            batches: BatchLimits {
                count: 500,
                bytes: 1 << 20,
                age: Duration::from_millis(20),
            },
            per_key: false,
            workers: 1,
            writers: 1,
            in_flight: 1,
            credits: Cost {
                count: 10_000,
                bytes: 64 << 20,
            },
            chunk: 500,
            rate: None,
            quiet: None,
            intensity: Intensity::default(),
            backoff: Backoff::default(),
        }
    }

    /// A further step.
    pub fn then<P: Send + Sync + 'static>(
        self,
        step: impl Fn(O) -> Step<P> + Send + Sync + 'static,
    ) -> Flow<I, P> {
        assert!(
            self.on_failed.is_none(),
            "the failed handler sees the last form of a record: set it after the steps"
        );
        let steps = self.steps;
        Flow {
            name: self.name,
            steps: Arc::new(move |raw| match steps(raw) {
                Step::Next(value) => step(value),
                Step::Skip => Step::Skip,
                Step::Fail(failure) => Step::Fail(failure),
            }),
            key: self.key,
            on_failed: None,
            batches: self.batches,
            per_key: self.per_key,
            workers: self.workers,
            writers: self.writers,
            in_flight: self.in_flight,
            credits: self.credits,
            chunk: self.chunk,
            rate: self.rate,
            quiet: self.quiet,
            intensity: self.intensity,
            backoff: self.backoff,
        }
    }

    /// A step that cannot fail.
    pub fn map<P: Send + Sync + 'static>(
        self,
        change: impl Fn(O) -> P + Send + Sync + 'static,
    ) -> Flow<I, P> {
        self.then(move |value| Step::Next(change(value)))
    }

    /// Lets pass what the test holds for; the rest counts as stored.
    pub fn filter(self, test: impl Fn(&O) -> bool + Send + Sync + 'static) -> Self {
        self.then(move |value| {
            if test(&value) {
                Step::Next(value)
            } else {
                Step::Skip
            }
        })
    }

    /// What has to stay in order: records of one key. Without it, the lane is the key.
    pub fn key(mut self, key: impl Fn(&I) -> u64 + Send + Sync + 'static) -> Self {
        self.key = Some(Arc::new(key));
        self
    }

    /// Decides about records that cannot be used: a step failed or panicked on them, or the sink
    /// refused them. It runs in an owned task. Without one they are logged and fail their lane.
    pub fn on_failed<F>(
        mut self,
        handler: impl Fn(Failed<I, O>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        self.on_failed = Some(Arc::new(move |failed| Box::pin(handler(failed))));
        self
    }

    /// When a batch is closed.
    pub fn batches(mut self, limits: BatchLimits) -> Self {
        self.batches = limits;
        self
    }

    /// Batches hold records of one key only, and a writer writes up to `in_flight` of them at once,
    /// never two of one key.
    ///
    /// # Panics
    /// If `in_flight` is zero.
    pub fn batches_per_key(mut self, in_flight: usize) -> Self {
        assert!(
            in_flight > 0,
            "a writer that may write zero batches at once never writes"
        );
        (self.per_key, self.in_flight) = (true, in_flight);
        self
    }

    /// How many workers take the steps, each for its share of the keys.
    ///
    /// # Panics
    /// If zero.
    pub fn workers(mut self, workers: usize) -> Self {
        assert!(workers > 0, "a pipeline of zero workers does nothing");
        self.workers = workers;
        self
    }

    /// How many writers there are, each for its share of the keys. Without batches per key, each
    /// writes one batch at a time.
    ///
    /// # Panics
    /// If zero.
    pub fn writers(mut self, writers: usize) -> Self {
        assert!(writers > 0, "a pipeline of zero writers writes nothing");
        self.writers = writers;
        self
    }

    /// The room for records between being pulled and being settled. Besides that, each lane holds
    /// one chunk that waits for room.
    pub fn credits(mut self, limit: Cost) -> Self {
        self.credits = limit;
        self
    }

    /// How many records a lane pulls and sends on at once, at most.
    ///
    /// # Panics
    /// If zero.
    pub fn chunk(mut self, records: usize) -> Self {
        assert!(
            records > 0,
            "a lane that pulls zero records at once never moves"
        );
        self.chunk = records;
        self
    }

    /// How fast records are sent on, over all lanes.
    ///
    /// # Panics
    /// If the rate lets nothing pass.
    pub fn rate(mut self, rate: Rate) -> Self {
        rate.check();
        self.rate = Some(rate);
        self
    }

    /// A lane with records under way of which none is settled for so long is restarted.
    pub fn watch(mut self, quiet: Duration) -> Self {
        self.quiet = Some(quiet);
        self
    }

    /// How often a lane, or the workers and writers together, may be restarted before the pipeline
    /// gives up.
    pub fn intensity(mut self, intensity: Intensity) -> Self {
        self.intensity = intensity;
        self
    }

    /// How long a lane, a worker or a writer stays down before a restart.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }
}
