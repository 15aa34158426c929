//! From a plan to its actors. In: a [`Flow`] and a sink. Out: a specification and a handle.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::decide::Judge;
use super::ports::{Failed, Sink};
use super::shelf::Shelf;
use super::throttle::Throttle;
use super::turns::Turns;
use super::work::{WorkMsg, Worker};
use super::write::Writer;
use super::{Flow, Pipeline, Shared};
use crate::sync::Mutex;
use crate::{Addr, ChildSpec, Children, Credits, Intensity, Outcome, Strategy, SupervisorSpec};

impl<I: Send + Sync + 'static, O: Send + Sync + 'static> Flow<I, O> {
    /// What was asked for, or the default, wide enough that stalls one after the other are too many:
    /// each takes a quiet time to be noticed, and a backoff before the next can begin.
    fn effective_intensity(&self) -> Intensity {
        self.intensity.unwrap_or_else(|| {
            let Intensity { restarts, within } = Intensity::default();
            let stall = |quiet: Duration| quiet.saturating_mul(2).saturating_add(self.backoff.max);
            let stalls = self.quiet.map_or(Duration::ZERO, stall);
            Intensity {
                restarts,
                within: within.max(stalls.saturating_mul(restarts + 1)),
            }
        })
    }

    /// Builds the pipeline: the specification is started as a root or as a child of another
    /// supervisor, the handle opens and closes lanes once it runs.
    pub fn build<N: Send + 'static, K: Sink<O, N>>(
        self,
        sink: Arc<K>,
    ) -> (Pipeline<I, N>, SupervisorSpec) {
        let intensity = self.effective_intensity();
        let patience = self.quiet.map(patience);
        let judge = Judge {
            handler: self
                .on_failed
                .unwrap_or_else(|| Arc::new(|failed| Box::pin(log(failed)))),
            within: self.decide_within,
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
        for (at, addr) in writers.iter().enumerate() {
            let (sink, judge) = (Arc::clone(&sink), judge.clone());
            let turns = Arc::<Turns>::default();
            let (limits, per_key, in_flight) = (self.batches, self.per_key, self.in_flight);
            spec = spec.child(ChildSpec::stage(format!("write-{at}"), addr, move |_| {
                Writer {
                    shelf: Shelf::new(limits),
                    per_key,
                    in_flight,
                    writing: 0,
                    patience,
                    turns: Arc::clone(&turns),
                    sink: Arc::clone(&sink),
                    judge: judge.clone(),
                    timer: None,
                }
            }));
        }
        for (at, addr) in workers.iter().enumerate() {
            let (steps, judge, writers) =
                (Arc::clone(&self.steps), judge.clone(), Arc::clone(&writers));
            spec = spec.child(ChildSpec::stage(format!("work-{at}"), addr, move |_| {
                Worker {
                    steps: Arc::clone(&steps),
                    judge: judge.clone(),
                    writers: Arc::clone(&writers),
                }
            }));
        }
        let lanes = Children::new();
        let lanes_spec = SupervisorSpec::dynamic(&lanes)
            .intensity(intensity)
            .backoff(self.backoff);
        let credits = Credits::new(self.name.clone(), self.credits);
        spec = spec.child(
            ChildSpec::supervisor("lanes", lanes_spec)
                .vital()
                .credits(&credits),
        );
        let shared = Shared {
            credits,
            name: self.name,
            workers,
            key: self.key,
            chunk: self.chunk,
            paused: watch::Sender::new(false),
            throttle: Throttle::new(self.rate),
            quiet: self.quiet,
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

/// How long a write may take before it is given up: less than it takes until a lane counts as stalled,
/// so that lanes whose records wait behind it need not be restarted for it.
fn patience(quiet: Duration) -> Duration {
    quiet / 4 * 3
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
