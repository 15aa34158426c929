//! Children that come and go. In: specifications and ids. Out: incarnations that are up, or really gone.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ractor::ActorRef;
use thiserror::Error;

use crate::home::Home;
use crate::reply::Reply;
use crate::supervisor::SupMsg;
use crate::sync::{Mutex, lock};
use crate::{ChildSpec, Epoch};

/// Why something did not start.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StartError {
    /// A specification makes no sense.
    #[error("{path}: {flaw}")]
    Invalid {
        /// Place in the tree.
        path: String,
        /// What is wrong with it.
        flaw: String,
    },
    /// Two children of one supervisor have the same id.
    #[error("{0}: a sibling has this id already")]
    DuplicateId(String),
    /// A child with this id lives, or is not gone yet.
    #[error("a child `{0}` is there already")]
    AlreadyThere(String),
    /// The child did not come up; the cause names which one, and why.
    #[error("{0}")]
    Failed(String),
    /// The supervisor is not running: not started, or being restarted.
    #[error("the supervisor is not running")]
    NotRunning,
    /// The dynamic supervisor, or the pipeline, is draining or was drained: nothing starts there any
    /// more, and it is not started again itself. A new one is built with new handles.
    #[error("it was drained; nothing starts there any more")]
    Drained,
}

/// Why nothing was stopped.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StopError {
    /// There is no child with this id.
    #[error("there is no child `{0}`")]
    Unknown(String),
    /// The supervisor is not running, so none of its children is either.
    #[error("the supervisor is not running")]
    NotRunning,
}

/// How a child was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopOutcome {
    /// It finished its work.
    Drained,
    /// It overran the deadline and was killed.
    Overran,
    /// It ended in another way meanwhile: it failed, finished by itself, or was waiting for a restart.
    Ended,
    /// It overran, was killed, and is still there because it blocks its thread. Its supervisor gives
    /// up: nothing can take its place safely.
    Stuck,
}

/// How a child was stopped, and its last incarnation.
pub(crate) type Stopped = (StopOutcome, Option<Epoch>);

#[derive(Default)]
struct Shared {
    supervisor: Home<ActorRef<SupMsg>>,
    /// Where in the tree it stands, or stood last.
    place: Mutex<Option<Arc<str>>>,
    /// By the number their supervisor gave them, which is the order of their start.
    ids: Mutex<BTreeMap<u64, Arc<str>>>,
    drained: AtomicBool,
}

/// Handle to the children of a [dynamic supervisor](crate::SupervisorSpec::dynamic).
///
/// ```
/// use std::time::Duration;
/// use actors::testkit::Probe;
/// use actors::{Addr, Children, StartError, StopOutcome, SupervisorSpec, System};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), actors::Failure> {
/// let readers = Children::new();
/// let system = System::start("readers", SupervisorSpec::dynamic(&readers)).await?;
/// let (probe, addr) = (Probe::<u8>::new(), Addr::new("reader-7"));
///
/// let first = readers.start(probe.child("reader-7", &addr)).await?;
/// let twice = readers.start(probe.child("reader-7", &addr)).await;
/// assert_eq!(twice, Err(StartError::AlreadyThere("reader-7".to_owned())));
///
/// let outcome = readers.stop("reader-7", Duration::from_secs(1)).await?;
/// assert_eq!(outcome, StopOutcome::Drained);
/// let again = readers.start(probe.child("reader-7", &addr)).await?;
/// assert!(again > first);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Children {
    shared: Arc<Shared>,
}

impl Children {
    /// A handle for one dynamic supervisor, before it runs. Restarts do not end it, a drain does.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a child and returns when it is up. A child that does not come up the first time is
    /// not retried. Dropping the future does not undo the start.
    ///
    /// # Errors
    /// [`StartError`]; a second start under a living id is [`StartError::AlreadyThere`].
    pub async fn start(&self, child: ChildSpec) -> Result<Epoch, StartError> {
        let place = lock(&self.shared.place).clone();
        child.check(place.as_deref().unwrap_or("(not running)"))?;
        let (reply, answer) = Reply::channel();
        self.tell(SupMsg::Insert {
            child: Arc::new(child),
            reply,
        })
        .ok_or_else(|| self.not_running())?;
        answer.await.unwrap_or_else(|_| Err(self.not_running()))
    }

    /// Drains one child and leaves the others alone. Returns when it is really gone: its value and
    /// everything in its mailbox are dropped, so another one may take its place. Owned tasks that
    /// overran still run to their end. Dropping the future does not take the stop back, nor its deadline.
    ///
    /// # Errors
    /// [`StopError`].
    pub async fn stop(&self, id: &str, deadline: Duration) -> Result<StopOutcome, StopError> {
        let (outcome, _) = self.stop_which(id, deadline).await?;
        Ok(outcome)
    }

    /// The same, and which incarnation it was that stopped; none if it never began.
    pub(crate) async fn stop_which(
        &self,
        id: &str,
        deadline: Duration,
    ) -> Result<Stopped, StopError> {
        let (reply, answer) = Reply::channel();
        let until = crate::clock::now().checked_add(deadline);
        self.tell(SupMsg::Remove {
            id: id.to_owned(),
            until,
            reply,
        })
        .ok_or(StopError::NotRunning)?;
        answer.await.unwrap_or(Err(StopError::NotRunning))
    }

    /// The ids that are taken, in the order of their start.
    pub fn ids(&self) -> Vec<String> {
        let ids = lock(&self.shared.ids);
        ids.values().map(|id| id.to_string()).collect()
    }

    fn not_running(&self) -> StartError {
        if self.is_drained() {
            StartError::Drained
        } else {
            StartError::NotRunning
        }
    }

    fn tell(&self, msg: SupMsg) -> Option<()> {
        let supervisor = self.shared.supervisor.who();
        supervisor.as_ref()?.cast(msg).ok()
    }

    #[cfg(feature = "testkit")]
    pub(crate) fn kill_supervisor(&self) -> bool {
        let supervisor = self.shared.supervisor.who();
        supervisor
            .as_ref()
            .map(|supervisor| supervisor.kill())
            .is_some()
    }

    #[cfg(feature = "testkit")]
    pub(crate) fn panic_supervisor(&self) -> bool {
        self.tell(SupMsg::Panic).is_some()
    }

    /// A supervisor takes the handle. Refused while another one has it.
    pub(crate) fn take(&self, supervisor: &Arc<ActorRef<SupMsg>>, place: &str) -> bool {
        let taken = self.shared.supervisor.move_in(supervisor);
        if taken {
            *lock(&self.shared.place) = Some(place.into());
        }
        taken
    }

    pub(crate) fn release(&self, supervisor: &Arc<ActorRef<SupMsg>>) {
        self.shared.supervisor.move_out(supervisor);
        lock(&self.shared.ids).clear();
    }

    /// The supervisor was asked to drain, for good.
    pub(crate) fn set_drained(&self) {
        self.shared.drained.store(true, Ordering::Release);
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.shared.drained.load(Ordering::Acquire)
    }

    pub(crate) fn came(&self, key: u64, id: &Arc<str>) {
        lock(&self.shared.ids).insert(key, Arc::clone(id));
    }

    pub(crate) fn went(&self, key: u64) {
        lock(&self.shared.ids).remove(&key);
    }
}

impl fmt::Debug for Children {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Children").field(&self.ids()).finish()
    }
}
