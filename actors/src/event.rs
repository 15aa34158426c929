//! What happened in the tree. In: acts of supervisors. Out: one stream of facts.
//!
//! For tests, dashboards and alarms; decisions are made by supervisors alone.

use std::time::Duration;

use serde::Serialize;

use crate::{Epoch, Exit};

/// A fact; `path` names the place in the tree, for example `consumer/ingest/write`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// It is up for the first time.
    Started {
        /// Place in the tree.
        path: String,
        /// Its generation.
        epoch: Epoch,
    },
    /// It is up again.
    Restarted {
        /// Place in the tree.
        path: String,
        /// Its new generation.
        epoch: Epoch,
        /// Restarts so far.
        restarts: u64,
    },
    /// It failed; a supervisor decides what follows.
    Failed {
        /// Place in the tree.
        path: String,
        /// How it ended.
        exit: Exit,
    },
    /// It waits for its restart.
    Waiting {
        /// Place in the tree.
        path: String,
        /// For how long.
        delay: Duration,
    },
    /// It ended without a failure.
    Ended {
        /// Place in the tree.
        path: String,
        /// How it ended.
        exit: Exit,
    },
    /// Work is pending and nothing moves; it is killed, and that counts as a failure.
    Stalled {
        /// Place in the tree.
        path: String,
        /// For how long nothing moved.
        quiet: Duration,
    },
    /// It did not finish its drain in time and was killed.
    Overran {
        /// Place in the tree.
        path: String,
    },
    /// A drain of the whole system is over.
    Drained {
        /// The root.
        path: String,
        /// How long it took.
        took: Duration,
    },
    /// A supervisor gave up; its parent decides what follows.
    GaveUp {
        /// Place in the tree.
        path: String,
        /// Why.
        cause: String,
    },
}
