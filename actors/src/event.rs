//! What happened in the tree. In: acts of supervisors. Out: one stream of facts.
//!
//! For tests, dashboards and alarms; decisions are made by supervisors alone.

use std::time::Duration;

use serde::Serialize;
use thiserror::Error;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

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
    /// It was killed, or had ended, and is still there: it blocks its thread, and is given up.
    Stuck {
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

/// Why there is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoEvent {
    /// Nothing has happened since.
    #[error("nothing has happened since")]
    NoneYet,
    /// The subscriber was too slow and lost so many; the next ones follow.
    #[error("{0} events were missed")]
    Missed(u64),
    /// The system is gone, and nothing will happen any more.
    #[error("the system is gone")]
    Over,
}

/// What happens in a system from the moment of subscription on. One that never listens holds nobody up.
#[derive(Debug)]
pub struct Events {
    from: broadcast::Receiver<Event>,
}

impl Events {
    pub(crate) fn new(from: broadcast::Receiver<Event>) -> Self {
        Self { from }
    }

    /// Waits for the next one. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// [`NoEvent::Missed`], after which the next ones follow, and [`NoEvent::Over`].
    pub async fn recv(&mut self) -> Result<Event, NoEvent> {
        self.from.recv().await.map_err(|none| match none {
            RecvError::Lagged(missed) => NoEvent::Missed(missed),
            RecvError::Closed => NoEvent::Over,
        })
    }

    /// The next one, if it has happened already.
    ///
    /// # Errors
    /// [`NoEvent`].
    pub fn try_recv(&mut self) -> Result<Event, NoEvent> {
        self.from.try_recv().map_err(|none| match none {
            TryRecvError::Empty => NoEvent::NoneYet,
            TryRecvError::Lagged(missed) => NoEvent::Missed(missed),
            TryRecvError::Closed => NoEvent::Over,
        })
    }
}
