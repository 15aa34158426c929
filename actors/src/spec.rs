//! What is to be supervised, and how. In: ids, recipes, rules. Out: specifications a supervisor can
//! start from again and again.

mod group;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::guard::catch_now;
use crate::lifeline::Launch;
use crate::stage_actor;
use crate::supervisor::machine::Policy;
use crate::tree::{DepthFn, Kind};
use crate::watch::Watch;
use crate::{Addr, Credits, Epoch, Exit, Stage, StartError, supervisor};
pub use group::SupervisorSpec;

/// Who is restarted together with a failed child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Nobody.
    OneForOne,
    /// Those that were started after it.
    RestForOne,
    /// All.
    OneForAll,
}

/// After which ends a child is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Any end, a normal one too.
    Permanent,
    /// A failure only.
    Transient,
    /// Never, also not for its neighbours' sake.
    Temporary,
}

/// How a child is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Killed at once.
    Kill,
    /// Drained; killed when it takes longer.
    Drain(Duration),
    /// Drained, however long it takes; a shared deadline still holds, and in a stop the supervisor
    /// begins itself its [`patience`](SupervisorSpec::patience).
    Infinity,
}

/// The drain a stage is given when nothing is said. The deadline of [`System::drain`](crate::System::drain)
/// is usually shorter, and then rules.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

type Birth = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Clone)]
enum Role {
    Stage {
        start: Arc<dyn Fn(Launch) -> Birth + Send + Sync>,
        depth: Arc<DepthFn>,
    },
    Supervisor(Arc<SupervisorSpec>),
}

/// How to start, restart and stop one child.
#[derive(Clone)]
pub struct ChildSpec {
    pub(crate) id: Arc<str>,
    role: Role,
    restart: Restart,
    shutdown: Shutdown,
    start_within: Option<Duration>,
    vital: bool,
    pub(crate) watch: Option<Watch>,
    pub(crate) credits: Vec<Credits>,
    /// Those of them that are taken back with an incarnation.
    pub(crate) reclaims: Vec<Credits>,
}

impl ChildSpec {
    /// A stage that lives at `addr`; `make` builds a fresh value for every incarnation.
    ///
    /// It is [`Restart::Permanent`] and drained for up to 30 s unless told otherwise. A panic in
    /// `make` is a failed start. It must not block its thread for long: that is a worker of the runtime,
    /// and one that was about to wait for timers leaves them to the others only when something wakes them.
    pub fn stage<S: Stage>(
        id: impl Into<String>,
        addr: &Addr<S::Msg>,
        make: impl Fn(Epoch) -> S + Send + Sync + 'static,
    ) -> Self {
        let make = Arc::new(make);
        let (home, mailbox) = (addr.clone(), addr.clone());
        let start = move |launch: Launch| -> Birth {
            let (make, addr) = (Arc::clone(&make), home.clone());
            Box::pin(async move {
                match catch_now(|| make(launch.epoch)) {
                    Ok(stage) => stage_actor::spawn(stage, addr, launch).await,
                    Err(panic) => launch
                        .notice
                        .record(Exit::StartFailed(format!("panicked: {panic}"))),
                }
            })
        };
        let role = Role::Stage {
            start: Arc::new(start),
            depth: Arc::new(move || mailbox.depth()),
        };
        Self {
            id: id.into().into(),
            role,
            restart: Restart::Permanent,
            shutdown: Shutdown::Drain(PATIENCE),
            start_within: None,
            vital: false,
            watch: None,
            credits: Vec::new(),
            reclaims: Vec::new(),
        }
    }

    /// A nested supervisor. It is [`Restart::Permanent`] and given all the time there is to drain:
    /// its children have limits of their own.
    pub fn supervisor(id: impl Into<String>, spec: SupervisorSpec) -> Self {
        let role = Role::Supervisor(Arc::new(spec));
        Self {
            id: id.into().into(),
            role,
            restart: Restart::Permanent,
            shutdown: Shutdown::Infinity,
            start_within: None,
            vital: false,
            watch: None,
            credits: Vec::new(),
            reclaims: Vec::new(),
        }
    }

    /// After which ends it is restarted.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How it is stopped.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// How long a start may take, in a drain as well; one that takes longer is killed and counts as
    /// failed. Without it,
    /// a start may take for ever, and holds up those that come after it.
    ///
    /// # Panics
    /// If zero: nobody would ever be up in time.
    pub fn start_within(mut self, limit: Duration) -> Self {
        assert!(
            !limit.is_zero(),
            "a child that is given no time never starts"
        );
        self.start_within = Some(limit);
        self
    }

    /// Makes its failure its supervisor's: it is not restarted, the supervisor gives up with the cause.
    /// For a child whose state cannot be made again by a restart, such as a dynamic supervisor,
    /// which would come back without its children.
    pub fn vital(mut self) -> Self {
        self.vital = true;
        self
    }

