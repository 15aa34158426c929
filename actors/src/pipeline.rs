//! Pipelines: source → steps → batches → sink, keyed and settled. In: a [`Flow`], a sink, lanes that
//! come and go. Out: a supervisor specification and a handle.
//!
//! Records of one key go through one worker and one writer, and no two batches of a key are written
//! at once, so their order is kept. A record that fails fails its lane, which begins again at its
//! last commit; from then on nothing of the lane is written that was behind it. What had been written by
//! then, of other keys, is delivered again. An unusable record goes to the failed
//! handler, and those behind it go on meanwhile, unless a step or the sink panicked on it, which may do its
//! work when the record is delivered again: then those of its key wait until it is decided.

mod attempt;
mod book;
mod build;
mod decide;
mod flow;
mod house;
mod lane;
mod ports;
mod shelf;
#[cfg(test)]
mod tests;
mod throttle;
mod turns;
mod work;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

pub use flow::Flow;
pub use ports::{Failed, Fate, Passed, Pulled, Sink, Source, Step, Unusable};

use crate::sync::{Mutex, lock};
use crate::{
    Addr, ChildSpec, Children, Credits, Delivery, Epoch, Outcome, Rate, Restart, Shutdown,
    StartError, StopError, StopOutcome, Watch,
};
use book::{Book, Pulses, Tally};
use house::House;
use lane::Lane;
use throttle::Throttle;
use work::WorkMsg;

/// A record on its way.
struct Work<V, N: 'static> {
    key: u64,
    bytes: usize,
    /// Where it is settled.
    book: Arc<Book<N>>,
    delivery: Delivery<V, N>,
}

impl<V, N: 'static> Work<V, N> {
    fn lane(&self) -> u32 {
        self.delivery.receipt.position().lane
    }

    fn behind(&self) -> work::Behind {
        (self.delivery.receipt.position().epoch, self.key)
    }
}

impl<V, N: 'static> shelf::Parcel for Work<V, N> {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

type Steps<I, O> = Arc<dyn Fn(&I) -> Step<O> + Send + Sync>;
type Answer = Pin<Box<dyn Future<Output = Outcome> + Send>>;
type HandlerFn<I, O> = dyn Fn(Failed<I, O>) -> Answer + Send + Sync;
type Key<I> = Arc<dyn Fn(&I) -> u64 + Send + Sync>;

/// What all lanes of a pipeline share.
struct Shared<I, N: 'static> {
    name: String,
    workers: Vec<Addr<WorkMsg<I, N>>>,
    /// Has the writers write what they have of a lane, or of all.
    flush_writers: Box<dyn Fn(Option<u32>) + Send + Sync>,
    key: Option<Key<I>>,
    credits: Credits,
    chunk: usize,
    paused: watch::Sender<bool>,
    throttle: Throttle,
    house: Arc<House>,
    quiet: Option<Duration>,
    open_within: Option<Duration>,
    shutdown: Shutdown,
    #[cfg(feature = "testkit")]
    kills: Mutex<Kills>,
    tally: Arc<Tally>,
    /// The last incarnation of each lane that ended with everything committed.
    committed: Mutex<BTreeMap<u32, Epoch>>,
}

/// How to kill a part of a pipeline, by its id; false if it is not there.
#[cfg(feature = "testkit")]
type Kills = BTreeMap<String, Box<dyn Fn() -> bool + Send + Sync>>;

#[cfg(feature = "testkit")]
fn kill<M: Send + 'static>(addr: &Addr<M>) -> Box<dyn Fn() -> bool + Send + Sync> {
    let addr = addr.clone();
    Box::new(move || crate::testkit::kill(&addr))
}

impl<I, N> Shared<I, N> {
    fn key_of(&self, value: &I, lane: u32) -> u64 {
        self.key.as_ref().map_or(u64::from(lane), |key| key(value))
    }
}

impl<I: Send + 'static, N: Send + 'static> Shared<I, N> {
    /// Workers pass it on behind the records they were given before. The writers have it from here as
    /// well: nobody may be at home at the workers, and then nothing is under way there.
    fn flush(&self) {
        (self.flush_writers)(None);
        for worker in &self.workers {
            if worker.send(WorkMsg::Flush).is_err() {
                tracing::trace!(worker = worker.name(), "nothing to flush at nobody's");
            }
        }
    }
}

/// Where records of a key go.
fn route(key: u64, ways: usize) -> usize {
    // Keys are often small numbers in a row or multiples of something: mixed, they spread.
    let mixed = (key ^ (key >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    (mixed % ways.max(1) as u64) as usize
}

/// A list for each way, with room for its share.
fn routes<T>(ways: usize, records: usize) -> Vec<Vec<T>> {
    let share = records.div_ceil(ways.max(1));
    (0..ways).map(|_| Vec::with_capacity(share)).collect()
}

/// Says of records that come back undelivered why they fail.
fn nobody_home<V, N: 'static>(work: &[Work<V, N>], name: &str) {
    for work in work {
        let seq = work.delivery.receipt.position().seq;
        work.book
            .because(seq, format!("nobody is at home at `{name}`"));
    }
}

/// How a lane was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Everything it had sent on is settled and committed.
    Committed,
    /// It overran the deadline and was killed; what is behind its last commit is delivered again.
    Overran,
    /// It failed meanwhile, in a commit for example, or was waiting for a restart; likewise.
    Failed,
    /// It overran, was killed, and is still there because it blocks its thread: the pipeline gives up.
    Stuck,
}

