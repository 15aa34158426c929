//! A partition on its way to be read, and what is told of one that is on it for long.

use std::sync::atomic::Ordering;
use std::time::Instant;

use actors::Epoch;
use tracing::{error, info};

use super::{Cause, Halt, Lane, locked};
use crate::metrics;

/// How far a partition is on its way to be read.
#[derive(Default)]
pub(super) struct Opening {
    /// Since when; nothing once it is opened.
    since: Option<Instant>,
    /// Why it takes so long, if it does.
    late: Option<Halt>,
}

impl Lane {
    /// It is to be read, and is not yet.
    pub fn opens(&self) {
        locked(&self.0.opening)
            .since
            .get_or_insert_with(Instant::now);
    }

    /// It cannot be read for now, for a reason that may pass; then reading [begins](Self::begin). Of one
    /// that goes or was stopped this is not told.
    pub fn waits(&self, cause: Cause, reason: impl Into<String>) {
        if self.is_shut() {
            return;
        }
        let (partition, reason) = (self.0.partition, reason.into());
        let late = Some(Halt { cause, reason });
        let before = {
            let mut opening = locked(&self.0.opening);
            if opening.late == late {
                return;
            }
            std::mem::replace(&mut opening.late, late)
        };
        if before.is_none_or(|before| before.cause != cause) {
            error!(
                partition,
                cause = cause.label(),
                "partition stopped: it is read on by itself once this has passed; readiness says what"
            );
            metrics::stopped(partition, Some(cause));
        }
        self.0.lanes.report();
    }

    /// What it waited for has passed, whatever it waits for next.
    pub fn goes_on(&self) {
        let waited = locked(&self.0.opening).late.take();
        if waited.is_some() && self.halted().is_none() {
            info!(
                partition = self.0.partition,
                "partition goes on: what stopped it has passed"
            );
            metrics::stopped(self.0.partition, None);
            self.0.lanes.report();
        }
    }

    /// Reading begins in another epoch: nothing is under way.
    pub fn begin(&self, epoch: Epoch) {
        self.rest();
        self.goes_on();
        locked(&self.0.opening).since = None;
        self.0.place.begin(epoch);
        self.0.epoch.store(epoch.get(), Ordering::Relaxed);
    }

    /// Why it is not read, whether that passes or not.
    pub(super) fn stopped(&self) -> Option<String> {
        let late = || locked(&self.0.opening).late.clone();
        let halt = self.halted().cloned().or_else(late)?;
        Some(format!("partition {} stopped: {}", self.0.partition, halt))
    }

    /// Since when something of it waits: its oldest record that is not settled, or all of it.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        let opening = locked(&self.0.opening).since;
        opening.or_else(|| locked(&self.0.turns).oldest())
    }
}
