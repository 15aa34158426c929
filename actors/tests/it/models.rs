//! Random lives of whole trees and pipelines, on real actors and a virtual clock, against what must
//! always hold: nothing settled twice, nothing unsettled after a drain, credits conserved, no orphan,
//! order per key, restart counts exact.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actors::testkit::{
    Callback, Fault, Faults, MemoryLane, MemorySink, Probe, kill, until, until_within,
};
use actors::{
    Addr, BatchLimits, ChildSpec, Children, Cost, Flow, Intensity, State, Step, StopOutcome,
    Strategy, SupervisorSpec, System,
};
use proptest::prelude::*;
use proptest::strategy::Strategy as Random;

use crate::support::{SECOND, eager};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn virtual_time<F: Future<Output = ()>>(life: F) {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(life);
}

#[derive(Clone, Debug)]
enum Op {
    Send(usize),
    Kill(usize),
    Later(u64),
}

fn tree_ops() -> impl Random<Value = Vec<Op>> {
    let op = prop_oneof![
        any::<usize>().prop_map(Op::Send),
        any::<usize>().prop_map(Op::Kill),
        (0..10u64).prop_map(Op::Later),
    ];
    proptest::collection::vec(op, 0..25)
}

fn faults() -> impl Random<Value = Vec<(Callback, u64, Fault)>> {
    let callback = prop_oneof![
        Just(Callback::Make),
        Just(Callback::Started),
        Just(Callback::Handle),
        Just(Callback::Drained),
        Just(Callback::Drop),
    ];
    let fault = prop_oneof![
        Just(Fault::Panic),
        Just(Fault::Error),
        Just(Fault::Slow(SECOND))
    ];
    proptest::collection::vec((callback, 2..8u64, fault), 0..6)
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn a_tree_leaves_no_orphan_and_never_has_two_of_one(
        strategies in (0..3usize, 0..3usize),
        ops in tree_ops(),
        plan in faults(),
        patience in 0..3u64,
    ) {
        virtual_time(async {
            let strategy = |n: usize| [Strategy::OneForOne, Strategy::RestForOne, Strategy::OneForAll][n];
            let addrs = ["a", "b", "c", "d"].map(Addr::<u32>::new);
            let probes: [Probe<u32>; 4] = Default::default();
            let faults = plan.iter().fold(Faults::new(), |faults, (callback, nth, fault)| faults.at(*callback, *nth, *fault));
            let child = |at: usize| {
                let probe = probes[at].clone();
                faults.child(["a", "b", "c", "d"][at], &addrs[at], move |_| probe.stage())
            };
            let inner = eager(strategy(strategies.1)).child(child(1)).child(child(2));
            let root = eager(strategy(strategies.0)).child(child(0)).child(ChildSpec::supervisor("inner", inner)).child(child(3));
            if let Ok(system) = System::start("t", root).await {
                for op in ops {
                    match op {
                        Op::Send(n) => drop(addrs[n % 4].send(n as u32)),
                        Op::Kill(n) => drop(kill(&addrs[n % 4])),
                        Op::Later(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                    }
                }
                let report = system.drain(SECOND * patience as u32).await;
                assert!(report.took <= SECOND * (patience as u32 + 2), "{report:?}");
            }
            for probe in &probes {
                assert_eq!(probe.alive(), 0, "an orphan");
                assert!(probe.most_alive() <= 1, "two of one");
            }
        });
    }

    #[test]
    fn restarts_are_counted_exactly(kills in proptest::collection::vec(0..3usize, 0..12)) {
        virtual_time(async {
            let addrs = ["a", "b", "c"].map(Addr::<u8>::new);
            let probe = Probe::new();
            let spec = ["a", "b", "c"].iter().zip(&addrs).fold(eager(Strategy::RestForOne), |spec, (id, addr)| spec.child(probe.child(*id, addr)));
            let system = System::start("t", spec).await.unwrap();
            let mut expected = [0; 3];
            for at in kills {
                assert!(kill(&addrs[at]));
                expected[at..].iter_mut().for_each(|count| *count += 1);
                until("the round is over", || {
                    let tree = system.handle().tree();
                    tree.children.iter().zip(expected).all(|(child, count)| child.restarts == count && child.state == State::Running)
                }).await;
            }
            assert_eq!(probe.alive(), 3);
        });
    }
}

#[derive(Clone, Debug)]
enum Turn {
    Push(usize),
    Close(usize, u64),
    Open(usize),
    Pause(bool),
    Resize(usize),
    Later(u64),
}

fn turns() -> impl Random<Value = Vec<Turn>> {
    let turn = prop_oneof![
        6 => (0..3usize).prop_map(Turn::Push),
        1 => (0..3usize, 0..2u64).prop_map(|(lane, seconds)| Turn::Close(lane, seconds)),
        2 => (0..3usize).prop_map(Turn::Open),
        1 => any::<bool>().prop_map(Turn::Pause),
        1 => (1..40usize).prop_map(Turn::Resize),
        3 => (0..300u64).prop_map(Turn::Later),
    ];
    proptest::collection::vec(turn, 0..50)
}

proptest! {
    #![proptest_config(config(300))]

    /// Lanes are pushed to, revoked and assigned again while writes fail, panic and are slow.
    #[test]
    fn a_pipeline_writes_everything_in_order_whatever_happens(
        turns in turns(),
        plan in proptest::collection::vec((1..30u64, 0..3usize), 0..5),
        sizes in (1..4usize, 1..4usize, 1..8usize),
        per_key in any::<bool>(),
    ) {
        virtual_time(async {
            let faults = plan.iter().fold(Faults::new(), |faults, (nth, fault)| {
                faults.at(Callback::Named("write"), *nth, [Fault::Panic, Fault::Error, Fault::Slow(3 * SECOND)][*fault])
            });
            let sink = MemorySink::new().slow(Duration::from_millis(20)).faults(&faults);
            let (workers, writers, count) = sizes;
            let mut flow = Flow::new("p", |value: &(usize, u64)| Step::Next(*value))
                .workers(workers)
                .writers(writers)
                .batches(BatchLimits { count, bytes: 1000, age: Duration::from_millis(50) })
                .key(|(lane, number)| (*lane as u64) * 10 + number % 3)
                .credits(Cost { count: 20, bytes: 1000 })
                .intensity(Intensity { restarts: 1000, within: SECOND });
            if per_key {
                flow = flow.batches_per_key(2);
            }
            let (pipeline, spec) = flow.build::<(), _>(Arc::new(sink.clone()));
            let system = System::start("t", spec).await.unwrap();
            let lanes: Vec<MemoryLane<(usize, u64)>> = (0..3).map(|_| MemoryLane::new([]).endless()).collect();
            let mut pushed = [0u64; 3];
            let open = async |lane: usize| {
                let source = lanes[lane].clone();
                drop(pipeline.open(lane as u32, move |_| source.source()).await);
            };
            for lane in 0..3 {
                open(lane).await;
            }
            for turn in turns {
                match turn {
                    Turn::Push(lane) => {
                        for _ in 0..7 {
                            lanes[lane].push((lane, pushed[lane]));
                            pushed[lane] += 1;
                        }
                    }
                    Turn::Close(lane, seconds) => {
                        let closed = pipeline.close(lane as u32, SECOND * seconds as u32).await;
                        assert_ne!(closed, Ok(StopOutcome::Stuck));
                    }
                    Turn::Open(lane) => open(lane).await,
                    Turn::Pause(true) => pipeline.pause(),
                    Turn::Pause(false) => pipeline.resume(),
                    Turn::Resize(count) => pipeline.credits().resize(Cost { count, bytes: 1000 }),
                    Turn::Later(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                }
                assert!(pipeline.credits().in_use().count <= 40);
            }
            faults.clear();
            pipeline.resume();
            for lane in 0..3 {
                open(lane).await;
            }
            until_within(600 * SECOND, "everything is committed", || (0..3).all(|lane| lanes[lane].committed() == pushed[lane])).await;
            let report = system.drain(60 * SECOND).await;
            assert!(report.is_clean(), "{report:?}");
            // Writes of lanes that were given up may still run.
            until_within(60 * SECOND, "the credits are back", || pipeline.credits().in_use() == Cost::default()).await;
            check(&sink.written(), &lanes, &pushed);
        });
    }
}

/// Each record was written, the commits passed each once and in order, and a key never went from a
/// record to a later one before the earlier was written for the first time.
fn check(written: &[(usize, u64)], lanes: &[MemoryLane<(usize, u64)>], pushed: &[u64; 3]) {
    for (lane, kept) in lanes.iter().enumerate() {
        let seqs: Vec<u64> = kept
            .take_settled()
            .iter()
            .map(|settled| settled.position.seq)
            .collect();
        assert_eq!(
            seqs,
            (0..pushed[lane]).collect::<Vec<_>>(),
            "passed once each, in order"
        );
    }
    let mut first: BTreeMap<(usize, u64), u64> = BTreeMap::new();
    for (lane, number) in written {
        let next = first.entry((*lane, number % 3)).or_insert(number % 3);
        assert!(
            number <= next,
            "lane {lane}: {number} was written before {next}"
        );
        if number == next {
            *next += 3;
        }
    }
}

proptest! {
    #![proptest_config(config(200))]

    /// Children come and go at random; ids and epochs stay true.
    #[test]
    fn dynamic_children_are_one_of_a_kind(ops in proptest::collection::vec((0..4u8, 0..3usize, 0..3u64), 0..30)) {
        virtual_time(async {
            let (children, ids) = (Children::new(), ["a", "b", "c"]);
            let addrs = ids.map(Addr::<u8>::new);
            let probes: [Probe<u8>; 3] = Default::default();
            let system = System::start("t", SupervisorSpec::dynamic(&children)
                .intensity(Intensity { restarts: 1000, within: SECOND })).await.unwrap();
            let mut newest = None;
            for (op, at, wait) in ops {
                match op {
                    0 | 1 => {
                        let there = children.ids().iter().any(|id| id == ids[at]);
                        let started = children.start(probes[at].child(ids[at], &addrs[at])).await;
                        assert_eq!(started.is_err(), there);
                        if let Ok(epoch) = started {
                            assert!(newest.replace(epoch).is_none_or(|before| before < epoch));
                        }
                    }
                    2 => {
                        let there = children.ids().iter().any(|id| id == ids[at]);
                        assert_eq!(children.stop(ids[at], SECOND).await.is_ok(), there);
                        assert_eq!(probes[at].alive(), 0);
                    }
                    _ => {
                        kill(&addrs[at]);
                        tokio::time::sleep(Duration::from_millis(100 * wait)).await;
                    }
                }
                assert!(probes.iter().all(|probe| probe.most_alive() <= 1));
            }
            assert!(system.drain(SECOND).await.is_clean());
            assert!(probes.iter().all(|probe| probe.alive() == 0));
        });
    }
}
