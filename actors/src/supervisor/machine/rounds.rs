//! Stopping and starting in order. In: which child ended and why. Out: the next step of the round
//! that follows from it.
//!
//! Pure: imports neither tokio nor ractor.

use std::time::Instant;

use super::stops::slot_mut;
use super::{Act, Key, Machine, Phase, ROUND};
use crate::{Exit, Strategy};

/// What the supervisor as a whole is doing.
pub(super) enum Mode {
    Up,
    /// Stops, waits and starts every child from `from` on. The first start is a round without a stop.
    Round {
        from: Key,
        due: Option<Instant>,
        /// When those have to be gone that it stops.
        until: Option<Instant>,
        step: Step,
        boot: bool,
    },
    Stopping {
        exit: Exit,
        deadline: Option<Instant>,
        /// Begun by a supervisor and not from outside: children without a limit get one.
        own: bool,
        cursor: Key,
    },
    Ended,
}

#[derive(Clone, Copy)]
pub(super) enum Step {
    /// Everything above the cursor is not alive.
    Stop {
        cursor: Key,
    },
    Wait,
    /// Everything below the cursor is up or not to be.
    Start {
        cursor: Key,
    },
}

impl Mode {
    pub(super) fn boot() -> Self {
        Self::Round {
            from: 0,
            due: None,
            until: None,
            step: Step::Start { cursor: 0 },
            boot: true,
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        matches!(self, Self::Stopping { .. } | Self::Ended)
    }

    fn is_boot(&self) -> bool {
        matches!(self, Self::Round { boot: true, .. })
    }
}

impl Machine {
    /// A child ended that nobody had asked to.
    pub(super) fn ended_by_itself(&mut self, key: Key, starting: bool, exit: &Exit, now: Instant) {
        if starting && self.mode.is_boot() {
            return self.begin_stop(Exit::StartFailed(self.cause(key, exit)), None, true, now);
        }
        let (backoff, chance) = (self.rules.backoff, (self.chance)());
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        if slot.policy.vital && exit.is_failure() {
            return self.begin_stop(Exit::MeltedDown(self.cause(key, exit)), None, true, now);
        }
        if !slot.policy.restarts_after(exit) {
            slot.phase = Phase::Done;
            if self.rules.dynamic {
                self.forget(key);
            } else {
                self.acts.push(Act::Done { key });
            }
            return;
        }
        if let Mode::Round {
            from,
            step: Step::Stop { .. } | Step::Wait,
            ..
        } = self.mode
            && key >= from
        {
            // The round that is on its way starts it again anyway.
            return;
        }
        let delay = slot.streak.down(&backoff, now, chance);
        let window = if self.rules.dynamic {
            &mut slot.window
        } else {
            &mut self.window
        };
        if !window.allows(now) {
            return self.begin_stop(Exit::MeltedDown(self.cause(key, exit)), None, true, now);
        }
        self.acts.push(Act::Wait { key, delay });
        match self.rules.strategy {
            Strategy::OneForOne => {
                slot_mut(self, key, |slot| slot.phase = Phase::Backoff);
                self.arm(key, now + delay);
            }
            Strategy::RestForOne => self.begin_round(key, now + delay, now),
            Strategy::OneForAll => self.begin_round(0, now + delay, now),
        }
    }

    pub(super) fn cause(&self, key: Key, exit: &Exit) -> String {
        let name = self.slots.get(&key).map_or("", |slot| &*slot.name);
        format!("{name}: {exit}")
    }

    /// Begins a round, or widens the one that runs: it then starts over with stopping.
    fn begin_round(&mut self, first: Key, at: Instant, now: Instant) {
        let (mut from, mut due, mut boots) = (first, at, false);
        if let Mode::Round {
            from: wider,
            due: later,
            step,
            boot,
            ..
        } = self.mode
        {
            // While it is starting, those before the failed one are up already.
            from = if matches!(step, Step::Start { .. }) {
                first
            } else {
                first.min(wider)
            };
            due = later.map_or(due, |later| later.max(due));
            boots = boot;
        }
        self.timers.retain(|(_, key)| *key != ROUND);
        self.mode = Mode::Round {
            from,
            due: Some(due),
            until: self.shared_deadline(from, now),
            step: Step::Stop { cursor: Key::MAX },
            boot: boots,
        };
    }

    /// Takes the next step, if it can be taken.
    pub(super) fn advance(&mut self, now: Instant) {
        loop {
            let moved = match self.mode {
                Mode::Up | Mode::Ended => false,
                Mode::Stopping { cursor, .. } => self.advance_stop(cursor, now),
                Mode::Round {
                    from,
                    due,
                    step,
                    boot,
                    ..
                } => self.advance_round(from, due, step, boot, now),
            };
            if !moved {
                return;
            }
        }
    }

    fn advance_round(
        &mut self,
        from: Key,
        due: Option<Instant>,
        step: Step,
        boot: bool,
        now: Instant,
    ) -> bool {
        let next = match step {
            Step::Stop { cursor } => match self.last_alive(from, cursor) {
                Some(key) => {
                    self.set_step(Step::Stop { cursor: key });
                    self.stop_one(key, now);
                    return false;
                }
                None => Step::Wait,
            },
            Step::Wait => match due {
                Some(due) if due > now => {
                    self.timers.insert((due, ROUND));
                    return false;
                }
                _ => Step::Start { cursor: from },
            },
            Step::Start { cursor } => match self.next_to_start(cursor) {
                Some((key, phase)) if phase.is_alive() => {
                    self.set_step(Step::Start { cursor: key });
                    return false;
                }
                Some((key, _)) => {
                    self.start(key, now);
                    Step::Start { cursor: key }
                }
                None => {
                    self.mode = Mode::Up;
                    if boot {
                        self.acts.push(Act::Up);
                    }
                    return false;
                }
            },
        };
        self.set_step(next);
        true
    }

    fn set_step(&mut self, next: Step) {
        if let Mode::Round { step, .. } = &mut self.mode {
            *step = next;
        }
    }

    pub(super) fn last_alive(&self, from: Key, cursor: Key) -> Option<Key> {
        self.slots
            .range(from..=cursor)
            .rev()
            .find(|(_, slot)| slot.phase.is_alive())
            .map(|(key, _)| *key)
    }

    /// The first child at or above the cursor that has to be started or waited for. A temporary
    /// child that was up before is not started again, not even for its neighbours' sake.
    fn next_to_start(&mut self, cursor: Key) -> Option<(Key, Phase)> {
        for (key, slot) in self.slots.range_mut(cursor..) {
            if slot.phase == Phase::Down
                && slot.policy.restart == crate::Restart::Temporary
                && !slot.fresh
            {
                slot.phase = Phase::Done;
                self.acts.push(Act::Done { key: *key });
            }
            if slot.phase == Phase::Down || (slot.phase.is_alive() && slot.phase != Phase::Running)
            {
                return Some((*key, slot.phase));
            }
        }
        None
    }
}
