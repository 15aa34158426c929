//! Random lives of a supervisor against a simple reference: who may be alive when, who is started
//! again and who never, and that everything comes to an end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::{Restart, Shutdown};

const STEP: Duration = Duration::from_millis(100);
const INTENSITY: Intensity = Intensity {
    restarts: 4,
    within: Duration::from_secs(2),
};

#[derive(Clone, Debug)]
enum Op {
    /// The `n`-th living child ends.
    End(usize, Exit),
    /// What was asked of the `n`-th child that owes something happens: it starts, or is gone.
    Obey(usize),
    FailStart(usize),
    Stall(usize),
    Later(u32),
    Stop(u32),
}

/// The world around the machine, which also is the reference.
struct World {
    machine: Machine,
    strategy: Strategy,
    policies: Vec<Policy>,
    now: Instant,
    /// Living incarnations, and whether they are up.
    alive: BTreeMap<Key, (Epoch, bool)>,
    drained: BTreeSet<Key>,
    killed: BTreeSet<Key>,
    starts: BTreeMap<Key, u32>,
    /// Ended for good.
    done: BTreeSet<Key>,
    waits: Vec<Instant>,
    up: bool,
    stopping: bool,
    end: Option<Exit>,
}

impl World {
    fn new(strategy: Strategy, policies: Vec<Policy>) -> Self {
        let backoff = Backoff {
            min: STEP,
            max: 4 * STEP,
            jitter: 0.0,
            reset_after: 100 * STEP,
        };
        let mut machine = Machine::new(strategy, false, INTENSITY, backoff, || 0.0);
        for policy in &policies {
            machine.add("child", *policy);
        }
        let mut world = Self {
            machine,
            strategy,
            policies,
            now: Instant::now(),
            alive: BTreeMap::new(),
            drained: BTreeSet::new(),
            killed: BTreeSet::new(),
            starts: BTreeMap::new(),
            done: BTreeSet::new(),
            waits: Vec::new(),
            up: false,
            stopping: false,
            end: None,
        };
        let acts = world.machine.boot(world.now);
        world.obey(acts);
        world
    }

    fn obey(&mut self, acts: Vec<Act>) {
        for act in acts {
            assert!(self.end.is_none(), "{act:?} after the end");
            match act {
                Act::Start { key, epoch, again } => self.on_start(key, epoch, again),
                Act::Drain { key, .. } => {
                    self.check_stop_order(key);
                    assert!(self.alive.contains_key(&key));
                    self.drained.insert(key);
                }
                Act::Kill { key } => {
                    assert!(self.alive.contains_key(&key));
                    self.killed.insert(key);
                }
                Act::Wait { .. } => self.waits.push(self.now),
                Act::Done { key } => assert!(self.done.insert(key)),
                Act::Up => {
                    assert!(!self.up, "up twice");
                    self.up = true;
                }
                Act::End { exit, stuck } => {
                    assert!(
                        self.alive.is_empty() && !stuck,
                        "ended over {:?}",
                        self.alive
                    );
                    self.end = Some(exit);
                }
                Act::Overran { key } | Act::NotReached { key } => {
                    assert!(self.alive.contains_key(&key))
                }
                Act::Stuck { key } => panic!("child {key} is stuck, but every killed child goes"),
                Act::Forget { key } => panic!("child {key} was forgotten by a static supervisor"),
            }
        }
    }

    fn on_start(&mut self, key: Key, epoch: Epoch, again: bool) {
        assert!(!self.alive.contains_key(&key), "two incarnations of {key}");
        assert!(!self.done.contains(&key), "{key} had ended for good");
        assert_eq!(again, self.starts.contains_key(&key));
        assert!(!again || self.policies[key as usize].restart != Restart::Temporary);
        if self.strategy != Strategy::OneForOne {
            assert!(
                self.alive.range(key..).next().is_none(),
                "{key} starts under a later one that lives"
            );
            for earlier in 0..key {
                let up = self.alive.get(&earlier).is_some_and(|(_, up)| *up);
                assert!(
                    up || self.done.contains(&earlier),
                    "{key} starts before {earlier} is up"
                );
            }
        }
        self.alive.insert(key, (epoch, false));
        *self.starts.entry(key).or_default() += 1;
    }

    /// Within a stop of all, and in a round, later ones are gone before earlier ones are asked.
    fn check_stop_order(&self, key: Key) {
        if self.stopping || self.strategy != Strategy::OneForOne {
            assert!(
                self.alive.range(key + 1..).next().is_none(),
                "{key} is asked before later ones are gone"
            );
        }
    }

