//! The decisions of a supervisor. In: news of children, orders and the time. Out: acts for the shell
//! to carry out.
//!
//! Pure: imports neither tokio nor ractor; time and chance are passed in. At most one group round
//! (stop, wait, start) runs at a time and later triggers are merged into it.

mod life;
mod rounds;
mod slot;
mod stops;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::restart::Window;
use crate::{Backoff, Epoch, Exit, Intensity, Strategy};
use rounds::Mode;
pub(crate) use slot::Policy;
use slot::{Phase, Slot};

/// Names a child for life; rises in the order of their start.
pub(crate) type Key = u64;

/// The timer of the group round; no child ever has it.
const ROUND: Key = Key::MAX;

/// What the shell has to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Act {
    Start {
        key: Key,
        epoch: Epoch,
        again: bool,
    },
    Drain {
        key: Key,
        until: Option<Instant>,
        /// A supervisor began it, and nobody from outside: it has to end by itself.
        own: bool,
    },
    Kill {
        key: Key,
    },
    /// Its time to drain is over; the kill follows.
    Overran {
        key: Key,
    },
    /// The shared time was over before it was asked to drain; the kill follows.
    NotReached {
        key: Key,
    },
    /// Killed, and still there.
    Stuck {
        key: Key,
    },
    /// Waits for its restart.
    Wait {
        key: Key,
        delay: Duration,
    },
    /// Will not be started again, but keeps its place.
    Done {
        key: Key,
    },
    /// A dynamic child leaves.
    Forget {
        key: Key,
    },
    /// Every child of the first start is up.
    Up,
    /// Nothing is left alive, or only what would not die.
    End {
        exit: Exit,
        stuck: bool,
    },
}

/// What the supervisor's specification says that matters to decisions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) strategy: Strategy,
    pub(crate) dynamic: bool,
    pub(crate) intensity: Intensity,
    pub(crate) backoff: Backoff,
    /// For a child without a limit of its own, in a stop the supervisor began itself.
    pub(crate) patience: Duration,
    /// How long a killed child may take to be gone. A child is gone at its next await point, so one
    /// that is not sits in blocking code and cannot be ended by anybody.
    pub(crate) kill_grace: Duration,
}

/// Pure supervisor.
pub(crate) struct Machine {
    rules: Rules,
    /// Restarts of all static children; a dynamic child has a window of its own, since its siblings
    /// have nothing to do with it but a cause they may share.
    window: Window,
    chance: fn() -> f64,
    slots: BTreeMap<Key, Slot>,
    next_key: Key,
    alive: usize,
    stuck: bool,
    timers: BTreeSet<(Instant, Key)>,
    mode: Mode,
    acts: Vec<Act>,
}

impl Machine {
    pub(crate) fn new(rules: Rules, chance: fn() -> f64) -> Self {
        Self {
            rules,
            window: Window::new(rules.intensity),
            chance,
            slots: BTreeMap::new(),
            next_key: 0,
            alive: 0,
            stuck: false,
            timers: BTreeSet::new(),
            mode: Mode::boot(),
            acts: Vec::new(),
        }
    }

    /// Adds a child to the list, before [`boot`](Self::boot).
    pub(crate) fn add(&mut self, name: Arc<str>, policy: Policy) -> Key {
        let key = self.next_key;
        self.next_key += 1;
        self.slots
            .insert(key, Slot::new(name, policy, self.window.clone()));
        key
    }

    pub(crate) fn boot(&mut self, now: Instant) -> Vec<Act> {
        self.advance(now);
        self.done()
    }

    /// A dynamic child is to be started now. `None` while stopping.
    pub(crate) fn insert(
        &mut self,
        name: Arc<str>,
        policy: Policy,
        now: Instant,
    ) -> (Option<Key>, Vec<Act>) {
        if self.mode.is_stopping() {
            return (None, Vec::new());
        }
        let key = self.add(name, policy);
        self.start(key, now);
        self.advance(now);
        (Some(key), self.done())
    }

    /// A dynamic child is to be drained, all by itself, and to leave.
    pub(crate) fn remove(&mut self, key: Key, until: Option<Instant>, now: Instant) -> Vec<Act> {
        let Some(slot) = self.slots.get_mut(&key) else {
            return Vec::new();
        };
        slot.leaving = true;
        match slot.phase {
            Phase::Starting | Phase::Running => self.ask_to_stop(key, until, false, now),
            Phase::Draining => {
                self.tighten(key, until, false, now);
            }
            Phase::Killed | Phase::Ending => {}
            Phase::Down | Phase::Backoff | Phase::Done => self.forget(key),
        }
        self.done()
    }

    pub(crate) fn started(&mut self, key: Key, epoch: Epoch, now: Instant) -> Vec<Act> {
        if let Some(slot) = self
            .slots
            .get_mut(&key)
            .filter(|slot| slot.epoch == Some(epoch))
        {
            slot.fresh = false;
            slot.streak.up(now);
            (slot.up, slot.up_by) = (true, None);
            match slot.phase {
                Phase::Starting => {
                    slot.phase = Phase::Running;
                    self.disarm(key);
                }
                // The limit of its start holds no more, that of its drain does.
                Phase::Draining => {
                    let drained_by = slot.drained_by;
                    self.disarm(key);
                    if let Some(drained_by) = drained_by {
                        self.arm(key, drained_by);
                    }
                }
                _ => {}
            }
            self.advance(now);
        }
        self.done()
    }

