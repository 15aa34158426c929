//! A supervisor's specification. In: children and rules. Out: a specification that was checked.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::{ChildSpec, Strategy};
use crate::restart::CENTURY;
use crate::supervisor::machine::Rules;
use crate::{Backoff, Children, Intensity, StartError};

/// What a killed child gets to be gone when nothing is said.
const KILL_GRACE: Duration = Duration::from_secs(1);

/// A supervisor: its children, in the order of their start, and its rules.
#[derive(Clone, Debug)]
pub struct SupervisorSpec {
    strategy: Strategy,
    intensity: Intensity,
    backoff: Backoff,
    patience: Duration,
    pub(crate) kill_grace: Duration,
    /// Shared with every incarnation of the supervisor.
    pub(crate) children: Vec<Arc<ChildSpec>>,
    pub(crate) dynamic: Option<Children>,
    #[cfg(feature = "testkit")]
    pub(crate) faults: Option<crate::testkit::Faults>,
}

impl SupervisorSpec {
    /// A supervisor without children so far.
    pub fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            intensity: Intensity::default(),
            backoff: Backoff::default(),
            patience: super::PATIENCE,
            kill_grace: KILL_GRACE,
            children: Vec::new(),
            dynamic: None,
            #[cfg(feature = "testkit")]
            faults: None,
        }
    }

    /// A one-for-one supervisor whose children come and go at run time through `children`, keyed by
    /// their id. It starts empty, also after a restart of its own. When it stops, its children drain
    /// all at once: there is no order among them.
    pub fn dynamic(children: &Children) -> Self {
        Self {
            dynamic: Some(children.clone()),
            ..Self::new(Strategy::OneForOne)
        }
    }

    /// How many restarts are allowed. They are counted over all children of a supervisor, but for
    /// each child alone if it is dynamic: lanes that fail together for one cause, such as a writer
    /// that crashed, are no reason to give up.
    pub fn intensity(mut self, intensity: Intensity) -> Self {
        self.intensity = intensity;
        self
    }

    /// How long it waits before a restart; counted for each child alone.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How long a child without a limit of its own ([`Shutdown::Infinity`](crate::Shutdown)) may
    /// drain when it is this supervisor that stops it, for a restart of its neighbours or because it
    /// gives up: such a stop has to end although nobody set a deadline. 30 s when nothing is said.
    /// Then it is killed, as one that has a limit. A nested supervisor applies its own to its children.
    ///
    /// A stop that a supervisor begins itself (a restart round, giving up, a start taken back) has one
    /// deadline for all, as a drain has: the longest time that any of those who stop is given, also those
    /// under nested supervisors. Who takes all of it leaves none to those before it, which are killed. A dynamic
    /// supervisor counts with its patience, so give it as much as its children have.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How long a killed child may take to be gone: 1 s when nothing is said. It is gone at its next
    /// await point, and after its value and its mailbox are dropped. One that is not, because it
    /// blocks its thread in a callback or in a `Drop`, cannot be ended by anybody and counts as stuck:
    /// its supervisor gives up, since nothing can take its place safely. So does one that ended by itself,
    /// and a supervisor that ended over such a child. A start refuses a grace of
    /// zero, in which nobody could be gone, and one of more than a hundred years.
    pub fn kill_grace(mut self, grace: Duration) -> Self {
        self.kill_grace = grace;
        self
    }

    /// Adds a child after those that are there.
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(Arc::new(child));
        self
    }

    #[cfg(feature = "testkit")]
    pub(crate) fn faults(mut self, faults: &crate::testkit::Faults) -> Self {
        self.faults = Some(faults.clone());
        self
    }

    /// The longest that one of its children may take in a stop it began itself. Nothing is known of
    /// those that come at run time.
    pub(super) fn longest(&self) -> Duration {
        let children = self.children.iter();
        let longest = children.map(|child| child.longest(self.patience)).max();
        match &self.dynamic {
            Some(_) => self.patience,
            None => longest.unwrap_or_default(),
        }
    }

    pub(crate) fn rules(&self) -> Rules {
        Rules {
            strategy: self.strategy,
            dynamic: self.dynamic.is_some(),
            intensity: self.intensity,
            backoff: self.backoff,
            patience: self.patience,
            kill_grace: self.kill_grace,
        }
    }

    pub(crate) fn check(&self, path: &str) -> Result<(), StartError> {
        let invalid = |flaw: &str| StartError::Invalid {
            path: path.to_owned(),
            flaw: flaw.to_owned(),
        };
        if let Some(flaw) = self.backoff.flaw() {
            return Err(invalid(flaw));
        }
        if self.intensity.restarts > 0 && self.intensity.within.is_zero() {
            return Err(invalid(
                "Intensity::within is zero: no two restarts would ever be counted together",
            ));
        }
        if self.kill_grace.is_zero() {
            return Err(invalid("SupervisorSpec::kill_grace is zero"));
        }
        if self.kill_grace > CENTURY {
            return Err(invalid(
                "SupervisorSpec::kill_grace is longer than a hundred years",
            ));
        }
        if self.dynamic.as_ref().is_some_and(Children::is_drained) {
            return Err(StartError::Drained);
        }
        if self.dynamic.is_some() && !self.children.is_empty() {
            return Err(invalid(
                "a dynamic supervisor takes its children at run time only",
            ));
        }
        let mut ids = HashSet::new();
        for (at, child) in self.children.iter().enumerate() {
            if !ids.insert(&*child.id) {
                return Err(StartError::DuplicateId(format!("{path}/{}", child.id)));
            }
            child.check(path)?;
            let before = self.children[..at].iter().map(|child| &**child);
            child.check_alone(before, path)?;
        }
        Ok(())
    }
}
