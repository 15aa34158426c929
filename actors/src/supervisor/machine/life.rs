//! Single steps of single children: start, condemn, forget, and what a timer brings.
//!
//! Pure: imports neither tokio nor ractor.

use std::time::Instant;

use super::stops::slot_mut;
use super::{Act, Key, Machine, Phase};
use crate::{Epoch, Exit};

impl Machine {
    pub(super) fn due(&mut self, key: Key, now: Instant) {
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        slot.armed = None;
        match slot.phase {
            Phase::Draining if slot.drained_by.is_none_or(|by| by > now) => self.never_up(key, now),
            Phase::Draining => {
                self.acts.push(Act::Overran { key });
                self.kill(key, now);
            }
            Phase::Killed | Phase::Ending => {
                // It will never be seen again; what is left of it is the process's problem.
                slot.phase = Phase::Done;
                self.alive -= 1;
                self.stuck = true;
                self.acts.push(Act::Stuck { key });
                let why = match (slot.verdict.take(), slot.ending.take()) {
                    (Some(why), _) => format!("{why}, was killed and"),
                    (None, Some(exit)) => format!("{exit}, and"),
                    (None, None) => "was killed and".to_owned(),
                };
                if !self.mode.is_stopping() {
                    let cause = Exit::Failed(format!("{why} is still there: it blocks its thread"));
                    self.begin_stop(Exit::MeltedDown(self.cause(key, &cause)), None, true, now);
                }
            }
            Phase::Backoff => {
                slot.phase = Phase::Down;
                self.start(key, now);
            }
            Phase::Starting => self.never_up(key, now),
            Phase::Down | Phase::Running | Phase::Done => {}
        }
    }

    /// Its start took too long.
    fn never_up(&mut self, key: Key, now: Instant) {
        let within = self.slots.get(&key).map(|slot| slot.policy.start_within);
        let within = within.flatten().unwrap_or_default();
        let why = Exit::StartFailed(format!("not up within {within:?}"));
        self.condemn(key, why, now);
    }

    pub(super) fn start(&mut self, key: Key, now: Instant) {
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        let epoch = Epoch::next();
        let again = slot.epoch.replace(epoch).is_some();
        slot.phase = Phase::Starting;
        (slot.up, slot.asked, slot.drained_by) = (false, false, None);
        let within = slot.policy.start_within;
        slot.up_by = within.and_then(|within| now.checked_add(within));
        let up_by = slot.up_by;
        self.alive += 1;
        self.acts.push(Act::Start { key, epoch, again });
        if let Some(up_by) = up_by {
            self.arm(key, up_by);
        }
    }

    /// Kills a child for a reason of its own.
    pub(super) fn condemn(&mut self, key: Key, why: Exit, now: Instant) {
        slot_mut(self, key, |slot| slot.verdict = Some(why));
        self.kill(key, now);
    }

    pub(super) fn forget(&mut self, key: Key) {
        self.disarm(key);
        self.slots.remove(&key);
        self.acts.push(Act::Forget { key });
    }

    pub(super) fn arm(&mut self, key: Key, at: Instant) {
        self.disarm(key);
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.armed = Some(at);
        }
        self.timers.insert((at, key));
    }

    pub(super) fn disarm(&mut self, key: Key) {
        if let Some(at) = self.slots.get_mut(&key).and_then(|slot| slot.armed.take()) {
            self.timers.remove(&(at, key));
        }
    }

    pub(super) fn done(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }
}
