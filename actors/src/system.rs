//! The running root. In: a specification, later a deadline. Out: a tree that is up, how it ended, and
//! who did not finish in time.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::AbortHandle;

use crate::lifeline::{
    ChildNews, Control, DrainOrder, Guard, Launch, News, Notice, Parent, SharedLosses,
};
use crate::metrics::Publisher;
use crate::spec::check_id;
use crate::supervisor;
use crate::sync::{AtomicBool, Mutex, Ordering, lock};
use crate::tree::{Kind, Node, State};
use crate::{
    DrainReport, Epoch, Event, Events, Exit, Laggard, Overrun, StartError, SupervisorSpec, Tree,
};

/// Events kept for a subscriber that is behind; a slower one loses the oldest and is told so.
const EVENTS_KEPT: usize = 1024;

/// A drain that is this many times the grace of a kill beyond its deadline is ended by force.
/// Nested supervisors that overrun are killed sooner, so that it is their parents who name them.
const GRACES: u32 = 5;

/// How often numbers are carried over to the metrics recorder.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// What every supervisor of a system knows.
pub(crate) struct Shared {
    events: broadcast::Sender<Event>,
}

impl Shared {
    /// Somebody ended, in whatever way.
    pub(crate) fn ended(&self, node: &Node, exit: &Exit) {
        self.emit(|| {
            let (path, exit) = (node.path.clone(), exit.clone());
            if exit.is_failure() {
                Event::Failed { path, exit }
            } else {
                Event::Ended { path, exit }
            }
        });
    }

    /// Without subscribers nothing is made.
    pub(crate) fn emit(&self, event: impl FnOnce() -> Event) {
        if self.events.receiver_count() > 0 && self.events.send(event()).is_err() {
            tracing::trace!("the last subscriber left");
        }
    }
}

/// A running tree. Dropping it kills the tree; [`drain`](Self::drain) ends it properly.
pub struct System {
    guard: Guard,
    exit: Arc<watch::Sender<Option<Exit>>>,
    shared: Arc<Shared>,
    handle: SystemHandle,
    /// One list for all drains: who comes second joins the first.
    losses: SharedLosses,
    /// That a drain is over was told.
    told: AtomicBool,
    kill_grace: Duration,
    publishing: AbortHandle,
}

impl System {
    /// Starts a tree and returns when every child is up. If one does not come up, those started
    /// before it are stopped again, in reverse order.
    ///
    /// # Errors
    /// [`StartError::DuplicateId`], [`StartError::Invalid`], and [`StartError::Drained`] for a pipeline or
    /// dynamic supervisor that was drained, before anything is started; [`StartError::Failed`] with the
    /// place and the cause afterwards.
    ///
    /// # Panics
    /// Outside a tokio runtime with time.
    pub async fn start(name: &str, root: SupervisorSpec) -> Result<Self, StartError> {
        check_id(name, name)?;
        root.check(name)?;
        let kill_grace = root.kill_grace;
        let kind = if root.dynamic.is_some() {
            Kind::Dynamic
        } else {
            Kind::Supervisor
        };
        let node = Node::new(None, name.into(), kind, None, Vec::new());
        let shared = Arc::new(Shared {
            events: broadcast::Sender::new(EVENTS_KEPT),
        });
        let handle = SystemHandle {
            node: Arc::clone(&node),
            shared: Arc::downgrade(&shared),
            publisher: Arc::default(),
        };
        let control = Arc::<Control>::default();
        let guard = Guard(Arc::clone(&control));
        let epoch = Epoch::next();
        let (to, mut news) = mpsc::unbounded_channel();
        let notice = Notice::new(Parent::System(to), 0, epoch, &control, Vec::new());
        node.begin(epoch, false);
        let launch = Launch {
            epoch,
            node: Arc::clone(&node),
            control,
            shared: Arc::clone(&shared),
            notice,
        };
        supervisor::spawn(Arc::new(root), launch).await;
        if let Some(exit) = until_up(&mut news, &node, kill_grace).await {
            return Err(StartError::Failed(format!("{name}: {exit}")));
        }
        let exit = Arc::new(watch::Sender::new(None));
        let (exit_in, shared_in) = (Arc::clone(&exit), Arc::clone(&shared));
        tokio::spawn(async move {
            // Without news there was no end, only a runtime that is shutting down.
            let exit = until_gone(&mut news, kill_grace).await;
            let exit = exit.unwrap_or(Exit::KilledByOthers);
            node.ended(&exit);
            node.enter(State::Ended);
            shared_in.ended(&node, &exit);
            settle(&exit_in, exit);
        });
        Publisher::describe();
        let publishing = tokio::spawn(publish(handle.clone())).abort_handle();
        Ok(Self {
            guard,
            exit,
            shared,
            handle,
            losses: SharedLosses::default(),
            told: AtomicBool::new(false),
            kill_grace,
            publishing,
        })
    }

