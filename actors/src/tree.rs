//! The live tree. In: what supervisors and actors note down about themselves. Out: a picture of it.
//!
//! Pure: imports neither tokio nor ractor. Nodes are plain shared memory, so that a picture can be
//! taken at any time without asking an actor that may be stuck.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::SystemTime;

use serde::Serialize;

use crate::sync::{Mutex, lock};
use crate::{Epoch, Exit};

/// What stands at a place in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A worker.
    Stage,
    /// A supervisor with a fixed list of children.
    Supervisor,
    /// A supervisor whose children come and go.
    Dynamic,
}

/// What a child is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not started yet, or stopped for a restart of its neighbours.
    Down,
    /// Coming up.
    Starting,
    /// Up.
    Running,
    /// Asked to finish; takes nothing new.
    Draining,
    /// Killed, and not gone yet.
    Killed,
    /// Failed; waits for its restart.
    Backoff,
    /// Ended, and not to be restarted.
    Ended,
}

/// A place in the tree as it was when the picture was taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tree {
    /// Unique among its siblings.
    pub id: String,
    /// What stands here.
    pub kind: Kind,
    /// What it is doing.
    pub state: State,
    /// Seconds in that state.
    pub since_seconds: f64,
    /// Restarts in the life of its supervisor.
    pub restarts: u64,
    /// How its last incarnation ended, if one did.
    pub last_cause: Option<String>,
    /// Generation of the present or last incarnation.
    pub epoch: Option<Epoch>,
    /// Messages handled in the life of its supervisor.
    pub handled: u64,
    /// Messages waiting; absent for supervisors.
    pub mailbox: Option<usize>,
    /// Owned tasks running; absent for supervisors.
    pub in_flight: Option<usize>,
    /// Its children, in the order of their start.
    pub children: Vec<Tree>,
}

impl Tree {
    /// The place under this one that `path` names, for example `ingest/write`.
    pub fn find(&self, path: &str) -> Option<&Self> {
        path.split('/').try_fold(self, |tree, id| {
            tree.children.iter().find(|child| child.id == id)
        })
    }
}

/// Counters an actor keeps about itself. They live in its node and so survive its restarts.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) handled: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) in_flight: AtomicUsize,
    /// Whether a callback runs.
    pub(crate) busy: AtomicBool,
}

#[derive(Debug)]
struct Life {
    state: State,
    since: SystemTime,
    restarts: u64,
    last_cause: Option<String>,
    epoch: Option<Epoch>,
}

/// A place in the tree.
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) kind: Kind,
    pub(crate) stats: Stats,
    depth: Option<Box<dyn Fn() -> usize + Send + Sync>>,
    life: Mutex<Life>,
    children: Mutex<Vec<Arc<Node>>>,
}

impl Node {
    pub(crate) fn new(
        parent: Option<&str>,
        id: &str,
        kind: Kind,
        depth: Option<Box<dyn Fn() -> usize + Send + Sync>>,
    ) -> Arc<Self> {
        let path = parent.map_or_else(|| id.to_owned(), |parent| format!("{parent}/{id}"));
        let life = Life {
            state: State::Down,
            since: SystemTime::now(),
            restarts: 0,
            last_cause: None,
            epoch: None,
        };
        Arc::new(Self {
            id: id.to_owned(),
            path,
            kind,
            stats: Stats::default(),
            depth,
            life: Mutex::new(life),
            children: Mutex::default(),
        })
    }

    pub(crate) fn enter(&self, state: State) {
        let mut life = lock(&self.life);
        if life.state != state {
            life.state = state;
            life.since = SystemTime::now();
        }
    }

    pub(crate) fn begin(&self, epoch: Epoch) {
        lock(&self.life).epoch = Some(epoch);
        self.enter(State::Starting);
    }

    pub(crate) fn ended(&self, exit: &Exit) {
        lock(&self.life).last_cause = Some(exit.to_string());
        self.enter(State::Down);
    }

    /// Counts a restart and gives how many there were.
    pub(crate) fn restarting(&self) -> u64 {
        let mut life = lock(&self.life);
        life.restarts += 1;
        life.restarts
    }

    pub(crate) fn restarts(&self) -> u64 {
        lock(&self.life).restarts
    }

    pub(crate) fn state(&self) -> State {
        lock(&self.life).state
    }

    /// Messages waiting, for a stage.
    pub(crate) fn depth(&self) -> Option<usize> {
        self.depth.as_ref().map(|depth| depth())
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.stats.in_flight.load(Ordering::Relaxed)
    }

    /// Whether there is something to do: in the mailbox, in hand, or in owned tasks.
    pub(crate) fn has_work(&self) -> bool {
        self.stats.busy.load(Ordering::Relaxed)
            || self.in_flight() > 0
            || self.depth().is_some_and(|depth| depth > 0)
    }

    pub(crate) fn add(&self, child: &Arc<Self>) {
        lock(&self.children).push(Arc::clone(child));
    }

    pub(crate) fn remove(&self, child: &Arc<Self>) {
        lock(&self.children).retain(|known| !Arc::ptr_eq(known, child));
    }

    pub(crate) fn clear(&self) {
        lock(&self.children).clear();
    }

    pub(crate) fn children(&self) -> Vec<Arc<Self>> {
        lock(&self.children).clone()
    }

    pub(crate) fn picture(&self) -> Tree {
        let children = self
            .children()
            .iter()
            .map(|child| child.picture())
            .collect();
        let life = lock(&self.life);
        Tree {
            id: self.id.clone(),
            kind: self.kind,
            state: life.state,
            since_seconds: life.since.elapsed().unwrap_or_default().as_secs_f64(),
            restarts: life.restarts,
            last_cause: life.last_cause.clone(),
            epoch: life.epoch,
            handled: self.stats.handled.load(Ordering::Relaxed),
            mailbox: self.depth(),
            in_flight: self.depth.is_some().then(|| self.in_flight()),
            children,
        }
    }

    /// Visits this node and everything under it.
    pub(crate) fn walk(self: &Arc<Self>, visit: &mut dyn FnMut(&Arc<Self>)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }
}
