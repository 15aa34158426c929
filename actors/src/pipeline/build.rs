//! From a plan to its actors. In: a [`Flow`] and a sink. Out: a specification and a handle.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::decide::Judge;
use super::house::{House, Presence};
use super::ports::{Failed, Sink};
use super::shelf::Shelf;
use super::throttle::Throttle;
use super::turns::Turns;
use super::work::{WorkMsg, Worker};
use super::write::{WriteMsg, Writer};
use super::{Flow, Pipeline, Shared};
use crate::sync::Mutex;
use crate::{
    Addr, ChildSpec, Children, Credits, Intensity, Outcome, Pulse, Shutdown, Strategy,
    SupervisorSpec, Watch,
};

/// How long a failed handler may take if nothing else is said.
const DECIDE_WITHIN: Duration = Duration::from_secs(30);

impl<I: Send + Sync + 'static, O: Send + Sync + 'static> Flow<I, O> {
    /// What was asked for, or the default, wide enough that stalls one after the other are too many:
    /// each takes a quiet time to be noticed, and a backoff before the next can begin.
    fn effective_intensity(&self) -> Intensity {
        self.intensity.unwrap_or_else(|| {
            let Intensity { restarts, within } = Intensity::default();
            let stall = |quiet: Duration| quiet.saturating_mul(2).saturating_add(self.backoff.max);
            // None is less than any time.
            let stalls = self.quiet.max(self.write_within);
            let stalls = stalls.map_or(Duration::ZERO, stall);
            Intensity {
                restarts,
                within: within.max(stalls.saturating_mul(restarts + 1)),
            }
        })
    }