    /// Has its supervisor watch over its progress; see [`Watch`]. For stages alone: a child that is a
    /// supervisor watches over its own children, and nothing of them is seen from above, so there it
    /// is [`StartError::Invalid`].
    pub fn watch(mut self, watch: Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Shows an account of credits at this place in the live tree: what senders take of it is the
    /// room that this child serves. May be called for several accounts.
    ///
    /// It is for looking at alone; taking and giving back is between senders and permits. A permit
    /// that travels with a message, or in its receipt, is dropped with it: when this child dies, what
    /// is in its mailbox and in its value gives its credits back before its successor starts, and what
    /// its owned tasks hold when they end. What somebody else keeps is not touched; see
    /// [`reclaims`](Self::reclaims).
    pub fn credits(mut self, credits: &Credits) -> Self {
        self.credits.push(credits.clone());
        self
    }

    /// As [`credits`](Self::credits), and the account is this child's alone: whenever an incarnation is
    /// gone, everything that is taken counts as returned, so that an owned task of it that hangs, or
    /// somebody who keeps its receipts, starves nobody of its successor's room.
    ///
    /// A start refuses siblings that reclaim the same account.
    ///
    /// A permit from before then comes back without effect. Until it does, there may be that much
    /// more under way than the account says: also what a sender has taken and not sent yet.
    pub fn reclaims(mut self, credits: &Credits) -> Self {
        let known = |account: &Credits| account.account() == credits.account();
        if !self.reclaims.iter().any(known) {
            self.reclaims.push(credits.clone());
        }
        self.credits(credits)
    }

    /// Whether none of these takes back what this one does.
    pub(crate) fn check_alone<'a>(
        &self,
        siblings: impl Iterator<Item = &'a Self>,
        path: &str,
    ) -> Result<(), StartError> {
        // Few have any, and siblings may be many.
        if self.reclaims.is_empty() {
            return Ok(());
        }
        let others: Vec<usize> = siblings
            .flat_map(|sibling| &sibling.reclaims)
            .map(Credits::account)
            .collect();
        let shared = |credits: &&Credits| others.contains(&credits.account());
        match self.reclaims.iter().find(shared) {
            None => Ok(()),
            Some(credits) => Err(StartError::Invalid {
                path: format!("{path}/{}", self.id),
                flaw: format!(
                    "`{}` is not its alone: what one of two takes back would be the other's as well",
                    credits.name()
                ),
            }),
        }
    }

    /// Its id, unique among its siblings.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn policy(&self) -> Policy {
        let under = match &self.role {
            Role::Stage { .. } => None,
            Role::Supervisor(spec) => Some(spec.longest()),
        };
        Policy {
            restart: self.restart,
            shutdown: self.shutdown,
            start_within: self.start_within,
            vital: self.vital,
            keeps_deadlines: under.is_some(),
            under,
        }
    }

    /// How long it may take in a stop that its supervisor began itself, where those without a limit
    /// get `patience`.
    fn longest(&self, patience: Duration) -> Duration {
        match (self.shutdown, &self.role) {
            (Shutdown::Kill, _) => Duration::ZERO,
            (Shutdown::Drain(limit), _) => limit,
            (Shutdown::Infinity, Role::Stage { .. }) => patience,
            (Shutdown::Infinity, Role::Supervisor(spec)) => spec.longest(),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match &self.role {
            Role::Stage { .. } => Kind::Stage,
            Role::Supervisor(spec) if spec.dynamic.is_some() => Kind::Dynamic,
            Role::Supervisor(_) => Kind::Supervisor,
        }
    }

    pub(crate) fn depth(&self) -> Option<Arc<DepthFn>> {
        match &self.role {
            Role::Stage { depth, .. } => Some(Arc::clone(depth)),
            Role::Supervisor(_) => None,
        }
    }

    pub(crate) fn launch(&self, launch: Launch) -> Birth {
        match &self.role {
            Role::Stage { start, .. } => start(launch),
            Role::Supervisor(spec) => Box::pin(supervisor::spawn(Arc::clone(spec), launch)),
        }
    }

    pub(crate) fn check(&self, path: &str) -> Result<(), StartError> {
        check_id(&self.id, path)?;
        match &self.role {
            Role::Stage { .. } => Ok(()),
            Role::Supervisor(_) if self.watch.is_some() => Err(StartError::Invalid {
                path: format!("{path}/{}", self.id),
                flaw: "a watch over a supervisor sees nothing of its children".to_owned(),
            }),
            Role::Supervisor(spec) => spec.check(&format!("{path}/{}", self.id)),
        }
    }
}

/// Paths are put together from ids, so an id must not look like a path.
pub(crate) fn check_id(id: &str, path: &str) -> Result<(), StartError> {
    if id.is_empty() || id.contains('/') {
        return Err(StartError::Invalid {
            path: path.to_owned(),
            flaw: format!("`{id}` is no id: it must not be empty and must not contain a slash"),
        });
    }
    Ok(())
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("id", &self.id)
            .field("kind", &self.kind())
            .field("restart", &self.restart)
            .field("shutdown", &self.shutdown)
            .finish()
    }
}
