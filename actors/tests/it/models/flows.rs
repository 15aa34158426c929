//! Random lives of pipelines: lanes are pushed to, revoked and assigned again, drained half way and
//! started once more, while sources, steps, the failed handler and writes fail, panic and hang.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::testkit::{Callback, Fault, Faults, MemoryLane, MemorySink, until_within};
use actors::{
    BatchLimits, Closed, Cost, Flow, Intensity, Outcome, Pipeline, Settled, Step, SupervisorSpec,
    System, Unusable,
};
use proptest::prelude::*;
use proptest::strategy::Strategy as Random;

use super::{Plan, config, plan, virtual_time};
use crate::support::SECOND;

/// Lane, number, and a token that tells how many copies of records there are.
type Record = (usize, u64, Arc<()>);

const LANES: usize = 3;

#[derive(Clone, Debug)]
enum Turn {
    Push(usize),
    Close(usize, u64),
    Open(usize),
    Pause(bool),
    Flush,
    Resize(usize),
    Later(u64),
}

fn turns() -> impl Random<Value = Vec<Turn>> {
    let turn = prop_oneof![
        6 => (0..LANES).prop_map(Turn::Push),
        1 => (0..LANES, 0..2u64).prop_map(|(lane, seconds)| Turn::Close(lane, seconds)),
        2 => (0..LANES).prop_map(Turn::Open),
        1 => any::<bool>().prop_map(Turn::Pause),
        1 => Just(Turn::Flush),
        1 => (1..40usize).prop_map(Turn::Resize),
        3 => (0..300u64).prop_map(Turn::Later),
        1 => (2000..5000u64).prop_map(Turn::Later),
    ];
    proptest::collection::vec(turn, 0..40)
}

const CALLBACKS: &[Callback] = &[
    Callback::Named("open"),
    Callback::Named("pull"),
    Callback::Named("commit"),
    Callback::Named("write"),
    Callback::Named("write"),
    Callback::Named("step"),
    Callback::Named("decide"),
];

/// Hangs for so long that the watchdog has the lane delivered again meanwhile.
const HANG: Fault = Fault::Slow(Duration::from_secs(12));

#[derive(Clone, Debug)]
struct Shape {
    workers: usize,
    writers: usize,
    count: usize,
    per_key: bool,
}

fn shapes() -> impl Random<Value = Shape> {
    let shape = (1..4usize, 1..4usize, 1..8usize, any::<bool>());
    shape.prop_map(|(workers, writers, count, per_key)| Shape {
        workers,
        writers,
        count,
        per_key,
    })
}

/// What outlives a pipeline, and the reference.
struct World {
    lanes: Vec<MemoryLane<Record>>,
    sink: MemorySink<Record>,
    faults: Faults,
    dead: Arc<Mutex<BTreeSet<(usize, u64)>>>,
    token: Arc<()>,
    pushed: [u64; LANES],
    passed: Vec<Vec<Settled<()>>>,
}

impl World {
    fn new(plan: &Plan) -> Self {
        let faults = plan
            .iter()
            .fold(Faults::new(), |faults, (callback, nth, fault)| {
                faults.at(*callback, *nth, *fault)
            });
        Self {
            lanes: (0..LANES)
                .map(|_| MemoryLane::new([]).endless().faults(&faults))
                .collect(),
            sink: MemorySink::new()
                .slow(Duration::from_millis(20))
                .faults(&faults),
            faults,
            dead: Arc::default(),
            token: Arc::new(()),
            pushed: [0; LANES],
            passed: (0..LANES).map(|_| Vec::new()).collect(),
        }
    }

    fn build(&self, shape: &Shape) -> (Pipeline<Record>, SupervisorSpec) {
        let (steps, decisions, dead) = (
            self.faults.clone(),
            self.faults.clone(),
            Arc::clone(&self.dead),
        );
        let mut flow = Flow::new("p", move |record: &Record| {
            steps.sync_point(Callback::Named("step"));
            Step::Next(record.clone())
        })
        .workers(shape.workers)
        .writers(shape.writers)
        .batches(BatchLimits {
            count: shape.count,
            bytes: 1000,
            age: Duration::from_millis(50),
        })
        .key(|(lane, number, _)| (*lane as u64) * 10 + number % 3)
        .credits(Cost {
            count: 20,
            bytes: 1000,
        })
        .watch(3 * SECOND)
        .intensity(Intensity {
            restarts: 1000,
            within: SECOND,
        })
        .on_failed(move |failed| {
            let (decisions, dead) = (decisions.clone(), Arc::clone(&dead));
            async move {
                if decisions.point(Callback::Named("decide")).await.is_err() {
                    return Outcome::Failed;
                }
                let (Unusable::Raw((lane, number, _)) | Unusable::Ready((lane, number, _))) =
                    failed.record;
                dead.lock().unwrap().insert((lane, number));
                Outcome::DeadLettered
            }
        });
        if shape.per_key {
            flow = flow.batches_per_key(2);
        }
        flow.build(Arc::new(self.sink.clone()))
    }

    async fn open(&self, pipeline: &Pipeline<Record>, lane: usize) {
        let source = self.lanes[lane].clone();
        drop(pipeline.open(lane as u32, move |_| source.source()).await);
    }

