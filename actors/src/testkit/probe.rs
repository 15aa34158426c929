//! A stage that only looks. In: messages. Out: their record, and how many of it are alive.

use std::sync::Arc;

use crate::sync::{Mutex, lock};
use crate::{Addr, ChildSpec, Cx, Epoch, Failure, Stage};

#[derive(Debug)]
struct Seen<M> {
    messages: Vec<M>,
    epochs: Vec<Epoch>,
    drained: usize,
    alive: usize,
    most_alive: usize,
}

/// Records what its stages see, over all incarnations; shared by cloning.
#[derive(Debug)]
pub struct Probe<M> {
    seen: Arc<Mutex<Seen<M>>>,
}

impl<M> Clone for Probe<M> {
    fn clone(&self) -> Self {
        Self {
            seen: Arc::clone(&self.seen),
        }
    }
}

impl<M> Default for Probe<M> {
    fn default() -> Self {
        let seen = Seen {
            messages: Vec::new(),
            epochs: Vec::new(),
            drained: 0,
            alive: 0,
            most_alive: 0,
        };
        Self {
            seen: Arc::new(Mutex::new(seen)),
        }
    }
}

impl<M: Send + 'static> Probe<M> {
    /// Nothing seen so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// A stage that records for this probe.
    pub fn stage(&self) -> ProbeStage<M> {
        let mut seen = lock(&self.seen);
        seen.alive += 1;
        seen.most_alive = seen.most_alive.max(seen.alive);
        ProbeStage {
            probe: self.clone(),
        }
    }

    /// A child with such a stage.
    pub fn child(&self, id: impl Into<String>, addr: &Addr<M>) -> ChildSpec {
        let probe = self.clone();
        ChildSpec::stage(id, addr, move |_| probe.stage())
    }

    /// Takes the messages seen so far.
    pub fn take(&self) -> Vec<M> {
        std::mem::take(&mut lock(&self.seen).messages)
    }

    /// How many messages were seen and not taken.
    pub fn len(&self) -> usize {
        lock(&self.seen).messages.len()
    }

    /// Whether no message was seen, or all were taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The generations that started, in order.
    pub fn epochs(&self) -> Vec<Epoch> {
        lock(&self.seen).epochs.clone()
    }

    /// How many generations were drained.
    pub fn drained(&self) -> usize {
        lock(&self.seen).drained
    }

    /// How many of its stages exist right now.
    pub fn alive(&self) -> usize {
        lock(&self.seen).alive
    }

    /// The most of its stages that ever existed at once.
    pub fn most_alive(&self) -> usize {
        lock(&self.seen).most_alive
    }
}

/// The stage of a [`Probe`].
#[derive(Debug)]
pub struct ProbeStage<M> {
    probe: Probe<M>,
}

impl<M: Send + 'static> Stage for ProbeStage<M> {
    type Msg = M;

    async fn started(&mut self, cx: &mut Cx<M>) -> Result<(), Failure> {
        lock(&self.probe.seen).epochs.push(cx.epoch());
        Ok(())
    }

    async fn handle(&mut self, msg: M, _cx: &mut Cx<M>) -> Result<(), Failure> {
        lock(&self.probe.seen).messages.push(msg);
        Ok(())
    }

    async fn drained(&mut self, _cx: &mut Cx<M>) -> Result<(), Failure> {
        lock(&self.probe.seen).drained += 1;
        Ok(())
    }
}

impl<M> Drop for ProbeStage<M> {
    fn drop(&mut self) {
        lock(&self.probe.seen).alive -= 1;
    }
}
