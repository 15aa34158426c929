//! Random lives of pipelines: lanes are pushed to, revoked and assigned again, drained half way and
//! started once more, while sources, steps, the failed handler and writes fail, panic and hang.

mod world;

use std::time::Duration;

use actors::testkit::{Callback, Fault, unsettled_and_twice, until_within};
use actors::{Cost, System};
use proptest::prelude::*;
use proptest::strategy::Strategy as Random;

use super::{Plan, config, plan, virtual_time};
use crate::support::SECOND;
use world::{LANES, World};

#[derive(Clone, Debug)]
enum Turn {
    Push(usize),
    Close(usize, u64),
    Open(usize),
    Pause(bool),
    Flush,
    Resize(usize),
    /// Records in a second; absent, as many as there are.
    Rate(Option<u32>),
    /// A part of the pipeline, by an outsider.
    Kill(&'static str),
    Later(u64),
}

const PARTS: &[&str] = &[
    "work-0", "work-1", "write-0", "write-1", "lanes/0", "lanes/1",
];

fn turns() -> impl Random<Value = Vec<Turn>> {
    let kill = prop::sample::select(PARTS).prop_map(Turn::Kill);
    let turn = prop_oneof![1 => kill, 16 => calm_turn()];
    proptest::collection::vec(turn, 0..40)
}

/// Nobody is harmed.
fn calm_turn() -> impl Random<Value = Turn> {
    prop_oneof![
        6 => (0..LANES).prop_map(Turn::Push),
        1 => (0..LANES, 0..2u64).prop_map(|(lane, seconds)| Turn::Close(lane, seconds)),
        2 => (0..LANES).prop_map(Turn::Open),
        1 => any::<bool>().prop_map(Turn::Pause),
        1 => Just(Turn::Flush),
        1 => (1..40usize).prop_map(Turn::Resize),
        1 => proptest::option::of(1..200u32).prop_map(Turn::Rate),
        3 => (0..300u64).prop_map(Turn::Later),
        1 => (2000..5000u64).prop_map(Turn::Later),
    ]
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

/// For so long that the watchdog has the lane delivered again meanwhile, and for ever.
const HANGS: &[Fault] = &[Fault::Slow(Duration::from_secs(12)), Fault::Hang];

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
    world.check_settled(&pipeline);
    world.finish(&pipeline).await;
    let (pipeline, spec) = world.build(&shapes[1]);
    let system = System::start("t", spec).await.unwrap();
    world.live(&pipeline, second).await;
    world.faults.clear();
    pipeline.set_rate(None);
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
    world.check_settled(&pipeline);
    world.finish(&pipeline).await;
    world.take_passed();
    world.check();
}

proptest! {
    #![proptest_config(config(250))]

    #[test]
    fn a_pipeline_settles_everything_once_and_in_order_whatever_happens(
        lives in [turns(), turns()],
        plan in plan(CALLBACKS, HANGS, 8),
        shapes in [shapes(), shapes()],
        patience in 0..5u32,
    ) {
        virtual_time(live(lives, plan, shapes, patience));
    }

    /// Where nobody fails, nobody is left with anything.
    #[test]
    fn nothing_is_unsettled_when_the_drain_of_a_calm_pipeline_ends(
        turns in proptest::collection::vec(calm_turn(), 0..40),
        shape in shapes(),
        patience in 0..5u32,
    ) {
        virtual_time(async {
            let mut world = World::new(&Plan::new());
            let (pipeline, spec) = world.build(&shape);
            let system = System::start("t", spec).await.unwrap();
            world.live(&pipeline, turns).await;
            let report = system.drain(SECOND * patience).await;
            if report.is_clean() {
                assert_eq!(unsettled_and_twice(&pipeline), (0, 0));
                assert_eq!(world.under_way(), 0);
            }
            // Who comes late is killed, and what it held is settled with it; but for writes.
            world.check_settled(&pipeline);
        });
    }
}
