//! Fault points. In: a plan of what goes wrong at which call. Out: panics, errors, hangs and delays there.

mod block;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use block::Block;

use crate::sync::{Mutex, lock};
use crate::{Addr, ChildSpec, Cx, Epoch, Failure, Stage, SupervisorSpec};

/// Where a fault can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Callback {
    /// The closure that makes the stage.
    Make,
    /// [`Stage::started`].
    Started,
    /// [`Stage::handle`].
    Handle,
    /// [`Stage::drained`].
    Drained,
    /// The drop of the stage.
    Drop,
    /// Any act of a supervisor: a child started, asked to drain, killed; see [`Faults::supervisor`].
    Act,
    /// Anything else a test names.
    Named(&'static str),
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Panics with the text `planned panic`.
    Panic,
    /// Fails with the text `planned error`; in callbacks that cannot fail it is a panic.
    Error,
    /// Never returns. A callback that cannot wait blocks its thread instead, until
    /// [`Faults::release`] or for 20 s.
    Hang,
    /// Returns later. A callback that cannot wait blocks its thread for so long, on the clock on the
    /// wall, and no longer than a hang would.
    Slow(Duration),
}

#[derive(Debug, Default)]
struct Plan {
    faults: HashMap<(Callback, u64), Fault>,
    always: HashMap<Callback, Fault>,
    calls: HashMap<Callback, u64>,
}

/// A plan of faults, shared by all incarnations of a stage, which are counted through.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
    block: Arc<Block>,
}

impl Faults {
    /// Nothing goes wrong so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// At the `nth` call (from 1) of the callback.
    pub fn at(self, callback: Callback, nth: u64, fault: Fault) -> Self {
        lock(&self.plan).faults.insert((callback, nth), fault);
        self
    }

    /// At every call of the callback.
    pub fn always(self, callback: Callback, fault: Fault) -> Self {
        lock(&self.plan).always.insert(callback, fault);
        self
    }

    /// Forgets what is planned, for calls to come.
    pub fn clear(&self) {
        let mut plan = lock(&self.plan);
        plan.faults.clear();
        plan.always.clear();
    }

    /// Lets everybody go on who blocks a thread, now and from now on. At the end of a test, before its
    /// runtime waits for its threads.
    pub fn release(&self) {
        self.block.release();
    }

    /// How often the callback was called.
    pub fn calls(&self, callback: Callback) -> u64 {
        lock(&self.plan)
            .calls
            .get(&callback)
            .copied()
            .unwrap_or_default()
    }

    /// Counts a call and gives what goes wrong with it.
    fn call(&self, callback: Callback) -> Option<Fault> {
        let mut plan = lock(&self.plan);
        let calls = plan.calls.entry(callback).or_default();
        *calls += 1;
        let nth = *calls;
        plan.faults
            .get(&(callback, nth))
            .or_else(|| plan.always.get(&callback))
            .copied()
    }

    /// A fault point: put it wherever something may go wrong, for example into a sink.
    ///
    /// # Errors
    /// If an error is planned.
    ///
    /// # Panics
    /// If a panic is planned.
    pub async fn point(&self, callback: Callback) -> Result<(), Failure> {
        match self.call(callback) {
            None => Ok(()),
            Some(Fault::Panic) => panic!("planned panic"),
            Some(Fault::Error) => Err("planned error".into()),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Slow(delay)) => {
                tokio::time::sleep(delay).await;
                Ok(())
            }
        }
    }

    /// A fault point where nothing can be awaited: a step, a key, [`Callback::Make`] and
    /// [`Callback::Drop`]. A hang or a delay blocks the thread there.
    ///
    /// # Panics
    /// If a panic or an error is planned, and if a hang or a delay is planned on a runtime that has
    /// one thread only, where nobody could see what it does to the others: such a test needs
    /// `#[tokio::test(flavor = "multi_thread")]`.
    pub fn sync_point(&self, callback: Callback) {
        match self.call(callback) {
            None => {}
            Some(Fault::Panic | Fault::Error) => panic!("planned panic"),
            Some(Fault::Hang) => self.block.here(callback, Duration::MAX),
            Some(Fault::Slow(delay)) => self.block.here(callback, delay),
        }
    }

    /// A child whose stage has a fault point in every callback.
    pub fn child<S: Stage>(
        &self,
        id: impl Into<String>,
        addr: &Addr<S::Msg>,
        make: impl Fn(Epoch) -> S + Send + Sync + 'static,
    ) -> ChildSpec {
        let faults = self.clone();
        ChildSpec::stage(id, addr, move |epoch| {
            faults.sync_point(Callback::Make);
            Faulty {
                inner: make(epoch),
                faults: faults.clone(),
            }
        })
    }
}

impl Faults {
    /// A supervisor with a fault point at each of its acts, half way through its own work. An error
    /// there is a panic, and what would wait is a kill, as if by an outsider.
    pub fn supervisor(&self, spec: SupervisorSpec) -> SupervisorSpec {
        spec.faults(self)
    }

    /// The fault point of a supervisor.
    ///
    /// # Panics
    /// If a panic or an error is planned.
    pub(crate) fn act(&self, kill: impl FnOnce()) {
        match self.call(Callback::Act) {
            None => {}
            Some(Fault::Panic | Fault::Error) => panic!("planned panic"),
            Some(Fault::Hang | Fault::Slow(_)) => kill(),
        }
    }
}

/// A stage with fault points before each of its callbacks; see [`Faults::child`].
pub struct Faulty<S> {
    inner: S,
    faults: Faults,
}

impl<S: Stage> Stage for Faulty<S> {
    type Msg = S::Msg;

    async fn started(&mut self, cx: &mut Cx<S::Msg>) -> Result<(), Failure> {
        self.faults.point(Callback::Started).await?;
        self.inner.started(cx).await
    }

    async fn handle(&mut self, msg: S::Msg, cx: &mut Cx<S::Msg>) -> Result<(), Failure> {
        self.faults.point(Callback::Handle).await?;
        self.inner.handle(msg, cx).await
    }

    async fn drained(&mut self, cx: &mut Cx<S::Msg>) -> Result<(), Failure> {
        self.faults.point(Callback::Drained).await?;
        self.inner.drained(cx).await
    }
}

impl<S> Drop for Faulty<S> {
    fn drop(&mut self) {
        self.faults.sync_point(Callback::Drop);
    }
}
