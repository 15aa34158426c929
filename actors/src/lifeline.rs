//! What binds an incarnation to its supervisor. In: orders of the supervisor. Out: news of the child.
//!
//! [`Notice`] is held by the incarnation and tells of its end when dropped, so no end is missed,
//! however it came. A supervisor's notice is also held by the notices of its children: it tells of
//! the end when the last of them is gone. [`Guard`] is held by the supervisor and kills when dropped,
//! so no child outlives it.

mod control;
mod word;

use std::sync::Arc;
use std::time::Instant;

use ractor::{ActorCell, ActorRef};
use tokio::sync::mpsc;

use crate::report::Losses;
use crate::supervisor::SupMsg;
use crate::sync::{self, AtomicBool, Mutex, Ordering};
use crate::system::Shared;
use crate::tree::Node;
use crate::{Credits, Epoch, Exit};
use control::Reachable;
use word::Word;

/// What a child tells.
#[derive(Debug)]
pub(crate) enum News {
    Started,
    /// Its end has begun, and is over when it is gone.
    Ending(Exit),
    Gone(Exit),
    /// The same, but somebody of it is still there and blocks a thread: nothing may take its place.
    Left(Exit),
}

/// Which child tells it.
#[derive(Debug)]
pub(crate) struct ChildNews {
    pub(crate) key: u64,
    pub(crate) epoch: Epoch,
    pub(crate) news: News,
}

/// Who hears the news.
pub(crate) enum Parent {
    /// Held for its drop: the supervisor is not gone before its children are.
    Supervisor {
        to: ActorRef<SupMsg>,
        _lease: Arc<Notice>,
    },
    System(mpsc::UnboundedSender<ChildNews>),
}

pub(crate) struct Notice {
    parent: Parent,
    key: u64,
    epoch: Epoch,
    control: Arc<Control>,
    word: Word<Exit>,
    /// That its end has begun is told.
    ends: AtomicBool,
    /// Taken back with the incarnation, whether its supervisor is there to hear of its end or not.
    reclaims: Vec<Credits>,
}

impl Notice {
    pub(crate) fn new(
        parent: Parent,
        key: u64,
        epoch: Epoch,
        control: &Arc<Control>,
        reclaims: Vec<Credits>,
    ) -> Arc<Self> {
        let control = Arc::clone(control);
        Arc::new(Self {
            parent,
            key,
            epoch,
            control,
            word: Word::default(),
            ends: AtomicBool::new(false),
            reclaims,
        })
    }

    /// Notes how it ended. The first note stands: what follows from an end is not its cause.
    pub(crate) fn record(&self, exit: Exit) {
        self.word.note(exit);
    }

    pub(crate) fn started(&self) {
        self.tell(News::Started);
    }

    /// Tells that the end has begun, before anything is dropped that may block the thread: the first time
    /// it is called. Who was killed by its supervisor, or has a limit to its drain, is waited for already.
    pub(crate) fn ending(&self) {
        if self.control.is_awaited() || self.ends.swap(true, Ordering::Relaxed) {
            return;
        }
        let exit = self.word.noted().unwrap_or(Exit::KilledByOthers);
        self.tell(News::Ending(exit));
        // Whom a task wakes runs next on its thread and is left to no other one, so a supervisor would
        // be blocked with its child. A second one takes that place.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async {});
        }
    }

    /// Tells of the end although something of it is still there: a child that would not die.
    pub(crate) fn abandon(&self) {
        self.end(News::Left);
    }

    fn end(&self, news: fn(Exit) -> News) {
        let unsaid = || {
            if self.control.is_killed() {
                Exit::Killed
            } else {
                Exit::KilledByOthers
            }
        };
        if let Some(exit) = self.word.say(unsaid) {
            // Before the news, so before anybody can start its successor.
            for credits in &self.reclaims {
                credits.reclaim();
            }
            self.tell(news(exit));
        }
    }

    fn tell(&self, news: News) {
        let news = ChildNews {
            key: self.key,
            epoch: self.epoch,
            news,
        };
        let heard = match &self.parent {
            Parent::Supervisor { to, .. } => to.cast(SupMsg::Child(news)).is_ok(),
            Parent::System(to) => to.send(news).is_ok(),
        };
        if !heard {
            tracing::trace!("a supervisor ended before its child");
        }
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        // The lease on the supervisor's own notice goes with the fields, so after these news.
        self.end(News::Gone);
    }
}

/// Where those are written down who did not finish in time, or failed.
pub(crate) type SharedLosses = Arc<Mutex<Losses>>;

/// How to reach an actor.
pub(crate) enum Target {
    Stage(ActorCell),
    Supervisor(ActorRef<SupMsg>),
}

impl Reachable for Target {
    type Order = DrainOrder;

    fn kill(&self) {
        match self {
            Self::Stage(cell) => cell.kill(),
            Self::Supervisor(actor) => actor.kill(),
        }
    }

    fn drain(&self, order: DrainOrder) {
        let reached = match self {
            Self::Stage(cell) => cell.drain().is_ok(),
            Self::Supervisor(actor) => actor.cast(SupMsg::Stop(order)).is_ok(),
        };
        if !reached {
            tracing::trace!("asked to drain what had ended");
        }
    }
}

/// A drain as a nested supervisor needs to know it.
#[derive(Clone)]
pub(crate) struct DrainOrder {
    pub(crate) until: Option<Instant>,
    /// A supervisor began it, to restart or because it gives up; nobody from outside.
    pub(crate) own: bool,
    pub(crate) losses: SharedLosses,
}

/// The supervisor's hand on one incarnation.
pub(crate) type Control = control::Control<Target>;

/// Kills when dropped.
pub(crate) struct Guard(pub(crate) Arc<Control>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// Everything an incarnation is born with.
pub(crate) struct Launch {
    pub(crate) epoch: Epoch,
    pub(crate) node: Arc<Node>,
    pub(crate) control: Arc<Control>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) notice: Arc<Notice>,
}

impl Launch {
    /// It has started.
    pub(crate) fn up(&self) {
        self.notice.started();
        self.control.up();
    }
}
