//! Random lives of pipelines: lanes are pushed to, revoked and assigned again, drained half way and
//! started once more, while sources, steps, the failed handler and writes fail, panic and hang.

mod world;

use std::time::Duration;

use actors::testkit::{Callback, Fault, unsettled_and_twice, until_within};
use actors::{Casualty, Cost, Exit, System};
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
    // A lane without records may still hang in its opening, and has the rest of its time for that.
    let hangs = |casualty: &Casualty| matches!(casualty.exit, Exit::StartFailed(_));
    assert!(
        report.exit == Exit::Drained
            && report.laggards.is_empty()
            && report.failed.iter().all(hangs),
        "{report:?}"
    );
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

/// Lives that went wrong once.
mod remembered {
    use super::Turn::{Close, Kill, Later, Push, Resize};
    use super::*;

    fn shape(workers: usize, writers: usize, count: usize, per_key: bool) -> Shape {
        Shape {
            workers,
            writers,
            count,
            per_key,
        }
    }

    /// A step panicked on a record, the failed handler did not decide about it, and a later record of its
    /// key was written before it was delivered again and its step did its work.
    #[test]
    fn the_handler_panicked_about_a_record_whose_step_had_panicked() {
        let first = vec![
            Push(0),
            Push(1),
            Close(0, 0),
            Kill("write-0"),
            Push(1),
            Resize(23),
            Close(2, 0),
            Push(1),
            Later(61),
            Push(1),
            Push(1),
            Push(1),
            Push(1),
        ];
        let plan = vec![
            (Callback::Named("step"), 28, Fault::Panic),
            (Callback::Named("decide"), 9, Fault::Panic),
        ];
        let shapes = [shape(1, 3, 4, false), shape(1, 1, 1, false)];
        virtual_time(live([first, vec![]], plan, shapes, 1));
    }

    #[test]
    fn the_handler_hung_over_a_record_whose_step_had_panicked() {
        let first = vec![
            Push(0),
            Push(0),
            Push(0),
            Resize(4),
            Push(2),
            Push(2),
            Later(228),
            Later(142),
        ];
        let plan = vec![
            (Callback::Named("step"), 24, Fault::Panic),
            (Callback::Named("decide"), 8, Fault::Hang),
            (Callback::Named("step"), 18, Fault::Panic),
        ];
        let shapes = [shape(1, 1, 2, false), shape(1, 1, 1, false)];
        virtual_time(live([first, vec![]], plan, shapes, 0));
    }

    /// A lane hung while it opened, and the drain gave it half a minute instead of what was left of the
    /// time it had to open.
    #[test]
    fn a_lane_was_drained_while_it_hung_in_its_opening() {
        // Three opened in the first life and three in the second, and then this one once more.
        let plan = vec![(Callback::Named("open"), 7, Fault::Hang)];
        let second = vec![Kill("lanes/1"), Later(200)];
        let shapes = [shape(1, 1, 1, false), shape(1, 1, 1, false)];
        virtual_time(live([vec![], second], plan, shapes, 3));
    }
}
