//! What is said of a drain when it is over. In: who came late or failed. Out: a report.
//!
//! Pure: imports neither tokio nor ractor.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::Exit;

/// How somebody missed a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Overrun {
    /// It was draining, and was killed.
    Draining,
    /// The time was over before its turn came; it was killed without a drain.
    NotReached,
    /// It was killed and is still there, because it blocks its thread.
    Stuck,
}

impl fmt::Display for Overrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draining => "did not drain in time",
            Self::NotReached => "had no time left to drain",
            Self::Stuck => "blocks its thread and cannot be killed",
        })
    }
}

/// Who did not finish in time, and what it still had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Laggard {
    /// Place in the tree.
    pub path: String,
    /// How it missed the deadline.
    pub overrun: Overrun,
    /// Messages it had not begun; they were dropped.
    pub mailbox: usize,
    /// Owned tasks still running; they run to their end.
    pub in_flight: usize,
}

/// Who failed while the tree was drained; nobody takes its place any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Casualty {
    /// Place in the tree.
    pub path: String,
    /// How it ended: always a [failure](Exit::is_failure).
    pub exit: Exit,
}

/// How a drain went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DrainReport {
    /// Who did not finish in time, in the order of their kill.
    pub laggards: Vec<Laggard>,
    /// Who failed in the drain, in the order of their ends: what it still had was not finished.
    pub failed: Vec<Casualty>,
    /// How the root ended: [`Exit::Drained`], or what happened before the drain.
    pub exit: Exit,
    /// How long it took.
    pub took: Duration,
}

impl DrainReport {
    /// Whether everybody finished: in time, and without a failure.
    pub fn is_clean(&self) -> bool {
        self.laggards.is_empty() && self.failed.is_empty() && self.exit == Exit::Drained
    }
}

/// What is written down while a drain goes on.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    pub(crate) laggards: Vec<Laggard>,
    pub(crate) failed: Vec<Casualty>,
}
