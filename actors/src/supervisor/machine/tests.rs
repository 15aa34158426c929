//! Random lives of a supervisor against a simple reference: who may be alive when, who is started
//! again and who never, and that everything comes to an end.

mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::Strategy as Strategy_;

use super::*;
use crate::{Restart, Shutdown, Strategy};
use world::{INTENSITY, Op, STEP, World};

fn exits() -> impl Strategy_<Value = Exit> {
    prop_oneof![
        Just(Exit::Normal),
        Just(Exit::Failed("broken".to_owned())),
        Just(Exit::Panicked("boom".to_owned())),
        Just(Exit::KilledByOthers),
    ]
}

fn ops() -> impl Strategy_<Value = Op> {
    prop_oneof![
        3 => (any::<usize>(), exits()).prop_map(|(n, exit)| Op::End(n, exit)),
        2 => (any::<usize>(), exits()).prop_map(|(n, exit)| Op::Begin(n, exit)),
        6 => any::<usize>().prop_map(Op::Obey),
        1 => any::<usize>().prop_map(Op::FailStart),
        1 => any::<usize>().prop_map(Op::Stall),
        1 => any::<usize>().prop_map(Op::Wedge),
        4 => (1..8u32).prop_map(Op::Later),
    ]
}

fn policies() -> impl Strategy_<Value = Vec<Policy>> {
    proptest::collection::vec(policy(), 1..5)
}

fn policy() -> impl Strategy_<Value = Policy> {
    let restart = prop_oneof![
        Just(Restart::Permanent),
        Just(Restart::Transient),
        Just(Restart::Temporary)
    ];
    let shutdown = prop_oneof![
        Just(Shutdown::Kill),
        Just(Shutdown::Drain(3 * STEP)),
        Just(Shutdown::Infinity)
    ];
    let start_within = prop_oneof![Just(None), Just(Some(5 * STEP))];
    let (vital, keeps) = (prop::bool::weighted(0.1), prop::bool::weighted(0.3));
    (restart, shutdown, start_within, vital, keeps).prop_map(
        |(restart, shutdown, start_within, vital, keeps_deadlines)| Policy {
            restart,
            shutdown,
            start_within,
            vital,
            keeps_deadlines,
            under: keeps_deadlines.then_some(4 * STEP),
        },
    )
}

