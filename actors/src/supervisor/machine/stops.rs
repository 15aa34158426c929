//! Stopping: who is asked when, and what happens to those who take too long. In: orders to stop and
//! the time. Out: drains and kills.
//!
//! Pure: imports neither tokio nor ractor.

use std::time::Instant;

use super::rounds::Mode;
use super::{Act, Key, Machine, Phase, ROUND, Slot};
use crate::{Exit, Shutdown};

/// Beyond its deadline a supervisor gets so many times the grace of a kill, for children that block
/// their threads, before it is taken for stuck itself.
const GRACES: u32 = 3;

impl Machine {
    pub(super) fn begin_stop(
        &mut self,
        exit: Exit,
        deadline: Option<Instant>,
        own: bool,
        now: Instant,
    ) {
        // A stop that was ordered from outside keeps its own.
        let deadline = match deadline {
            None if own && !self.mode.is_stopping() => self.shared_deadline(0, now),
            deadline => deadline,
        };
        match &mut self.mode {
            Mode::Ended => return,
            Mode::Stopping {
                deadline: known,
                own: known_own,
                ..
            } => {
                // A cause that stands is not replaced, but time can get shorter.
                *known = earlier(*known, deadline);
                *known_own |= own;
            }
            _ => {
                self.mode = Mode::Stopping {
                    exit,
                    deadline,
                    own,
                    cursor: Key::MAX,
                }
            }
        }
        // No restart is pending any more, and drains that run get no more time than everybody.
        self.timers.retain(|(_, key)| *key != ROUND);
        let waiting: Vec<(Key, Phase)> = self
            .slots
            .iter()
            .filter(|(_, slot)| matches!(slot.phase, Phase::Backoff | Phase::Draining))
            .map(|(key, slot)| (*key, slot.phase))
            .collect();
        for (key, phase) in waiting {
            if phase == Phase::Backoff {
                self.disarm(key);
                slot_mut(self, key, |slot| slot.phase = Phase::Down);
            } else {
                self.tighten(key, deadline, own, now);
            }
        }
        if self.rules.dynamic {
            // Children of a dynamic supervisor have no order among them: all drain at once.
            self.stop_all(now);
        }
    }

    /// When a stop that the supervisor begins itself has to be over: it is shared by all who stop, and
    /// as far off as the one who may take longest needs.
    pub(super) fn shared_deadline(&self, from: Key, now: Instant) -> Option<Instant> {
        let alive = self
            .slots
            .range(from..)
            .filter(|(_, slot)| slot.phase.is_alive());
        let longest = alive.filter_map(|(_, slot)| slot.policy.longest(self.rules.patience));
        longest.max().and_then(|longest| now.checked_add(longest))
    }

    fn stop_all(&mut self, now: Instant) {
        let alive: Vec<Key> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.phase.is_alive())
            .map(|(key, _)| *key)
            .collect();
        for key in alive.into_iter().rev() {
            self.stop_one(key, now);
        }
    }

    pub(super) fn advance_stop(&mut self, cursor: Key, now: Instant) -> bool {
        if self.alive == 0 {
            let mode = std::mem::replace(&mut self.mode, Mode::Ended);
            if let Mode::Stopping { exit, .. } = mode {
                self.acts.push(Act::End {
                    exit,
                    stuck: self.stuck,
                });
            }
            return false;
        }
        if self.rules.dynamic {
            return false;
        }
        if let Mode::Stopping {
            deadline: Some(deadline),
            ..
        } = self.mode
            && deadline <= now
            && self.stuck
        {
            // Kills keep the order too, until one of them has cost the grace: no second one shall.
            self.stop_all(now);
            return false;
        }
        let last = self.last_alive(0, cursor);
        if let (Some(key), Mode::Stopping { cursor, .. }) = (last, &mut self.mode) {
            *cursor = key;
            self.stop_one(key, now);
        }
        false
    }

    /// Asks a child to stop as part of a stop or a round, if it was not asked yet.
    pub(super) fn stop_one(&mut self, key: Key, now: Instant) {
        let Some(slot) = self
            .slots
            .get(&key)
            .filter(|slot| matches!(slot.phase, Phase::Starting | Phase::Running))
        else {
            return;
        };
        let (deadline, own) = match self.mode {
            Mode::Stopping { deadline, own, .. } => (deadline, own),
            Mode::Round { until, .. } => (until, true),
            Mode::Up | Mode::Ended => (None, true),
        };
        // Who is to be killed anyway is not late.
        let drains = !slot.policy.keeps_deadlines && slot.policy.shutdown != Shutdown::Kill;
        if drains && deadline.is_some_and(|deadline| deadline <= now) {
            self.acts.push(Act::NotReached { key });
            slot_mut(self, key, |slot| slot.asked = true);
            return self.kill(key, now);
        }
        let patience = slot
            .policy
            .patience(own.then_some(self.rules.patience))
            .and_then(|patience| now.checked_add(patience));
        self.ask_to_stop(key, earlier(deadline, patience), own, now);
    }

    pub(super) fn ask_to_stop(
        &mut self,
        key: Key,
        until: Option<Instant>,
        own: bool,
        now: Instant,
    ) {
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        slot.asked = true;
        if slot.policy.shutdown == Shutdown::Kill {
            return self.kill(key, now);
        }
        slot.phase = Phase::Draining;
        let keeps_deadlines = slot.policy.keeps_deadlines;
        self.acts.push(Act::Drain { key, until, own });
        self.limit(key, until, keeps_deadlines, now);
    }

    /// A drain that runs gets less time.
    pub(super) fn tighten(&mut self, key: Key, until: Option<Instant>, own: bool, now: Instant) {
        let Some(slot) = self.slots.get(&key) else {
            return;
        };
        let patience = own
            .then(|| slot.policy.patience(Some(self.rules.patience)))
            .flatten()
            .and_then(|patience| now.checked_add(patience));
        let until = earlier(until, patience);
        let keeps_deadlines = slot.policy.keeps_deadlines;
        if keeps_deadlines {
            self.acts.push(Act::Drain { key, until, own });
        }
        self.limit(key, until, keeps_deadlines, now);
    }

    /// When a draining child is killed, unless that is sooner already. A supervisor keeps the
    /// deadline itself; its own time is over only when it plainly does not.
    fn limit(&mut self, key: Key, until: Option<Instant>, keeps_deadlines: bool, now: Instant) {
        let grace = self.rules.kill_grace * GRACES;
        let until = match until {
            Some(until) if keeps_deadlines => until.max(now).checked_add(grace),
            until => until,
        };
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        slot.drained_by = earlier(slot.drained_by, until);
        // Who is not up yet has to be first: a start that hangs does not use up the time of a drain.
        let due = earlier(slot.drained_by, slot.up_by);
        if let Some(due) = due.filter(|due| slot.armed != Some(*due)) {
            self.arm(key, due);
        }
    }

    pub(super) fn kill(&mut self, key: Key, now: Instant) {
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        slot.phase = Phase::Killed;
        self.acts.push(Act::Kill { key });
        self.arm(key, now + self.rules.kill_grace);
    }
}

pub(super) fn slot_mut(machine: &mut Machine, key: Key, change: impl FnOnce(&mut Slot)) {
    if let Some(slot) = machine.slots.get_mut(&key) {
        change(slot);
    }
}

/// The earlier of two deadlines, where none is never.
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
