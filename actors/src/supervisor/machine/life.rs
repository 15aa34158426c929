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
            Phase::Draining => {
                self.acts.push(Act::Overran { key });
                self.kill(key, now);
            }
            Phase::Killed => {
                // It will never be seen again; what is left of it is the process's problem.
                slot.phase = Phase::Done;
                self.alive -= 1;
                self.stuck = true;
                self.acts.push(Act::Stuck { key });
                let why = slot
                    .verdict
                    .take()
                    .map_or(String::new(), |why| format!("{why}, "));
                if !self.mode.is_stopping() {
                    let cause = Exit::Failed(format!(
                        "{why}was killed and is still there: it blocks its thread"
                    ));
                    self.begin_stop(Exit::MeltedDown(self.cause(key, &cause)), None, true, now);
                }
            }
            Phase::Backoff => {
                slot.phase = Phase::Down;
                self.start(key, now);
            }
            Phase::Starting => {
                let within = slot.policy.start_within.unwrap_or_default();
                self.condemn(
                    key,
                    Exit::StartFailed(format!("not up within {within:?}")),
                    now,
                );
            }
            Phase::Down | Phase::Running | Phase::Done => {}
        }
    }

    pub(super) fn start(&mut self, key: Key, now: Instant) {
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        let epoch = Epoch::next();
        let again = slot.epoch.replace(epoch).is_some();
        let within = slot.policy.start_within;
        slot.phase = Phase::Starting;
        self.alive += 1;
        self.acts.push(Act::Start { key, epoch, again });
        if let Some(until) = within.and_then(|within| now.checked_add(within)) {
            self.arm(key, until);
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