fn strategies() -> impl Strategy_<Value = Strategy> {
    prop_oneof![
        Just(Strategy::OneForOne),
        Just(Strategy::RestForOne),
        Just(Strategy::OneForAll)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_random_life_keeps_order_counts_and_ends(
        strategy in strategies(),
        policies in policies(),
        life in proptest::collection::vec(ops(), 0..60),
        deadline in 0..20u32,
        after in proptest::collection::vec(ops(), 0..10),
    ) {
        let mut world = World::new(strategy, policies);
        for op in life {
            world.apply(op);
        }
        world.apply(Op::Stop(deadline));
        for op in after {
            world.apply(op);
        }
        world.settle();
        prop_assert!(world.end.is_some(), "asked to stop and did not");
        prop_assert!(world.machine.next_tick().is_none(), "something is still to be done after the end");
    }

    #[test]
    fn without_a_stop_everybody_is_up_or_ended_in_the_end(
        strategy in strategies(),
        policies in policies(),
        life in proptest::collection::vec(ops(), 0..60),
    ) {
        let mut world = World::new(strategy, policies);
        for op in life {
            world.apply(op);
        }
        world.settle();
        match &world.end {
            Some(exit) => prop_assert!(matches!(exit, Exit::MeltedDown(_) | Exit::StartFailed(_))),
            None => {
                prop_assert!(world.up);
                for key in 0..world.policies.len() as Key {
                    let up = world.alive.get(&key).is_some_and(|(_, up)| *up);
                    prop_assert!(up || world.done.contains(&key), "{key} was lost");
                }
            }
        }
    }

    #[test]
    fn dynamic_children_come_and_go_and_all_end_with_their_supervisor(
        life in proptest::collection::vec(
            prop_oneof![
                4 => ops(),
                2 => policy().prop_map(Op::Insert),
                1 => (any::<usize>(), proptest::option::of(0..10u32)).prop_map(|(n, steps)| Op::Remove(n, steps)),
            ],
            0..60,
        ),
        stop in proptest::option::of(0..20u32),
    ) {
        let mut world = World::dynamic();
        for op in life {
            world.apply(op);
        }
        if let Some(steps) = stop {
            world.apply(Op::Stop(steps));
        }
        world.settle();
        prop_assert!(world.end.is_some() || stop.is_none(), "asked to stop and did not");
        if world.end.is_none() {
            for key in 0..world.policies.len() as Key {
                let up = world.alive.get(&key).is_some_and(|(_, up)| *up);
                prop_assert!(up || world.done.contains(&key), "{key} was lost");
            }
        }
    }

    /// Failures that meet before anybody is started again make one round; one of a start begins it anew.
    #[test]
    fn a_round_starts_each_of_its_children_exactly_once(
        all in any::<bool>(),
        count in 2..6usize,
        rounds in proptest::collection::vec(
            (
                proptest::collection::vec((any::<usize>(), any::<bool>()), 1..4),
                proptest::option::of(any::<usize>()),
            ),
            1..6,
        ),
    ) {
        let policy = Policy {
            restart: Restart::Permanent,
            shutdown: Shutdown::Drain(3 * STEP),
            start_within: None,
            vital: false,
            keeps_deadlines: false,
            under: None,
        };
        let strategy = if all { Strategy::OneForAll } else { Strategy::RestForOne };
        let mut world = World::new(strategy, vec![policy; count]);
        world.settle();
        let mut expected = world.starts.clone();
        for (failures, start) in rounds {
            let mut first = count as Key;
            for (n, obey) in failures {
                let alive: Vec<Key> = world.alive.keys().copied().collect();
                let Some(key) = alive.get(n % alive.len().max(1)).copied() else { break };
                if !world.drained.contains(&key) {
                    first = first.min(key);
                }
                world.gone(key, Exit::Failed("broken".to_owned()));
                if let (true, Some(key)) = (obey, world.drained.first().copied()) {
                    world.obey_one(key);
                }
            }
            if all {
                first = 0;
            }
            for key in first..count as Key {
                *expected.entry(key).or_default() += 1;
            }
            if let Some(n) = start {
                let fails = first + n as Key % (count as Key - first);
                for key in if all { 0 } else { fails }..=fails {
                    *expected.entry(key).or_default() += 1;
                }
                world.settle_but(fails);
            }
            world.settle();
            prop_assert_eq!(&world.starts, &expected);
            // So that no failure is one too many.
            world.now += INTENSITY.within * 2;
        }
        prop_assert!(world.end.is_none());
    }

    #[test]
    fn one_for_one_restarts_exactly_the_children_that_have_to_be(
        mut policies in policies(),
        ends in proptest::collection::vec((any::<usize>(), exits()), 0..20),
    ) {
        for policy in &mut policies {
            policy.vital = false;
        }
        let mut world = World::new(Strategy::OneForOne, policies);
        world.settle();
        let mut expected: BTreeMap<Key, u32> = world.starts.clone();
        for (n, exit) in ends {
            let up: Vec<Key> = world.alive.keys().copied().collect();
            if up.is_empty() {
                break;
            }
            let key = up[n % up.len()];
            if world.policies[key as usize].restarts_after(&exit) {
                *expected.entry(key).or_default() += 1;
            }
            world.gone(key, exit);
            world.settle();
            // So that no failure is one too many.
            world.now += INTENSITY.within * 2;
        }
        prop_assert!(world.end.is_none());
        prop_assert_eq!(&world.starts, &expected);
    }
}
