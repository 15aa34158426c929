//! The live tree. In: what supervisors and actors note down about themselves. Out: a picture of it.
//!
//! Pure: imports neither tokio nor ractor. Nodes are plain shared memory, so that a picture can be
//! taken at any time without asking an actor that may be stuck.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use serde::Serialize;

use crate::sync::{Mutex, lock};
use crate::{Cost, Credits, Epoch, Exit, clock};

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
    /// The credits it serves, see [`ChildSpec::credits`](crate::ChildSpec::credits); often none.
    pub credits: Vec<Account>,
    /// Its children, in the order of their start.
    pub children: Vec<Tree>,
}

/// An account of credits as it was when the picture was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The name of the [`Credits`].
    pub name: String,
    /// What is taken.
    pub in_use: Cost,
    /// The whole.
    pub limit: Cost,
}

impl Tree {
    /// The place under this one that `path` names, for example `ingest/write`.
    pub fn find(&self, path: &str) -> Option<&Self> {
        path.split('/').try_fold(self, |tree, id| {
            tree.children.iter().find(|child| child.id == id)
        })
    }
}

impl Account {
    fn of(credits: &Credits) -> Self {
        Self {
            name: credits.name().to_owned(),
            in_use: credits.in_use(),
            limit: credits.limit(),
        }
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
    /// By the runtime's clock: it goes on whatever is done to the time of day, and can be paused.
    since: Instant,
    restarts: u64,
    /// Put into words only for a picture: most are never looked at.
    last_exit: Option<Exit>,
    epoch: Option<Epoch>,
}

/// How many messages wait for a stage.
pub(crate) type DepthFn = dyn Fn() -> usize + Send + Sync;

impl Life {
    fn enter(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.since = clock::now();
        }
    }
}

/// A place in the tree.
pub(crate) struct Node {
    pub(crate) id: Arc<str>,
    pub(crate) path: String,
    pub(crate) kind: Kind,
    pub(crate) stats: Stats,
    depth: Option<Arc<DepthFn>>,
    credits: Vec<Credits>,
    life: Mutex<Life>,
    /// By the number their supervisor gave them, which is the order of their start.
    children: Mutex<BTreeMap<u64, Arc<Node>>>,
}

impl Node {
    pub(crate) fn new(
        parent: Option<&str>,
        id: Arc<str>,
        kind: Kind,
        depth: Option<Arc<DepthFn>>,
        credits: Vec<Credits>,
    ) -> Arc<Self> {
        let path = match parent {
            Some(parent) => [parent, "/", &id].concat(),
            None => id.to_string(),
        };
        let life = Life {
            state: State::Down,
            since: clock::now(),
            restarts: 0,
            last_exit: None,
            epoch: None,
        };
        Arc::new(Self {
            id,
            path,
            kind,
            stats: Stats::default(),
            depth,
            credits,
            life: Mutex::new(life),
            children: Mutex::default(),
        })
    }

    pub(crate) fn enter(&self, state: State) {
        lock(&self.life).enter(state);
    }

    pub(crate) fn begin(&self, epoch: Epoch, again: bool) {
        let mut life = lock(&self.life);
        life.restarts += u64::from(again);
        life.epoch = Some(epoch);
        life.enter(State::Starting);
    }

    /// It came up, unless something else was wanted of it meanwhile.
    pub(crate) fn up(&self) {
        let mut life = lock(&self.life);
        if life.state == State::Starting {
            life.enter(State::Running);
        }
    }

    /// It is gone, and with it everything under it, also what nobody was left to take note of.
    pub(crate) fn ended(&self, exit: &Exit) {
        {
            let mut life = lock(&self.life);
            life.last_exit = Some(exit.clone());
            life.enter(State::Down);
        }
        for child in self.children() {
            child.ended_with_its_supervisor();
        }
    }

    fn ended_with_its_supervisor(&self) {
        {
            let mut life = lock(&self.life);
            // One that was killed and is still there blocks its thread, and may be there for long.
            if !matches!(life.state, State::Down | State::Killed) {
                life.enter(State::Ended);
            }
        }
        for child in self.children() {
            child.ended_with_its_supervisor();
        }
    }

    pub(crate) fn restarts(&self) -> u64 {
        lock(&self.life).restarts
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

    pub(crate) fn add(&self, key: u64, child: &Arc<Self>) {
        lock(&self.children).insert(key, Arc::clone(child));
    }

    pub(crate) fn remove(&self, key: u64) {
        lock(&self.children).remove(&key);
    }

    pub(crate) fn clear(&self) {
        lock(&self.children).clear();
    }

    pub(crate) fn children(&self) -> Vec<Arc<Self>> {
        lock(&self.children).values().cloned().collect()
    }

    pub(crate) fn picture(&self) -> Tree {
        let children = self
            .children()
            .iter()
            .map(|child| child.picture())
            .collect();
        let life = lock(&self.life);
        Tree {
            id: self.id.to_string(),
            kind: self.kind,
            state: life.state,
            since_seconds: clock::now()
                .saturating_duration_since(life.since)
                .as_secs_f64(),
            restarts: life.restarts,
            last_cause: life.last_exit.as_ref().map(ToString::to_string),
            epoch: life.epoch,
            handled: self.stats.handled.load(Ordering::Relaxed),
            mailbox: self.depth(),
            in_flight: self.depth.is_some().then(|| self.in_flight()),
            credits: self.credits.iter().map(Account::of).collect(),
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
