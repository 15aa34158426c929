//! What outlives a pipeline of the model, and the reference it is held against.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use actors::testkit::{
    Callback, Fault, Faults, MemoryLane, MemorySink, kill_part, unsettled_and_twice, until_within,
};
use actors::{
    BatchLimits, Closed, Cost, Fate, Flow, Intensity, Outcome, Pipeline, Rate, Settled, Sink, Step,
    SupervisorSpec, Unusable,
};

use super::{Shape, Turn};
use crate::models::Plan;
use crate::support::SECOND;

/// Lane, number, and a token that tells how many copies of records there are.
pub(super) type Record = (usize, u64, Arc<()>);

pub(super) const LANES: usize = 3;

/// After which the watchdog acts.
const QUIET: Duration = Duration::from_secs(3);

/// Records that a step fails, that the sink refuses, and that have no key.
fn fails(number: u64) -> bool {
    number % 11 == 5
}

fn is_refused(number: u64) -> bool {
    number % 13 == 7
}

fn has_no_key(number: u64) -> bool {
    number % 17 == 9
}

/// What has to stay in order.
fn key(lane: usize, number: u64) -> (usize, u64) {
    (lane, number % 3)
}

fn is_unusable(number: u64) -> bool {
    fails(number) || is_refused(number) || has_no_key(number)
}

/// Counts what is in somebody's hands, also when these panic.
struct InHand(Arc<AtomicUsize>);

