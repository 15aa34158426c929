//! The watchdog of a supervisor. In: a tick. Out: children that stalled are condemned.
//!
//! It looks at counters only, so that a stuck child need not answer.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{State, SupMsg};
use crate::{Event, Exit};

impl State {
    /// Looks at least so often from now on.
    pub(super) fn look_every(&mut self, period: Duration) {
        if self
            .looking
            .as_ref()
            .is_some_and(|(known, _)| *known <= period)
        {
            return;
        }
        let myself = self.myself.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(period).await;
                if myself.cast(SupMsg::Look).is_err() {
                    return;
                }
            }
        });
        if let Some((_, old)) = self.looking.replace((period, task.abort_handle())) {
            old.abort();
        }
    }

    pub(super) fn look(&mut self, now: Instant) {
        let mut stalled = Vec::new();
        for (key, child) in &mut self.children {
            let (Some(watch), Some(epoch)) = (&child.spec.watch, child.epoch) else {
                continue;
            };
            // Who ends has a time of its own for that, and what it still holds moves no more.
            if !self.machine.is_running(*key) {
                continue;
            }
            let handled = child.node.stats.handled.load(Ordering::Relaxed);
            if let Some(quiet) = child
                .watcher
                .look(watch, child.node.has_work(), handled, now)
            {
                stalled.push((*key, epoch, watch.quiet(), quiet, child.node.path.clone()));
            }
        }
        for (key, epoch, limit, quiet, path) in stalled {
            tracing::warn!(actor = %path, ?quiet, "work is pending and nothing moves");
            self.launch.shared.emit(|| Event::Stalled { path, quiet });
            let why = Exit::Failed(format!("made no progress for {quiet:?}"));
            let acts = self.machine.stalled(key, epoch, limit, why, now);
            self.perform(acts);
        }
    }
}
