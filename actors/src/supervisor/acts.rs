//! How the shell carries out what the machine decides. In: acts. Out: actors started, drained and
//! killed; nodes, events and log lines.
//!
//! A failure is logged here, once: this is where it is handled.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::machine::{Act, Key};
use super::{Child, State, SupMsg};
use crate::lifeline::{Control, DrainOrder, Guard, Launch, Notice, Parent};
use crate::reply::Reply;
use crate::sync::lock;
use crate::tree;
use crate::watch::Watcher;
use crate::{Casualty, Epoch, Event, Exit, Laggard, Overrun, StartError, StopOutcome};

impl State {
    pub(super) fn perform(&mut self, mut acts: Vec<Act>) {
        for act in acts.drain(..) {
            super::apply(self, act);
        }
        self.machine.take_back(acts);
    }

    pub(super) fn start(&mut self, key: Key, epoch: Epoch, again: bool) {
        let Some(child) = self.children.get_mut(&key) else {
            return;
        };
        let control = Arc::<Control>::default();
        let parent = Parent::Supervisor {
            to: self.myself.clone(),
            _lease: Arc::clone(&self.launch.notice),
        };
        let launch = Launch {
            epoch,
            node: Arc::clone(&child.node),
            control: Arc::clone(&control),
            shared: Arc::clone(&self.launch.shared),
            notice: Notice::new(parent, key, epoch, &control, child.spec.reclaims.clone()),
        };
        child.epoch = Some(epoch);
        child.guard = Some(Guard(control));
        child.overran = false;
        child.watcher = Watcher::default();
        child.node.begin(epoch, again);
        // A task of its own from the first step on: a factory or a start that blocks its thread
        // must not block the one that keeps the deadlines.
        tokio::spawn(child.spec.launch(launch));
    }

    pub(super) fn drain(&mut self, key: Key, until: Option<Instant>, own: bool) {
        let order = DrainOrder {
            until,
            own,
            losses: self.losses.clone().unwrap_or_default(),
        };
        self.enter(key, tree::State::Draining);
        if let Some(guard) = self.guard(key) {
            if until.is_some() {
                guard.0.limit();
            }
            guard.0.drain(order);
        }
    }

    pub(super) fn kill(&mut self, key: Key) {
        self.enter(key, tree::State::Killed);
        if let Some(guard) = self.guard(key) {
            guard.0.kill();
        }
    }

    pub(super) fn overran(&mut self, key: Key, overrun: Overrun) {
        let Some(child) = self.children.get_mut(&key) else {
            return;
        };
        child.overran = true;
        let laggard = Laggard {
            path: child.node.path.clone(),
            overrun,
            mailbox: child.node.depth().unwrap_or_default(),
            in_flight: child.node.in_flight(),
        };
        tracing::warn!(actor = %laggard.path, mailbox = laggard.mailbox, in_flight = laggard.in_flight, %overrun, "killed");
        self.launch.shared.emit(|| Event::Overran {
            path: laggard.path.clone(),
        });
        self.note(laggard);
    }

    /// Only while somebody is going to read it: a list of all single stops would grow for ever.
    fn note(&self, laggard: Laggard) {
        if let Some(losses) = &self.losses {
            lock(losses).laggards.push(laggard);
        }
    }

    pub(super) fn stuck(&mut self, key: Key) {
        let Some(child) = self.children.get_mut(&key) else {
            return;
        };
        let laggard = Laggard {
            path: child.node.path.clone(),
            overrun: Overrun::Stuck,
            mailbox: child.node.depth().unwrap_or_default(),
            in_flight: child.node.in_flight(),
        };
        tracing::error!(actor = %laggard.path, "still there although it was to be gone: it blocks its thread");
        self.launch.shared.emit(|| Event::Stuck {
            path: laggard.path.clone(),
        });
        self.tell_stuck(key);
        self.note(laggard);
    }

    /// Answers whoever waits for its stop.
    pub(super) fn tell_stuck(&mut self, key: Key) {
        let Some(child) = self.children.get_mut(&key) else {
            return;
        };
        for reply in std::mem::take(&mut child.stops) {
            answer(reply, Ok((StopOutcome::Stuck, child.epoch)));
        }
    }

    pub(super) fn wait(&mut self, key: Key, delay: Duration) {
        self.enter(key, tree::State::Backoff);
        if let Some(child) = self.children.get(&key) {
            self.launch.shared.emit(|| Event::Waiting {
                path: child.node.path.clone(),
                delay,
            });
        }
    }

