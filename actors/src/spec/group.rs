//! A supervisor's specification. In: children and rules. Out: a specification that was checked.

use std::collections::HashSet;
use std::sync::Arc;

use super::{ChildSpec, Strategy};
use crate::{Backoff, Children, Intensity, StartError};

/// A supervisor: its children, in the order of their start, and its rules.
#[derive(Clone, Debug)]
pub struct SupervisorSpec {
    pub(crate) strategy: Strategy,
    pub(crate) intensity: Intensity,
    pub(crate) backoff: Backoff,
    /// Shared with every incarnation of the supervisor.
    pub(crate) children: Vec<Arc<ChildSpec>>,
    pub(crate) dynamic: Option<Children>,
}

impl SupervisorSpec {
    /// A supervisor without children so far.
    pub fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            intensity: Intensity::default(),
            backoff: Backoff::default(),
            children: Vec::new(),
            dynamic: None,
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

    /// Adds a child after those that are there.
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(Arc::new(child));
        self
    }

    pub(crate) fn check(&self, path: &str) -> Result<(), StartError> {
        let invalid = |flaw: &str| StartError::Invalid {
            path: path.to_owned(),
            flaw: flaw.to_owned(),
        };
        if let Some(flaw) = self.backoff.flaw() {
            return Err(invalid(flaw));
        }
        if self.dynamic.is_some() && !self.children.is_empty() {
            return Err(invalid(
                "a dynamic supervisor takes its children at run time only",
            ));
        }
        let mut ids = HashSet::new();
        for child in &self.children {
            if !ids.insert(&*child.id) {
                return Err(StartError::DuplicateId(format!("{path}/{}", child.id)));
            }
            child.check(path)?;
        }
        Ok(())
    }
}
