//! One child as the machine sees it. In: nothing. Out: where it stands between start and end.
//!
//! Pure: imports neither tokio nor ractor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::restart::{Streak, Window};
use crate::{Epoch, Exit, Restart, Shutdown};

/// What the child's specification says that matters to decisions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) restart: Restart,
    pub(crate) shutdown: Shutdown,
    /// How long a start may take; none is for ever.
    pub(crate) start_within: Option<Duration>,
    /// Its failure is its supervisor's.
    pub(crate) vital: bool,
    /// A supervisor keeps deadlines itself and is not killed for one that passed.
    pub(crate) keeps_deadlines: bool,
    /// The longest that anybody under it may take, for a supervisor.
    pub(crate) under: Option<Duration>,
}

impl Policy {
    pub(super) fn restarts_after(&self, exit: &Exit) -> bool {
        match self.restart {
            Restart::Permanent => true,
            Restart::Transient => exit.is_failure(),
            Restart::Temporary => false,
        }
    }

    /// How long a drain may take; `None` is for ever. A stop the supervisor began itself has to
    /// end, so there `own` is what a child gets that has no limit. Not asked for [`Shutdown::Kill`].
    pub(super) fn patience(&self, own: Option<Duration>) -> Option<Duration> {
        match self.shutdown {
            Shutdown::Drain(patience) => Some(patience),
            // A supervisor is told, and gives its children limits.
            Shutdown::Infinity if !self.keeps_deadlines => own,
            Shutdown::Kill | Shutdown::Infinity => None,
        }
    }

    /// The same of a child that is a supervisor: what those under it may take.
    pub(super) fn longest(&self, own: Duration) -> Option<Duration> {
        let under = self.under.filter(|_| self.shutdown == Shutdown::Infinity);
        self.patience(Some(own)).or(under)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not alive; a round may start it.
    Down,
    Starting,
    Running,
    /// Asked to finish.
    Draining,
    /// Killed, not gone.
    Killed,
    /// Its end has begun, by itself; not gone.
    Ending,
    /// Not alive; its own timer starts it.
    Backoff,
    /// Not alive, for good.
    Done,
}

impl Phase {
    pub(super) fn is_alive(self) -> bool {
        matches!(
            self,
            Self::Starting | Self::Running | Self::Draining | Self::Killed | Self::Ending
        )
    }
}

pub(super) struct Slot {
    pub(super) name: Arc<str>,
    pub(super) policy: Policy,
    pub(super) phase: Phase,
    pub(super) epoch: Option<Epoch>,
    pub(super) streak: Streak,
    /// Used for dynamic children only.
    pub(super) window: Window,
    /// Its stalls, from the first one on.
    pub(super) stalls: Option<Window>,
    /// Its entry in the timers.
    pub(super) armed: Option<Instant>,
    /// Whether its present incarnation came up, and when it has to, in a drain as well.
    pub(super) up: bool,
    pub(super) up_by: Option<Instant>,
    /// Whether its present incarnation was asked to stop, and when it has to be drained.
    pub(super) asked: bool,
    pub(super) drained_by: Option<Instant>,
    /// Never up so far.
    pub(super) fresh: bool,
    /// To be forgotten when gone.
    pub(super) leaving: bool,
    /// Why it was killed, when that is a failure of its own.
    pub(super) verdict: Option<Exit>,
    /// What it said of the end it has begun.
    pub(super) ending: Option<Exit>,
}

impl Slot {
    pub(super) fn new(name: Arc<str>, policy: Policy, window: Window) -> Self {
        Self {
            name,
            policy,
            phase: Phase::Down,
            epoch: None,
            streak: Streak::default(),
            window,
            stalls: None,
            armed: None,
            up: false,
            up_by: None,
            asked: false,
            drained_by: None,
            fresh: true,
            leaving: false,
            verdict: None,
            ending: None,
        }
    }
}
