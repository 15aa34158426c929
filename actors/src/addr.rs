//! Stable addresses. In: messages. Out: the mailbox of whoever lives there now.
//!
//! An address outlives the actors behind it: a supervisor that restarts a child puts the new
//! incarnation into the same cell. Nothing is buffered for an address where nobody lives.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorRef, ActorStatus};
use thiserror::Error;

use crate::bell::Bell;
use crate::depth::Depth;
use crate::home::Home;
use crate::inbox::Inbox;
use crate::reply::Reply;
use crate::stage_actor::Poke;

/// Nobody lives at the address right now (not started, being restarted, draining or gone). The
/// message comes back: whether to wait, to refuse or to drop it is the sender's decision.
#[derive(Error)]
#[error("nobody takes messages at this address")]
pub struct Undelivered<M>(pub M);

impl<M> fmt::Debug for Undelivered<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Undelivered")
    }
}

/// Why a question got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AskError {
    /// Nobody takes messages at the address.
    #[error("nobody takes messages at this address")]
    Undelivered,
    /// The question was dropped without an answer.
    #[error("the question was dropped without an answer")]
    Dropped,
    /// No answer in the time given; one that comes later is dropped.
    #[error("no answer in time")]
    TimedOut,
}

/// One actor behind an address, from its start to its end.
pub(crate) struct Incarnation<M> {
    pub(crate) actor: ActorRef<Poke>,
    pub(crate) inbox: Inbox<M>,
    pub(crate) depth: Depth,
    /// Whether a wake-up is under way already.
    pub(crate) bell: Bell,
}

impl<M> Incarnation<M> {
    pub(crate) fn new(actor: ActorRef<Poke>) -> Self {
        Self {
            actor,
            inbox: Inbox::new(),
            depth: Depth::default(),
            bell: Bell::new(),
        }
    }

    /// Gives the message back if no more are taken: from the order to drain on, which comes before the inbox is
    /// closed.
    pub(crate) fn deliver(&self, msg: M) -> Result<(), M> {
        if self.actor.get_status() >= ActorStatus::Draining {
            return Err(msg);
        }
        self.depth.sent();
        match self.inbox.put(msg) {
            Ok(true) => self.wake(),
            Ok(false) => {}
            Err(msg) => {
                self.depth.unsent();
                return Err(msg);
            }
        }
        Ok(())
    }

    /// Has it look at all that waits, messages and results, unless somebody did and it has not heard yet: one wake-up
    /// at most is under way.
    pub(crate) fn wake(&self) {
        if self.bell.ring() && self.actor.cast(Poke).is_err() {
            // Draining or at its end: it looks at all that waits by itself, or drops it.
            tracing::trace!("nobody is left to be woken");
        }
    }
}

struct Cell<M> {
    name: String,
    live: Home<Incarnation<M>>,
}

/// Stable address of an actor that takes messages of type `M`; cheap to clone.
pub struct Addr<M> {
    cell: Arc<Cell<M>>,
}

impl<M> Clone for Addr<M> {
    fn clone(&self) -> Self {
        Self {
            cell: Arc::clone(&self.cell),
        }
    }
}

impl<M> fmt::Debug for Addr<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Addr").field(&self.cell.name).finish()
    }
}

impl<M: Send + 'static> Addr<M> {
    /// An address where nobody lives yet; [`ChildSpec::stage`](crate::ChildSpec::stage) moves an actor in.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            cell: Arc::new(Cell {
                name: name.into(),
                live: Home::default(),
            }),
        }
    }

    /// Sends without waiting.
    ///
    /// `Ok` means that the message is in the mailbox, not that it is handled: an actor that fails
    /// or is killed drops its mailbox. What must not be lost travels with a
    /// [`Receipt`](crate::Receipt).
    ///
    /// # Errors
    /// [`Undelivered`] with the message, if nobody takes messages here.
    pub fn send(&self, msg: M) -> Result<(), Undelivered<M>> {
        let live = self.cell.live.who();
        let Some(live) = live.as_ref() else {
            return Err(Undelivered(msg));
        };
        live.deliver(msg).map_err(Undelivered)
    }

    /// Asks and waits for the answer: for control and queries only. On the hot path a message
    /// carries its [`Reply`] or [`Receipt`](crate::Receipt) along and nobody waits.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask<R: Send + 'static>(
        &self,
        timeout: Duration,
        make: impl FnOnce(Reply<R>) -> M,
    ) -> Result<R, AskError> {
        let (reply, answer) = Reply::channel();
        self.send(make(reply)).map_err(|_| AskError::Undelivered)?;
        match tokio::time::timeout(timeout, answer).await {
            Ok(answer) => answer.map_err(|_| AskError::Dropped),
            Err(_) => Err(AskError::TimedOut),
        }
    }

    /// Messages in the mailbox, not counting the one being handled.
    pub fn depth(&self) -> usize {
        self.cell.live.who().as_ref().map_or(0, |live| {
            usize::try_from(live.depth.get()).unwrap_or(usize::MAX)
        })
    }

    /// The name given at the start.
    pub fn name(&self) -> &str {
        &self.cell.name
    }

    /// Moves an actor in. Refused while another one lives here.
    pub(crate) fn move_in(&self, who: &Arc<Incarnation<M>>) -> bool {
        self.cell.live.move_in(who)
    }

    /// Moves an actor out, if it still lives here.
    pub(crate) fn move_out(&self, who: &Arc<Incarnation<M>>) {
        self.cell.live.move_out(who);
    }

    /// Who lives here.
    #[cfg(feature = "testkit")]
    pub(crate) fn live(&self) -> Option<Arc<Incarnation<M>>> {
        self.cell.live.who().clone()
    }
}
