//! The world around a machine, which is also the reference: who lives, who was asked, who ended.

mod obedience;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::super::*;
use crate::{Restart, Strategy};

pub(super) const STEP: Duration = Duration::from_millis(100);
pub(super) const PATIENCE: Duration = Duration::from_millis(700);
pub(super) const GRACE: Duration = Duration::from_millis(200);
pub(super) const INTENSITY: Intensity = Intensity {
    restarts: 4,
    within: Duration::from_secs(2),
};

#[derive(Clone, Debug)]
pub(super) enum Op {
    /// The `n`-th living child ends.
    End(usize, Exit),
    /// The end of the `n`-th living child begins.
    Begin(usize, Exit),
    /// What was asked of the `n`-th child that owes something happens: it starts, or is gone.
    Obey(usize),
    FailStart(usize),
    /// The `n`-th child that was killed, or has begun to end, blocks its thread and will never be gone.
    Wedge(usize),
    /// To a dynamic supervisor: one more child, or the `n`-th living one is to leave.
    Insert(Policy),
    Remove(usize, Option<u32>),
    Stall(usize),
    Later(u32),
    Stop(u32),
}

/// The world around the machine, which also is the reference.
pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) strategy: Strategy,
    pub(super) policies: Vec<Policy>,
    pub(super) now: Instant,
    /// Living incarnations, and whether they are up.
    pub(super) alive: BTreeMap<Key, (Epoch, bool)>,
    pub(super) drained: BTreeSet<Key>,
    pub(super) killed: BTreeSet<Key>,
    /// Their end has begun.
    pub(super) ending: BTreeMap<Key, Exit>,
    /// Killed or ending, and will never be gone; then given up.
    pub(super) wedged: BTreeSet<Key>,
    pub(super) lost: BTreeSet<Key>,
    pub(super) dynamic: bool,
    pub(super) starts: BTreeMap<Key, u32>,
    pub(super) was_up: BTreeSet<Key>,
    /// Ended for good.
    pub(super) done: BTreeSet<Key>,
    pub(super) waits: Vec<(Key, Instant)>,
    pub(super) up: bool,
    pub(super) stopping: bool,
    pub(super) end: Option<Exit>,
}

impl World {
    pub(super) fn new(strategy: Strategy, policies: Vec<Policy>) -> Self {
        Self::of(strategy, policies, false)
    }

    /// A dynamic supervisor, empty so far.
    pub(super) fn dynamic() -> Self {
        Self::of(Strategy::OneForOne, Vec::new(), true)
    }