    /// Builds the pipeline: the specification is started as a root or as a child of another
    /// supervisor, the handle opens and closes lanes once it runs. It lives once: after a drain,
    /// starting it is [`StartError::Drained`](crate::StartError::Drained).
    ///
    /// Lanes are opened from outside, and nobody knows how to open them again: a pipeline that gave up
    /// and is restarted by the supervisor above it comes back without any, and
    /// [`Pipeline::lanes`] says so. Mark it [`vital`](ChildSpec::vital) there, so that its end is its
    /// supervisor's, or open the lanes anew.
    ///
    /// # Panics
    /// If a [`watch`](Self::watch) is no longer than the age of its [`batches`](Self::batches): records
    /// that wait for company would be taken for stalled.
    pub fn build<N: Send + 'static, K: Sink<O, N>>(
        self,
        sink: Arc<K>,
    ) -> (Pipeline<I, N>, SupervisorSpec) {
        assert!(
            self.quiet.is_none_or(|quiet| quiet > self.batches.age),
            "a watch that is no longer than the age of a batch takes records that wait for company for stalled"
        );
        let intensity = self.effective_intensity();
        let write_within = self.write_within.or(self.quiet.map(before_a_stall));
        let shutdown = Shutdown::Drain(self.patience);
        let judge = Judge {
            handler: self
                .on_failed
                .unwrap_or_else(|| Arc::new(|failed| Box::pin(log(failed)))),
            within: self.decide_within.unwrap_or_else(|| {
                let limit = self.quiet.map_or(DECIDE_WITHIN, before_a_stall);
                limit.min(DECIDE_WITHIN)
            }),
        };
        let addresses = |kind: &str, count: usize| {
            (0..count)
                .map(|at| format!("{}/{kind}-{at}", self.name))
                .collect::<Vec<_>>()
        };
        let writers: Arc<[Addr<_>]> = addresses("write", self.writers)
            .into_iter()
            .map(Addr::new)
            .collect();
        let workers: Vec<Addr<WorkMsg<I, N>>> = addresses("work", self.workers)
            .into_iter()
            .map(Addr::new)
            .collect();
        let mut spec = SupervisorSpec::new(Strategy::OneForOne)
            .intensity(intensity)
            .backoff(self.backoff);
        let house = House::of(self.writers + self.workers);
        for (at, addr) in writers.iter().enumerate() {
            let (sink, judge, house) = (Arc::clone(&sink), judge.clone(), Arc::clone(&house));
            let turns = Arc::<Turns>::default();
            let (limits, per_key, in_flight) = (self.batches, self.per_key, self.in_flight);
            let writer = ChildSpec::stage(format!("write-{at}"), addr, move |_| Writer {
                shelf: Shelf::new(limits),
                per_key,
                in_flight,
                writing: 0,
                patience: write_within,
                turns: Arc::clone(&turns),
                presence: Presence::in_house(&house, at),
                sink: Arc::clone(&sink),
                judge: judge.clone(),
                timer: None,
            });
            spec = spec.child(writer.shutdown(shutdown));
        }
        let first = writers.len();
        for (at, addr) in workers.iter().enumerate() {
            let (steps, judge, writers) =
                (Arc::clone(&self.steps), judge.clone(), Arc::clone(&writers));
            let (stepping, house) = (Pulse::new(), Arc::clone(&house));
            let watch = self.quiet.map(|quiet| Watch::only(&stepping, quiet));
            let mut worker = ChildSpec::stage(format!("work-{at}"), addr, move |_| {
                let (steps, writers) = (Arc::clone(&steps), Arc::clone(&writers));
                let presence = Presence::in_house(&house, first + at);
                Worker::new(steps, judge.clone(), writers, stepping.clone(), presence)
            });
            if let Some(watch) = watch {
                worker = worker.watch(watch);
            }
            spec = spec.child(worker.shutdown(shutdown));
        }
        #[cfg(feature = "testkit")]
        let kills = kills(&workers, &writers);
        let lanes = Children::new();
        let lanes_spec = SupervisorSpec::dynamic(&lanes)
            .patience(self.patience)
            .intensity(intensity)
            .backoff(self.backoff);
        let credits = Credits::new(self.name.clone(), self.credits);
        spec = spec.child(
            ChildSpec::supervisor("lanes", lanes_spec)
                .vital()
                .credits(&credits),
        );
        let flush_writers = move |lane| {
            for writer in writers.iter() {
                if writer.send(WriteMsg::Flush(lane)).is_err() {
                    tracing::trace!(writer = writer.name(), "nothing to flush at nobody's");
                }
            }
        };
        let shared = Shared {
            credits,
            flush_writers: Box::new(flush_writers),
            name: self.name,
            workers,
            key: self.key,
            chunk: self.chunk,
            paused: watch::Sender::new(false),
            throttle: Throttle::new(self.rate),
            house,
            quiet: self.quiet,
            open_within: self.open_within,
            shutdown,
            #[cfg(feature = "testkit")]
            kills: Mutex::new(kills),
            tally: Arc::default(),
            committed: Mutex::default(),
        };
        (
            Pipeline {
                shared: Arc::new(shared),
                lanes,
            },
            spec,
        )
    }
}

/// How long a write or a failed handler may take before it is given up when only a watch is set: less than it takes until a lane counts as stalled,
/// so that lanes whose records wait behind it need not be restarted for it.
fn before_a_stall(quiet: Duration) -> Duration {
    quiet / 4 * 3
}

/// How to kill each worker and writer, by its id.
#[cfg(feature = "testkit")]
fn kills<W: Send + 'static, V: Send + 'static>(
    workers: &[Addr<W>],
    writers: &[Addr<V>],
) -> super::Kills {
    let by_number = |kind: &'static str| (0..).map(move |at: usize| format!("{kind}-{at}"));
    let workers = by_number("work").zip(workers.iter().map(super::kill));
    let writers = by_number("write").zip(writers.iter().map(super::kill));
    workers.chain(writers).collect()
}

async fn log<I, O>(failed: Failed<I, O>) -> Outcome {
    let Failed {
        position, cause, ..
    } = failed;
    tracing::error!(
        lane = position.lane,
        seq = position.seq,
        cause,
        "a record cannot be used"
    );
    Outcome::Failed
}