    /// A child makes no progress for `quiet`: it is killed, and that counts as its failure. A stall
    /// costs its time, so stalls are also counted in a window that is longer by it.
    pub(crate) fn stalled(
        &mut self,
        key: Key,
        epoch: Epoch,
        quiet: Duration,
        why: Exit,
        now: Instant,
    ) -> Vec<Act> {
        let Rules {
            intensity, backoff, ..
        } = self.rules;
        let Some(slot) = self
            .slots
            .get_mut(&key)
            .filter(|slot| slot.epoch == Some(epoch) && slot.phase == Phase::Running)
        else {
            return self.done();
        };
        let allowed = slot
            .stalls
            .get_or_insert_with(|| Window::new(intensity.stretched(quiet, backoff.max)))
            .allows(now);
        let cause = (!allowed).then(|| self.cause(key, &why));
        self.condemn(key, why, now);
        if let Some(cause) = cause {
            self.begin_stop(Exit::MeltedDown(cause), None, true, now);
            self.advance(now);
        }
        self.done()
    }

    /// Why a child was killed that was not asked to stop: this, and not the kill, is how it ended.
    pub(crate) fn verdict(&self, key: Key, epoch: Epoch) -> Option<&Exit> {
        self.slots
            .get(&key)
            .filter(|slot| slot.epoch == Some(epoch))?
            .verdict
            .as_ref()
    }

    /// Whether it is up, and nothing says that it ends.
    pub(crate) fn is_running(&self, key: Key) -> bool {
        let slot = self.slots.get(&key);
        slot.is_some_and(|slot| slot.phase == Phase::Running)
    }

    /// The end of a child has begun: what it still holds is being dropped. That may block its thread, as
    /// what a killed one does, so it gets the same time.
    pub(crate) fn ending(&mut self, key: Key, epoch: Epoch, exit: &Exit, now: Instant) -> Vec<Act> {
        let until = now + self.rules.kill_grace;
        let Some(slot) = self
            .slots
            .get_mut(&key)
            .filter(|slot| slot.epoch == Some(epoch))
        else {
            return self.done();
        };
        match slot.phase {
            Phase::Starting | Phase::Running => {
                slot.phase = Phase::Ending;
                slot.ending = Some(exit.clone());
                self.arm(key, until);
            }
            // It is part of the drain, which mostly has a limit.
            Phase::Draining if slot.armed.is_none() => {
                slot.drained_by = Some(until);
                self.arm(key, until);
            }
            _ => {}
        }
        self.done()
    }

    pub(crate) fn gone(&mut self, key: Key, epoch: Epoch, exit: &Exit, now: Instant) -> Vec<Act> {
        self.over(key, epoch, exit, false, now)
    }

    /// A supervisor gave up over somebody who is still there. Nothing may take that one's place, so
    /// nothing may be started above it either.
    pub(crate) fn left(&mut self, key: Key, epoch: Epoch, exit: &Exit, now: Instant) -> Vec<Act> {
        self.over(key, epoch, exit, true, now)
    }

    fn over(&mut self, key: Key, epoch: Epoch, exit: &Exit, left: bool, now: Instant) -> Vec<Act> {
        let Some(slot) = self
            .slots
            .get_mut(&key)
            .filter(|slot| slot.epoch == Some(epoch) && slot.phase.is_alive())
        else {
            return Vec::new();
        };
        let was = std::mem::replace(&mut slot.phase, Phase::Down);
        let verdict = slot.verdict.take();
        slot.ending = None;
        let asked = slot.asked || (was == Phase::Killed && verdict.is_none());
        let starting = !slot.up;
        let exit = verdict.as_ref().unwrap_or(exit);
        let (fresh, leaving) = (slot.fresh, slot.leaving);
        self.alive -= 1;
        self.disarm(key);
        self.stuck |= left;
        if left && !self.mode.is_stopping() {
            self.begin_stop(Exit::MeltedDown(self.cause(key, exit)), None, true, now);
        }
        if leaving || (self.rules.dynamic && fresh) {
            self.forget(key);
        } else if !self.mode.is_stopping() && !asked {
            self.ended_by_itself(key, starting, exit, now);
        }
        self.advance(now);
        self.done()
    }

    /// Stops everything, drained, in reverse order, until the deadline; pending restarts are cancelled.
    /// `own`: a supervisor above began it, so nobody here is given for ever.
    pub(crate) fn stop(&mut self, deadline: Option<Instant>, own: bool, now: Instant) -> Vec<Act> {
        self.begin_stop(Exit::Drained, deadline, own, now);
        self.advance(now);
        self.done()
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Act> {
        while let Some((at, key)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, key));
            self.due(key, now);
        }
        self.advance(now);
        self.done()
    }

    /// The room of acts that were carried out, to be used again.
    pub(crate) fn take_back(&mut self, room: Vec<Act>) {
        if self.acts.is_empty() {
            self.acts = room;
        }
    }

    /// When [`tick`](Self::tick) is to be called next.
    pub(crate) fn next_tick(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }
}