    pub(super) fn enter(&mut self, key: Key, state: tree::State) {
        if let Some(child) = self.children.get(&key) {
            child.node.enter(state);
        }
    }

    pub(super) fn forget(&mut self, key: Key) {
        let Some(mut child) = self.children.remove(&key) else {
            return;
        };
        self.keys.remove(&child.spec.id);
        self.launch.node.remove(key);
        if let Some((children, _)) = &self.handle {
            children.went(key);
        }
        let outcome = child.outcome();
        child.not_started();
        for reply in std::mem::take(&mut child.stops) {
            answer(reply, Ok((outcome, child.epoch)));
        }
    }

    pub(super) fn end(&mut self, exit: Exit, stuck: bool) {
        if let Exit::MeltedDown(cause) = &exit {
            let path = self.launch.node.path.clone();
            tracing::error!(actor = %path, cause, "supervisor gives up");
            self.launch.shared.emit(|| Event::GaveUp {
                path,
                cause: cause.clone(),
            });
        }
        self.launch.notice.record(exit);
        if stuck {
            self.launch.notice.abandon();
        }
        self.myself.stop(None);
    }

    pub(super) fn child_started(&mut self, key: Key, epoch: Epoch) {
        let Some(child) = self
            .children
            .get_mut(&key)
            .filter(|child| child.epoch == Some(epoch))
        else {
            return;
        };
        child.node.up();
        if let Some(reply) = child.start.take() {
            answer(reply, Ok(epoch));
        }
        let node = &child.node;
        self.launch
            .shared
            .emit(|| match (node.path.clone(), node.restarts()) {
                (path, 0) => Event::Started { path, epoch },
                (path, restarts) => Event::Restarted {
                    path,
                    epoch,
                    restarts,
                },
            });
    }

    pub(super) fn child_gone(&mut self, key: Key, epoch: Epoch, exit: &Exit) {
        let Some(child) = self
            .children
            .get_mut(&key)
            .filter(|child| child.epoch == Some(epoch))
        else {
            return;
        };
        child.guard = None;
        child.node.ended(exit);
        child.exit = Some(exit.clone());
        let path = &child.node.path;
        if exit.is_failure() {
            child.node.stats.failed.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(actor = %path, %epoch, %exit, "actor ended");
            // In a drain nobody takes its place, and what it had is not finished.
            if let Some(losses) = &self.losses {
                lock(losses).failed.push(Casualty {
                    path: path.clone(),
                    exit: exit.clone(),
                });
            }
        } else {
            tracing::debug!(actor = %path, %epoch, %exit, "actor ended");
        }
        self.launch.shared.ended(&child.node, exit);
    }

    /// Keeps one alarm for the earliest deadline. One that goes off too early is harmless.
    pub(super) fn set_alarm(&mut self) {
        let Some(at) = self.machine.next_tick() else {
            return;
        };
        if self.alarm.as_ref().is_some_and(|(armed, _)| *armed <= at) {
            return;
        }
        let myself = self.myself.clone();
        let task = tokio::spawn(async move {
            tokio::time::sleep_until(at.into()).await;
            if myself.cast(SupMsg::Tick).is_err() {
                tracing::trace!("an alarm of an ended supervisor");
            }
        });
        if let Some((_, old)) = self.alarm.replace((at, task.abort_handle())) {
            old.abort();
        }
    }

    fn guard(&self, key: Key) -> Option<&Guard> {
        self.children.get(&key)?.guard.as_ref()
    }
}

impl Child {
    fn outcome(&self) -> StopOutcome {
        match &self.exit {
            _ if self.overran => StopOutcome::Overran,
            Some(Exit::Drained) => StopOutcome::Drained,
            _ => StopOutcome::Ended,
        }
    }

    /// Answers whoever waits for its start.
    fn not_started(&mut self) {
        if let Some(reply) = self.start.take() {
            let why = match &self.exit {
                None | Some(Exit::Drained | Exit::Killed) => {
                    "it was stopped before it was up".to_owned()
                }
                Some(exit) => exit.to_string(),
            };
            answer(
                reply,
                Err(StartError::Failed(format!("{}: {why}", self.spec.id))),
            );
        }
    }
}

/// Answers, unless nobody waits any more.
pub(super) fn answer<R>(reply: Reply<R>, with: R) {
    if reply.send(with).is_err() {
        tracing::trace!("nobody waits for an answer any more");
    }
}