    fn gone(&mut self, key: Key, exit: Exit) {
        if let Some((epoch, _)) = self.alive.remove(&key) {
            self.drained.remove(&key);
            self.killed.remove(&key);
            let acts = self.machine.gone(key, epoch, &exit, self.now);
            self.obey(acts);
            let late = self.machine.gone(key, epoch, &exit, self.now);
            assert!(late.is_empty(), "news of an old incarnation change nothing");
        }
    }

    fn apply(&mut self, op: Op) {
        let owing: Vec<Key> = self
            .alive
            .iter()
            .filter(|(key, (_, up))| !up || self.drained.contains(key) || self.killed.contains(key))
            .map(|(key, _)| *key)
            .collect();
        let pick = |from: &[Key], n: usize| (!from.is_empty()).then(|| from[n % from.len()]);
        let up: Vec<Key> = self
            .alive
            .iter()
            .filter(|(_, (_, up))| *up)
            .map(|(key, _)| *key)
            .collect();
        match op {
            Op::End(n, exit) => {
                if let Some(key) = pick(&up, n) {
                    self.gone(key, exit);
                }
            }
            Op::Obey(n) => {
                if let Some(key) = pick(&owing, n) {
                    self.obey_one(key);
                }
            }
            Op::FailStart(n) => {
                if let Some(key) = pick(&owing, n).filter(|key| !self.alive[key].1) {
                    self.gone(key, Exit::StartFailed("no".to_owned()));
                }
            }
            Op::Stall(n) => {
                if let Some(key) = pick(&up, n) {
                    let epoch = self.alive[&key].0;
                    let acts = self.machine.stalled(
                        key,
                        epoch,
                        Exit::Failed("still".to_owned()),
                        self.now,
                    );
                    self.obey(acts);
                }
            }
            Op::Later(steps) => {
                self.now += STEP * steps;
                let acts = self.machine.tick(self.now);
                self.obey(acts);
            }
            Op::Stop(steps) => {
                self.stopping = true;
                let acts = self.machine.stop(Some(self.now + STEP * steps), self.now);
                self.obey(acts);
            }
        }
        self.check_window();
    }

    fn obey_one(&mut self, key: Key) {
        let (epoch, up) = self.alive[&key];
        if self.killed.contains(&key) {
            self.gone(key, Exit::Killed);
        } else if !up {
            self.alive.insert(key, (epoch, true));
            let acts = self.machine.started(key, epoch, self.now);
            self.obey(acts);
        } else {
            self.gone(key, Exit::Drained);
        }
    }

    /// No window holds more counted failures than allowed.
    fn check_window(&self) {
        for (at, last) in self.waits.iter().enumerate() {
            let within = self.waits[..=at]
                .iter()
                .filter(|first| *last - **first <= INTENSITY.within)
                .count();
            assert!(
                within <= INTENSITY.restarts as usize,
                "{within} restarts in a window"
            );
        }
    }

    /// Everybody does what is asked, until nothing happens any more.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let owing = self.alive.iter().find(|(key, (_, up))| {
                !up || self.drained.contains(key) || self.killed.contains(key)
            });
            if let Some((key, _)) = owing {
                let key = *key;
                self.obey_one(key);
            } else if let Some(at) = self.machine.next_tick() {
                self.now = self.now.max(at);
                let acts = self.machine.tick(self.now);
                self.obey(acts);
            } else {
                return;
            }
        }
        panic!("never comes to rest");
    }
}

fn exits() -> impl Strategy_<Value = Exit> {
    prop_oneof![
        Just(Exit::Normal),
        Just(Exit::Failed("broken".to_owned())),
        Just(Exit::Panicked("boom".to_owned())),
        Just(Exit::KilledByOthers),
    ]
}

use proptest::strategy::Strategy as Strategy_;

fn ops() -> impl Strategy_<Value = Op> {
    prop_oneof![
        3 => (any::<usize>(), exits()).prop_map(|(n, exit)| Op::End(n, exit)),
        6 => any::<usize>().prop_map(Op::Obey),
        1 => any::<usize>().prop_map(Op::FailStart),
        1 => any::<usize>().prop_map(Op::Stall),
        4 => (1..8u32).prop_map(Op::Later),
    ]
}

fn policies() -> impl Strategy_<Value = Vec<Policy>> {
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
    let policy =
        (restart, shutdown, start_within).prop_map(|(restart, shutdown, start_within)| Policy {
            restart,
            shutdown,
            start_within,
            keeps_deadlines: false,
        });
    proptest::collection::vec(policy, 1..5)
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
    fn one_for_one_restarts_exactly_the_children_that_have_to_be(
        policies in policies(),
        ends in proptest::collection::vec((any::<usize>(), exits()), 0..20),
    ) {
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