impl InHand {
    fn take(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// When the writes of each key began that are going on.
#[derive(Default)]
struct Desk {
    writing: BTreeMap<(usize, u64), Instant>,
    /// Writes that began before another one of a key of theirs was over or given up.
    overlaps: usize,
}

/// Leaves the desk when it is dropped, also by a panic.
struct Writing {
    desk: Arc<Mutex<Desk>>,
    keys: BTreeSet<(usize, u64)>,
    since: Instant,
}

impl Writing {
    fn begin(desk: &Arc<Mutex<Desk>>, batch: &[Record]) -> Self {
        let (since, desk) = (Instant::now(), Arc::clone(desk));
        let keys: BTreeSet<_> = batch.iter().map(|record| key(record.0, record.1)).collect();
        {
            let mut desk = desk.lock().unwrap();
            for key in &keys {
                let before = desk.writing.insert(*key, since);
                let overlaps = before.is_some_and(|before| since - before < QUIET / 4 * 3);
                desk.overlaps += usize::from(overlaps);
            }
        }
        Self { desk, keys, since }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut desk = self.desk.lock().unwrap();
        let mine =
            |key: &(usize, u64), since: &Instant| self.keys.contains(key) && *since == self.since;
        desk.writing.retain(|key, since| !mine(key, since));
    }
}

/// A sink whose writes are counted while they run.
struct Counted {
    inner: MemorySink<Record>,
    in_hand: Arc<AtomicUsize>,
    desk: Arc<Mutex<Desk>>,
}

impl Sink<Record, ()> for Counted {
    async fn write(&self, batch: &[Record]) -> Vec<Fate<()>> {
        let _in_hand = InHand::take(&self.in_hand);
        let _writing = Writing::begin(&self.desk, batch);
        self.inner.write(batch).await
    }
}

/// What outlives a pipeline, and the reference.
pub(super) struct World {
    pub(super) lanes: Vec<MemoryLane<Record>>,
    sink: MemorySink<Record>,
    pub(super) faults: Faults,
    dead: Arc<Mutex<BTreeSet<(usize, u64)>>>,
    /// Writes and decisions that are going on.
    in_hand: Arc<AtomicUsize>,
    desk: Arc<Mutex<Desk>>,
    /// Whether something hangs for ever, with the records it was given.
    hangs: bool,
    token: Arc<()>,
    pub(super) pushed: [u64; LANES],
    passed: Vec<Vec<Settled<()>>>,
}

impl World {
    pub(super) fn new(plan: &Plan) -> Self {
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
                .refusing(|(_, number, _)| is_refused(*number))
                .faults(&faults),
            faults,
            dead: Arc::default(),
            in_hand: Arc::default(),
            desk: Arc::default(),
            hangs: plan.iter().any(|(_, _, fault)| *fault == Fault::Hang),
            token: Arc::new(()),
            pushed: [0; LANES],
            passed: (0..LANES).map(|_| Vec::new()).collect(),
        }
    }

    pub(super) fn build(&self, shape: &Shape) -> (Pipeline<Record>, SupervisorSpec) {
        let (steps, decisions) = (self.faults.clone(), self.faults.clone());
        let (dead, in_hand) = (Arc::clone(&self.dead), Arc::clone(&self.in_hand));
        let mut flow = Flow::new("p", move |record: &Record| {
            steps.sync_point(Callback::Named("step"));
            if fails(record.1) {
                return Step::Fail("unusable".into());
            }
            Step::Next(record.clone())
        })
        .workers(shape.workers)
        .writers(shape.writers)
        .batches(BatchLimits {
            count: shape.count,
            bytes: 1000,
            age: Duration::from_millis(50),
        })
        .key(|(lane, number, _)| {
            assert!(!has_no_key(*number), "no key");
            let (lane, rest) = key(*lane, *number);
            lane as u64 * 10 + rest
        })
        .credits(Cost {
            count: 20,
            bytes: 1000,
        })
        .watch(QUIET)
        .open_within(3 * SECOND)
        .intensity(Intensity {
            restarts: 1000,
            within: SECOND,
        })
        .on_failed(move |failed| {
            let (decisions, dead) = (decisions.clone(), Arc::clone(&dead));
            let in_hand = InHand::take(&in_hand);
            async move {
                let _in_hand = in_hand;
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
        flow.build(Arc::new(Counted {
            inner: self.sink.clone(),
            in_hand: Arc::clone(&self.in_hand),
            desk: Arc::clone(&self.desk),
        }))
    }

    pub(super) async fn open(&self, pipeline: &Pipeline<Record>, lane: usize) {
        let source = self.lanes[lane].clone();
        drop(pipeline.open(lane as u32, move |_| source.source()).await);
    }

    pub(super) async fn live(&mut self, pipeline: &Pipeline<Record>, turns: Vec<Turn>) {
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
                Turn::Rate(rate) => pipeline.set_rate(rate.map(|rate| Rate {
                    per_second: f64::from(rate),
                    burst: rate as usize,
                })),
                Turn::Kill(part) => drop(kill_part(pipeline, part)),
                Turn::Later(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            }
            assert!(pipeline.credits().in_use().count <= 40);
        }
    }

    /// After a drain: what is not settled is in the hands of the sink or of the failed handler, where
    /// somebody who was killed or failed left it, and nothing was settled twice.
    pub(super) fn check_settled(&self, pipeline: &Pipeline<Record>) {
        let (unsettled, twice) = unsettled_and_twice(pipeline);
        assert_eq!(twice, 0, "settled twice");
        assert!(
            unsettled == 0 || self.in_hand.load(Ordering::SeqCst) > 0,
            "{unsettled} are unsettled after a drain, and in no owned task"
        );
    }

    /// Waits for what was left behind.
    pub(super) async fn finish(&self, pipeline: &Pipeline<Record>) {
        until_within(60 * SECOND, "everything is settled", || {
            unsettled_and_twice(pipeline) == (0, 0)
        })
        .await;
        if self.hangs {
            // Whoever does not hang for ever is done by then.
            return tokio::time::sleep(15 * SECOND).await;
        }
        until_within(60 * SECOND, "nothing is under way", || {
            self.under_way() == 0
        })
        .await;
    }

    /// Copies of records that are neither in a lane nor written.
    pub(super) fn under_way(&self) -> usize {
        let kept: u64 = self.pushed.iter().sum();
        Arc::strong_count(&self.token) - 1 - kept as usize - self.sink.written().len()
    }

    pub(super) fn take_passed(&mut self) {
        for (passed, lane) in self.passed.iter_mut().zip(&self.lanes) {
            passed.extend(lane.take_settled());
        }
    }

    /// Each record is written or dead-lettered, as its one passed settlement says; the commits passed
    /// each once and in order, under epochs that only rise; and a key never went from a record to a
    /// later one before the earlier was written for the first time or found unusable.
    pub(super) fn check(&self) {
        assert_eq!(self.desk.lock().unwrap().overlaps, 0, "two writes of a key");
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
                    Outcome::Stored => {
                        assert!(known.contains(&record), "{record:?}");
                        assert!(!is_unusable(record.1), "{record:?}");
                    }
                    Outcome::DeadLettered => assert!(dead.contains(&record), "{record:?}"),
                    Outcome::Failed => panic!("passed over {record:?}, which failed"),
                }
            }
        }
        let mut first: BTreeMap<(usize, u64), u64> = BTreeMap::new();
        for (lane, number, _) in written {
            let next = first.entry(key(lane, number)).or_insert(number % 3);
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