    async fn live(&mut self, pipeline: &Pipeline<Record>, turns: Vec<Turn>) {
        for lane in 0..LANES {
            self.open(pipeline, lane).await;
        }
        for turn in turns {
            match turn {
                Turn::Push(lane) => {
                    for _ in 0..7 {
                        let record = (lane, self.pushed[lane], Arc::clone(&self.token));
                        self.lanes[lane].push(record);
                        self.pushed[lane] += 1;
                    }
                }
                Turn::Close(lane, seconds) => {
                    let closed = pipeline.close(lane as u32, SECOND * seconds as u32).await;
                    assert_ne!(closed, Ok(Closed::Stuck));
                    assert!(!pipeline.lanes().contains(&(lane as u32)));
                }
                Turn::Open(lane) => self.open(pipeline, lane).await,
                Turn::Pause(true) => pipeline.pause(),
                Turn::Pause(false) => pipeline.resume(),
                Turn::Flush => pipeline.flush(),
                Turn::Resize(count) => pipeline.credits().resize(Cost { count, bytes: 1000 }),
                Turn::Later(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            }
            assert!(pipeline.credits().in_use().count <= 40);
        }
    }

    /// Copies of records that are neither in a lane nor written.
    fn under_way(&self) -> usize {
        let kept: u64 = self.pushed.iter().sum();
        Arc::strong_count(&self.token) - 1 - kept as usize - self.sink.written().len()
    }

    fn take_passed(&mut self) {
        for (passed, lane) in self.passed.iter_mut().zip(&self.lanes) {
            passed.extend(lane.take_settled());
        }
    }

    /// Each record is written or dead-lettered, as its one passed settlement says; the commits passed
    /// each once and in order, under epochs that only rise; and a key never went from a record to a
    /// later one before the earlier was written for the first time or found unusable.
    fn check(&self) {
        let (written, dead) = (self.sink.written(), self.dead.lock().unwrap());
        let known: BTreeSet<_> = written.iter().map(|record| (record.0, record.1)).collect();
        for (lane, passed) in self.passed.iter().enumerate() {
            let seqs: Vec<u64> = passed.iter().map(|settled| settled.position.seq).collect();
            let all: Vec<u64> = (0..self.pushed[lane]).collect();
            assert_eq!(seqs, all, "passed once each, in order");
            assert!(passed.is_sorted_by_key(|settled| settled.position.epoch));
            for settled in passed {
                let record = (lane, settled.position.seq);
                match settled.outcome {
                    Outcome::Stored => assert!(known.contains(&record), "{record:?}"),
                    Outcome::DeadLettered => assert!(dead.contains(&record), "{record:?}"),
                    Outcome::Failed => panic!("passed over {record:?}, which failed"),
                }
            }
        }
        let mut first: BTreeMap<(usize, u64), u64> = BTreeMap::new();
        for (lane, number, _) in written {
            let next = first.entry((lane, number % 3)).or_insert(number % 3);
            while *next < number && dead.contains(&(lane, *next)) {
                *next += 3;
            }
            assert!(
                number <= *next,
                "lane {lane}: {number} was written before {next}"
            );
            if number == *next {
                *next += 3;
            }
        }
    }
}

async fn live(lives: [Vec<Turn>; 2], plan: Plan, shapes: [Shape; 2], patience: u32) {
    let mut world = World::new(&plan);
    let [first, second] = lives;
    let (pipeline, spec) = world.build(&shapes[0]);
    let system = System::start("t", spec).await.unwrap();
    world.live(&pipeline, first).await;
    // Wherever it is just then.
    let report = system.drain(SECOND * patience).await;
    assert!(report.took <= SECOND * (patience + 3), "{report:?}");
    assert_eq!(pipeline.credits().in_use(), Cost::default(), "leaked");
    assert!(pipeline.lanes().is_empty());
    until_within(60 * SECOND, "nothing is under way", || {
        world.under_way() == 0
    })
    .await;
    let (pipeline, spec) = world.build(&shapes[1]);
    let system = System::start("t", spec).await.unwrap();
    world.live(&pipeline, second).await;
    world.faults.clear();
    pipeline.resume();
    for lane in 0..LANES {
        world.open(&pipeline, lane).await;
    }
    let ends = world.pushed;
    until_within(600 * SECOND, "everything is committed", || {
        (0..LANES).all(|lane| world.lanes[lane].committed() == ends[lane])
    })
    .await;
    let report = system.drain(60 * SECOND).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(pipeline.credits().in_use(), Cost::default(), "leaked");
    until_within(60 * SECOND, "nothing is under way", || {
        world.under_way() == 0
    })
    .await;
    world.take_passed();
    world.check();
}

proptest! {
    #![proptest_config(config(250))]

    #[test]
    fn a_pipeline_settles_everything_once_and_in_order_whatever_happens(
        lives in [turns(), turns()],
        plan in plan(CALLBACKS, HANG, 8),
        shapes in [shapes(), shapes()],
        patience in 0..5u32,
    ) {
        virtual_time(live(lives, plan, shapes, patience));
    }
}
