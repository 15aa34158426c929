//! The plan of a pipeline. In: steps, limits, concurrency. Out: a specification and a handle.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::ports::{Failed, Step};
use super::{HandlerFn, Key, Steps};
use crate::batch::Batcher;
use crate::spec::PATIENCE;
use crate::{Backoff, BatchLimits, Cost, Credits, Intensity, Outcome, Rate, Watch};

/// A plan: what is done to records, how many at once, and in what batches.
///
/// It starts from one worker, one writer, batches of 500 records, 1 MiB or 20 ms, and room for
/// 10,000 records of 64 MiB.
#[must_use = "a plan does nothing before it is built"]
pub struct Flow<I, O> {
    pub(super) name: String,
    pub(super) steps: Steps<I, O>,
    pub(super) key: Option<Key<I>>,
    pub(super) on_failed: Option<Arc<HandlerFn<I, O>>>,
    pub(super) decide_within: Option<Duration>,
    pub(super) batches: BatchLimits,
    pub(super) per_key: bool,
    pub(super) workers: usize,
    pub(super) writers: usize,
    pub(super) in_flight: usize,
    pub(super) credits: Cost,
    pub(super) chunk: usize,
    pub(super) rate: Option<Rate>,
    pub(super) quiet: Option<Duration>,
    pub(super) write_within: Option<Duration>,
    pub(super) open_within: Option<Duration>,
    pub(super) patience: Duration,
    pub(super) intensity: Option<Intensity>,
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
            decide_within: None,
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
            write_within: None,
            open_within: None,
            patience: PATIENCE,
            intensity: None,
            backoff: Backoff::default(),
        }
    }

    /// A further step.
    ///
    /// # Panics
    /// If the failed handler is set already.
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
            decide_within: self.decide_within,
            batches: self.batches,
            per_key: self.per_key,
            workers: self.workers,
            writers: self.writers,
            in_flight: self.in_flight,
            credits: self.credits,
            chunk: self.chunk,
            rate: self.rate,
            quiet: self.quiet,
            write_within: self.write_within,
            open_within: self.open_within,
            patience: self.patience,
            intensity: self.intensity,
            backoff: self.backoff,
        }
    }

    /// A step that cannot fail.
    ///
    /// # Panics
    /// If the failed handler is set already.
    pub fn map<P: Send + Sync + 'static>(
        self,
        change: impl Fn(O) -> P + Send + Sync + 'static,
    ) -> Flow<I, P> {
        self.then(move |value| Step::Next(change(value)))
    }

    /// Lets pass what the test holds for; the rest counts as stored.
    ///
    /// # Panics
    /// If the failed handler is set already.
    pub fn filter(self, test: impl Fn(&O) -> bool + Send + Sync + 'static) -> Self {
        self.then(move |value| {
            if test(&value) {
                Step::Next(value)
            } else {
                Step::Skip
            }
        })
    }

    /// What has to stay in order: records of one key. Without it, the lane is the key. A record on
    /// which it panics is unusable, and in no order.
    pub fn key(mut self, key: impl Fn(&I) -> u64 + Send + Sync + 'static) -> Self {
        self.key = Some(Arc::new(key));
        self
    }

    /// Decides about records that cannot be used: a step failed or panicked on them, the key
    /// panicked, or the sink refused them or panicked on them. [`Outcome::DeadLettered`] moves the lane on,
    /// [`Outcome::Failed`] fails the lane, so that the record is delivered again; [`Outcome::Stored`], of one that it
    /// stored itself, moves the lane on as well. Without a handler
    /// they are logged and fail their lane.
    ///
    /// It runs in an owned task, so records behind the unusable one go on meanwhile, except for those of
    /// its key behind one whose step panicked, and of those behind one on which the sink did at its writer:
    /// they wait for the decision. A handler that
    /// panics has decided for `Failed`, and so has one that takes longer than
    /// [`decide_within`](Self::decide_within).
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

    /// How long the failed handler may take for a record; 30 s unless told otherwise, and no longer than
    /// three quarters of the [`watch`](Self::watch), which may restart the lane otherwise, and where the sink panicked
    /// also the lanes whose records wait behind it. One that takes
    /// longer runs on to its end, and its answer has no effect. A handler that never answers fails its
    /// lane once in that time, which is too often only for a longer window of
    /// [`intensity`](Self::intensity), such as a [`watch`](Self::watch) brings along.
    ///
    /// # Panics
    /// If zero.
    pub fn decide_within(mut self, limit: Duration) -> Self {
        assert!(
            !limit.is_zero(),
            "a failed handler that is given no time decides nothing"
        );
        self.decide_within = Some(limit);
        self
    }

    /// When a batch is closed. Age closes a batch only where it can be written at once: while every
    /// writer is busy it grows up to its count and bytes. With an age of zero nothing waits for company.
    ///
    /// # Panics
    /// If the count or the bytes are zero.
    pub fn batches(mut self, limits: BatchLimits) -> Self {
        drop(Batcher::<()>::new(limits));
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
    /// one chunk that waits for room. A record larger than the whole passes alone. With less room than a
    /// batch counts, batches are closed by their age alone. A lane keeps what it was granted while it
    /// commits, so where the room is hardly more than a chunk its commits hold up others.
    ///
    /// # Panics
    /// If a part of the limit is zero.
    pub fn credits(mut self, limit: Cost) -> Self {
        Credits::check(&self.name, limit);
        self.credits = limit;
        self
    }

    /// How many records a lane pulls and sends on at once, at most. It waits for the credits of all of
    /// them, so with less room than two chunks each waits until most of what was before it is settled.
    /// Under a [`rate`](Self::rate) no more than its burst go together.
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

    /// Looks after progress. Without it nothing notices a sink or a commit that hangs. A pull that never comes
    /// back is no hang, with or without it: there may be nothing to pull.
    ///
    /// - A lane with records under way is restarted when nothing of the pipeline is written or settled for
    ///   so long (its records may stand behind those of other lanes), and one whose commit or key takes so
    ///   long. A worker is given up whose step does.
    /// - A write or a failed handler that takes longer than three quarters of it is given up, unless
    ///   [`write_within`](Self::write_within) or [`decide_within`](Self::decide_within) says another time.
    ///
    /// Each of these is a failure, and too many of them end the pipeline with their cause; but they
    /// come slowly, at most one in a quiet time. The default [`intensity`](Self::intensity) counts
    /// over a window that is wide enough for that: with a watch it is at least six times twice the
    /// quiet time and the longest backoff. Whoever sets another one has to see to it, or stalls are
    /// restarted for ever.
    ///
    /// # Panics
    /// If zero.
    pub fn watch(mut self, quiet: Duration) -> Self {
        Watch::check(quiet);
        self.quiet = Some(quiet);
        self
    }

    /// How long a write may take; without it, three quarters of the [`watch`](Self::watch), and for
    /// ever where there is none.
    ///
    /// One that takes longer is given up: its records fail, so their lanes begin again at their
    /// commits, and the next batch of the writer goes on. The write itself is not dropped. Should it
    /// come to its end after all, what it wrote was delivered again meanwhile: the sink has to bear an
    /// old record once more after a newer one of its key. Choose a time well above what a write may
    /// take, including its own timeouts, and below the watch, which may otherwise restart the lanes whose
    /// records wait behind it.
    ///
    /// # Panics
    /// If zero.
    pub fn write_within(mut self, limit: Duration) -> Self {
        assert!(
            !limit.is_zero(),
            "a sink that is given no time writes nothing"
        );
        self.write_within = Some(limit);
        self
    }

    /// How long a lane's [`Source::open`](crate::Source::open) may take; one that takes longer is a
    /// failed start. Without it, it may take for ever, and nothing notices.
    ///
    /// # Panics
    /// If zero.
    pub fn open_within(mut self, limit: Duration) -> Self {
        assert!(
            !limit.is_zero(),
            "a source that is given no time never opens"
        );
        self.open_within = Some(limit);
        self
    }

    /// How long each lane, worker and writer may take to drain before it is killed; 30 s unless told
    /// otherwise. The deadline of [`System::drain`](crate::System::drain) is shared by all and rules
    /// where it is shorter; [`Pipeline::close`](crate::Pipeline::close) has a deadline of its own.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How often a lane, or the workers and writers together, may be restarted before the pipeline
    /// gives up. 5 times in 30 s unless told otherwise, or in a longer time under a
    /// [`watch`](Self::watch).
    pub fn intensity(mut self, intensity: Intensity) -> Self {
        self.intensity = Some(intensity);
        self
    }

    /// How long a lane, a worker or a writer stays down before a restart. While a worker or a writer is
    /// down, no lane pulls or sends anything on: it would only fail at nobody's.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }
}
