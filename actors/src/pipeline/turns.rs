//! One write at a time per slot, also across restarts. In: writes that want to begin. Out: their turns.
//!
//! A writer that fails leaves its owned writes running. Its successor knows nothing of them, so the
//! turns are kept outside of both.
//!
//! The locks come from `crate::sync`, so that the model checker can compile this very file.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::sync::{Mutex as Line, OwnedMutexGuard};
use tokio::task::coop::unconstrained;

use crate::sync::{Mutex, lock};

#[derive(Default)]
pub(super) struct Turns {
    lines: Mutex<HashMap<u64, Arc<Line<()>>>>,
}

/// A place in the line of a slot; held while writing.
pub(super) struct Turn {
    turns: Arc<Turns>,
    slot: u64,
    /// Present until dropped, and once its turn has come.
    place: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// A place in the line of a slot, taken now and not when it is first waited for: who waits is a task
    /// that may be given its thread later than one that was spawned after it.
    pub(super) fn line_up(
        self: &Arc<Self>,
        slot: u64,
    ) -> impl Future<Output = Turn> + Send + use<> {
        let mut turn = Box::pin(unconstrained(Arc::clone(self).take(slot)));
        let at_once = turn.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        async move {
            match at_once {
                Poll::Ready(turn) => turn,
                Poll::Pending => turn.await,
            }
        }
    }

    /// Waits until every write of the slot that asked before is over.
    async fn take(self: Arc<Self>, slot: u64) -> Turn {
        let line = Arc::clone(lock(&self.lines).entry(slot).or_default());
        // Made first: who is dropped while it waits leaves no line behind either.
        let mut turn = Turn {
            turns: self,
            slot,
            place: None,
        };
        turn.place = Some(line.lock_owned().await);
        turn
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.lines).is_empty()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.place = None;
        let mut lines = lock(&self.turns.lines);
        // Whoever waits holds the line too; without anybody it takes no room.
        if lines
            .get(&self.slot)
            .is_some_and(|line| Arc::strong_count(line) == 1)
        {
            lines.remove(&self.slot);
        }
    }
}