    fn of(strategy: Strategy, policies: Vec<Policy>, dynamic: bool) -> Self {
        let backoff = Backoff {
            min: STEP,
            max: 4 * STEP,
            jitter: 0.0,
            reset_after: 100 * STEP,
        };
        let rules = Rules {
            strategy,
            dynamic,
            intensity: INTENSITY,
            backoff,
            patience: PATIENCE,
            kill_grace: GRACE,
        };
        let mut machine = Machine::new(rules, || 0.0);
        for policy in &policies {
            machine.add("child".into(), *policy);
        }
        let mut world = Self {
            machine,
            strategy,
            policies,
            now: Instant::now(),
            alive: BTreeMap::new(),
            drained: BTreeSet::new(),
            killed: BTreeSet::new(),
            ending: BTreeMap::new(),
            wedged: BTreeSet::new(),
            lost: BTreeSet::new(),
            dynamic,
            starts: BTreeMap::new(),
            was_up: BTreeSet::new(),
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

    pub(super) fn obey(&mut self, acts: Vec<Act>) {
        for act in acts {
            assert!(self.end.is_none(), "{act:?} after the end");
            match act {
                Act::Start { key, epoch, again } => self.on_start(key, epoch, again),
                Act::Drain { key, .. } => {
                    self.check_stop_order(key);
                    assert!(self.alive.contains_key(&key) && !self.ending.contains_key(&key));
                    self.drained.insert(key);
                }
                Act::Kill { key } => {
                    assert!(self.alive.contains_key(&key));
                    self.killed.insert(key);
                }
                Act::Wait { key, .. } => self.waits.push((key, self.now)),
                Act::Done { key } => assert!(self.done.insert(key)),
                Act::Up => {
                    assert!(!self.up, "up twice");
                    self.up = true;
                }
                Act::End { exit, stuck } => {
                    assert!(
                        self.alive.is_empty() && stuck != self.lost.is_empty(),
                        "ended over {:?}",
                        self.alive
                    );
                    self.end = Some(exit);
                }
                Act::Overran { key } | Act::NotReached { key } => {
                    assert!(self.alive.contains_key(&key))
                }
                Act::Stuck { key } => {
                    assert!(
                        self.wedged.remove(&key),
                        "{key} was given up and could be gone"
                    );
                    self.alive.remove(&key);
                    self.killed.remove(&key);
                    self.drained.remove(&key);
                    self.ending.remove(&key);
                    self.lost.insert(key);
                }
                Act::Forget { key } => {
                    assert!(
                        self.dynamic,
                        "child {key} was forgotten by a static supervisor"
                    );
                    assert!(!self.alive.contains_key(&key), "{key} was forgotten alive");
                    assert!(self.done.insert(key));
                }
            }
        }
    }

    pub(super) fn on_start(&mut self, key: Key, epoch: Epoch, again: bool) {
        assert!(!self.alive.contains_key(&key), "two incarnations of {key}");
        assert!(!self.done.contains(&key), "{key} had ended for good");
        assert!(
            self.lost.is_empty(),
            "{key} starts beside one that is stuck"
        );
        assert_eq!(again, self.starts.contains_key(&key));
        let temporary = self.policies[key as usize].restart == Restart::Temporary;
        assert!(
            !temporary || !self.was_up.contains(&key),
            "{key} is temporary and was up before"
        );
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
    pub(super) fn check_stop_order(&self, key: Key) {
        let ordered = self.stopping || self.strategy != Strategy::OneForOne;
        // Dynamic children have no order, and who is stuck has cost the time for it.
        if ordered && !self.dynamic && self.lost.is_empty() {
            assert!(
                self.alive.range(key + 1..).next().is_none(),
                "{key} is asked before later ones are gone"
            );
        }
    }

    pub(super) fn gone(&mut self, key: Key, exit: Exit) {
        if let Some((epoch, _)) = self.alive.remove(&key) {
            self.drained.remove(&key);
            self.killed.remove(&key);
            self.wedged.remove(&key);
            self.ending.remove(&key);
            let acts = self.machine.gone(key, epoch, &exit, self.now);
            self.obey(acts);
            let late = self.machine.gone(key, epoch, &exit, self.now);
            assert!(late.is_empty(), "news of an old incarnation change nothing");
        }
    }

    pub(super) fn apply(&mut self, op: Op) {
        let owing: Vec<Key> = self
            .alive
            .iter()
            .filter(|(key, (_, up))| self.owes(**key, *up))
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
            Op::Begin(n, exit) => {
                let stayed = |key: &Key| !self.killed.contains(key) && !self.drained.contains(key);
                let stayed: Vec<Key> = up.iter().copied().filter(stayed).collect();
                if let Some(key) = pick(&stayed, n) {
                    let epoch = self.alive[&key].0;
                    self.ending.entry(key).or_insert(exit.clone());
                    let acts = self.machine.ending(key, epoch, &exit, self.now);
                    assert!(acts.is_empty(), "it is waited for");
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
                        STEP,
                        Exit::Failed("still".to_owned()),
                        self.now,
                    );
                    self.obey(acts);
                }
            }
            Op::Later(steps) => {
                // A killed child goes soon, whatever else takes long, and so does one that ends.
                let going = |world: &Self| {
                    let mut going = world.killed.iter().chain(world.ending.keys());
                    going.find(|key| !world.wedged.contains(key)).copied()
                };
                while let Some(key) = going(self) {
                    self.obey_one(key);
                }
                self.now += STEP * steps;
                let acts = self.machine.tick(self.now);
                self.obey(acts);
            }
            Op::Wedge(n) => {
                let going = self.killed.iter().chain(self.ending.keys());
                let going: Vec<Key> = going.copied().collect();
                self.wedged.extend(pick(&going, n));
            }
            Op::Insert(policy) => {
                let (key, acts) = self.machine.insert("child".into(), policy, self.now);
                assert!(
                    key.is_none() || !self.stopping,
                    "{key:?} starts while all stop"
                );
                if let Some(key) = key {
                    assert_eq!(key, self.policies.len() as Key);
                    self.policies.push(policy);
                }
                self.obey(acts);
            }
            Op::Remove(n, steps) => {
                let living: Vec<Key> = self.alive.keys().copied().collect();
                if let Some(key) = pick(&living, n) {
                    let until = steps.map(|steps| self.now + STEP * steps);
                    let acts = self.machine.remove(key, until, self.now);
                    self.obey(acts);
                }
            }
            Op::Stop(steps) => {
                self.stopping = true;
                let acts = self
                    .machine
                    .stop(Some(self.now + STEP * steps), false, self.now);
                self.obey(acts);
            }
        }
        self.check_window();
    }

    /// No window holds more counted failures than allowed.
    pub(super) fn check_window(&self) {
        for (at, (key, last)) in self.waits.iter().enumerate() {
            let within = self.waits[..=at]
                .iter()
                .filter(|(other, first)| {
                    *last - *first <= INTENSITY.within && (!self.dynamic || other == key)
                })
                .count();
            assert!(
                within <= INTENSITY.restarts as usize,
                "{within} restarts in a window"
            );
        }
    }
}