/// Handle to a pipeline; cheap to clone. Its stages run wherever the specification that came with it
/// is started; lanes are opened and closed here.
pub struct Pipeline<I, N: 'static = ()> {
    shared: Arc<Shared<I, N>>,
    lanes: Children,
}

impl<I, N> Clone for Pipeline<I, N> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            lanes: self.lanes.clone(),
        }
    }
}

impl<I, N> fmt::Debug for Pipeline<I, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("name", &self.shared.name)
            .field("lanes", &self.lanes)
            .finish()
    }
}

impl<I: Send + Sync + 'static, N: Send + 'static> Pipeline<I, N> {
    /// Opens a lane, for example a partition that was assigned, and returns when its source is open.
    /// `make` builds a source for every incarnation of it. A lane whose source comes to its end is
    /// closed by itself, when everything in it is settled.
    ///
    /// # Errors
    /// [`StartError::AlreadyThere`] if the lane is open or not gone yet, [`StartError::Failed`] if
    /// the source does not open, [`StartError::NotRunning`] and [`StartError::Drained`] if the
    /// pipeline does not run.
    pub async fn open<S>(
        &self,
        lane: u32,
        make: impl Fn(Epoch) -> S + Send + Sync + 'static,
    ) -> Result<Epoch, StartError>
    where
        S: Source<Item = I, Note = N>,
    {
        let (shared, pulses) = (Arc::clone(&self.shared), Pulses::new(&self.shared.tally));
        let addr = Addr::new(format!("{}/{lane}", shared.name));
        let watch = shared
            .quiet
            .map(|quiet| Watch::only(&pulses.records, quiet).pulse(&pulses.own));
        let stage = move |epoch| Lane::new(lane, make(epoch), pulses.clone(), Arc::clone(&shared));
        #[cfg(feature = "testkit")]
        lock(&self.shared.kills).insert(format!("lanes/{lane}"), kill(&addr));
        let mut child = ChildSpec::stage(lane.to_string(), &addr, stage)
            .restart(Restart::Transient)
            .shutdown(self.shared.shutdown);
        if let Some(watch) = watch {
            child = child.watch(watch);
        }
        if let Some(limit) = self.shared.open_within {
            child = child.start_within(limit);
        }
        self.lanes.start(child).await
    }

    /// Drains one lane, for example a partition that is revoked, and leaves the others alone: it is
    /// pulled from no more, what is under way is flushed, written, settled and committed; what others
    /// have in the same batches stays there. Returns
    /// when the lane is gone, and says whether it is committed; a new one may then be opened under
    /// its number. Dropping the future does not take the close back, nor its deadline.
    ///
    /// # Errors
    /// [`StopError`].
    pub async fn close(&self, lane: u32, deadline: Duration) -> Result<Closed, StopError> {
        let (outcome, epoch) = self.lanes.stop_which(&lane.to_string(), deadline).await?;
        // A new one may be open under the number already.
        let is_committed = epoch.is_some() && {
            let mut committed = lock(&self.shared.committed);
            let last = committed.get(&lane).copied();
            if last <= epoch {
                committed.remove(&lane);
            }
            last == epoch
        };
        Ok(match outcome {
            _ if is_committed => Closed::Committed,
            StopOutcome::Overran => Closed::Overran,
            StopOutcome::Stuck => Closed::Stuck,
            StopOutcome::Drained | StopOutcome::Ended => Closed::Failed,
        })
    }

    /// The lanes that are open.
    pub fn lanes(&self) -> Vec<u32> {
        self.lanes
            .ids()
            .iter()
            .filter_map(|id| id.parse().ok())
            .collect()
    }

    /// Stops pulling and sending on. What is under way is finished and committed.
    pub fn pause(&self) {
        self.shared.paused.send_replace(true);
    }

    /// Goes on.
    pub fn resume(&self) {
        self.shared.paused.send_replace(false);
    }

    /// Has every batch written as it is, once the records that are under way are in it.
    pub fn flush(&self) {
        self.shared.flush();
    }

    /// Changes the rate, or lifts it; at once, also for lanes that wait already: they ask again.
    ///
    /// # Panics
    /// If the rate lets nothing pass.
    pub fn set_rate(&self, rate: Option<Rate>) {
        if let Some(rate) = rate {
            rate.check();
        }
        self.shared.throttle.set(rate);
    }

    /// How many settlements came after their lane had gone on without them: of a lane that was
    /// restarted, or given up by its [`close`](Self::close), while its records were still under way.
    /// They changed nothing, and those records are delivered again. Summed over all pipelines of the
    /// process it is the metric `receipts_fenced_total`.
    pub fn fenced(&self) -> u64 {
        self.shared.tally.fenced.load(Ordering::Relaxed)
    }

    #[cfg(feature = "testkit")]
    pub(crate) fn kill_part(&self, id: &str) -> bool {
        lock(&self.shared.kills).get(id).is_some_and(|kill| kill())
    }

    /// Records sent on whose receipts nobody settled yet, and settlements of records that were settled
    /// before, of which there are none.
    #[cfg(feature = "testkit")]
    pub(crate) fn tally(&self) -> (u64, u64) {
        let tally = &self.shared.tally;
        let read = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        (read(&tally.open), read(&tally.twice))
    }

    /// The room there is for records under way; may be resized, also below what a lane waits for: it
    /// then asks again, for less. What a lane that ended leaves under way does not count any more.
    pub fn credits(&self) -> &Credits {
        &self.shared.credits
    }
}