    /// Drains the tree in reverse order of its start, each child awaited, under one deadline for all.
    /// Who does not finish in time is killed, awaited and named. Pending restarts are cancelled.
    /// A second call joins the first, with the earlier of the two deadlines and the same losses.
    ///
    /// It ends in any case: a root that is not gone [a while](SupervisorSpec::kill_grace) after the
    /// deadline, five times the grace of a kill, is killed with all that is under it; if even that
    /// does not end it within another grace, it is named as stuck and given up.
    pub async fn drain(&self, deadline: Duration) -> DrainReport {
        let began = tokio::time::Instant::now();
        let until: Option<Instant> = began.into_std().checked_add(deadline);
        self.guard.0.drain(DrainOrder {
            until,
            own: false,
            losses: Arc::clone(&self.losses),
        });
        let exit = match until.and_then(|until| until.checked_add(self.kill_grace * GRACES)) {
            Some(hard) => self.ended_by(hard.into()).await,
            None => self.ended().await,
        };
        let (laggards, failed) = {
            let losses = lock(&self.losses);
            (losses.laggards.clone(), losses.failed.clone())
        };
        let report = DrainReport {
            laggards,
            failed,
            exit,
            took: began.elapsed(),
        };
        if !self.told.swap(true, Ordering::Relaxed) {
            self.shared.emit(|| Event::Drained {
                path: self.handle.node.path.clone(),
                took: report.took,
            });
        }
        report
    }

    /// Waits for the end, and brings it about by force.
    async fn ended_by(&self, hard: tokio::time::Instant) -> Exit {
        if let Ok(exit) = tokio::time::timeout_at(hard, self.ended()).await {
            return exit;
        }
        let path = self.handle.node.path.clone();
        tracing::error!(actor = %path, "did not drain although its time is over; killed");
        self.guard.0.kill();
        if let Ok(exit) = tokio::time::timeout(self.kill_grace, self.ended()).await {
            return exit;
        }
        let given_up = Exit::MeltedDown(format!("{path}: {}", Overrun::Stuck));
        if settle(&self.exit, given_up) {
            self.shared.emit(|| Event::Stuck { path: path.clone() });
            lock(&self.losses).laggards.push(Laggard {
                path,
                overrun: Overrun::Stuck,
                mailbox: 0,
                in_flight: 0,
            });
        }
        self.ended().await
    }

    /// Waits for the end of the root: drained, or [`Exit::MeltedDown`] with the cause. A process
    /// whose root melted down should exit with a failure, so that it is replaced.
    pub async fn ended(&self) -> Exit {
        let mut exit = self.exit.subscribe();
        exit.wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|exit| exit.clone())
            .unwrap_or(Exit::KilledByOthers)
    }

    /// To look at the tree.
    pub fn handle(&self) -> SystemHandle {
        self.handle.clone()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        self.publishing.abort();
        self.handle.publish_metrics();
    }
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("System").field(&self.handle.node.id).finish()
    }
}

/// The first word on the end stands; false if it was said already.
fn settle(exit: &watch::Sender<Option<Exit>>, how: Exit) -> bool {
    exit.send_if_modified(|known| {
        let first = known.is_none();
        known.get_or_insert(how);
        first
    })
}

/// The exit of a root that did not come up.
async fn until_up(
    news: &mut mpsc::UnboundedReceiver<ChildNews>,
    node: &Node,
    grace: Duration,
) -> Option<Exit> {
    match news.recv().await?.news {
        News::Started => {
            node.enter(State::Running);
            None
        }
        News::Ending(exit) => Some(until_over(news, exit, grace).await),
        News::Gone(exit) | News::Left(exit) => Some(exit),
    }
}

async fn until_gone(
    news: &mut mpsc::UnboundedReceiver<ChildNews>,
    grace: Duration,
) -> Option<Exit> {
    loop {
        match news.recv().await?.news {
            News::Started => {}
            News::Ending(exit) => return Some(until_over(news, exit, grace).await),
            News::Gone(exit) | News::Left(exit) => return Some(exit),
        }
    }
}

/// A root that ended by itself is gone when its children are; who blocks its thread never will be.
async fn until_over(
    news: &mut mpsc::UnboundedReceiver<ChildNews>,
    exit: Exit,
    grace: Duration,
) -> Exit {
    match tokio::time::timeout(grace, news.recv()).await {
        Ok(Some(ChildNews {
            news: News::Gone(exit) | News::Left(exit),
            ..
        })) => exit,
        Ok(_) => exit,
        Err(_) => Exit::MeltedDown(format!(
            "{exit}, and somebody is still there: it blocks its thread"
        )),
    }
}

async fn publish(handle: SystemHandle) {
    loop {
        handle.publish_metrics();
        tokio::time::sleep(PUBLISH_EVERY).await;
    }
}

/// A window on a running system; cheap to clone, keeps nothing alive.
#[derive(Clone)]
pub struct SystemHandle {
    node: Arc<Node>,
    /// Of the system and its actors: when they are gone, subscribers hear that it is over.
    shared: Weak<Shared>,
    publisher: Arc<Mutex<Publisher>>,
}

impl SystemHandle {
    /// The tree as it is. Asks no actor, so a stuck one does not get in the way.
    pub fn tree(&self) -> Tree {
        self.node.picture()
    }

    /// What happens from now on. A subscriber more than 1024 events behind loses the oldest.
    pub fn events(&self) -> Events {
        Events::new(match self.shared.upgrade() {
            Some(shared) => shared.events.subscribe(),
            None => broadcast::channel(1).1,
        })
    }

    /// Carries all numbers over to the metrics recorder now; otherwise it happens once a second.
    pub fn publish_metrics(&self) {
        lock(&self.publisher).publish(&self.node);
    }
}

impl fmt::Debug for SystemHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SystemHandle").field(&self.node.id).finish()
    }
}
