//! The shell of a supervisor: a ractor actor around [`machine`]. In: news of children and orders.
//! Out: starts, drains and kills as the machine decides.
//!
//! It never waits inside a handler, so it can always be asked to stop. It links nothing in ractor's
//! own tree, which would kill children without a drain and forget those that are draining: what
//! binds them is in `lifeline.rs`.

mod acts;
mod looks;
pub(crate) mod machine;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::AbortHandle;

use crate::children::{Children, Stopped};
use crate::guard::catch_now;
use crate::lifeline::{ChildNews, DrainOrder, Guard, Launch, News, SharedLosses, Target};
use crate::reply::Reply;
use crate::tree::Node;
use crate::watch::{Watch, Watcher};
use crate::{ChildSpec, Epoch, Exit, StartError, StopError, SupervisorSpec};
use machine::{Act, Key, Machine};

/// What a supervisor hears.
pub(crate) enum SupMsg {
    Child(ChildNews),
    Tick,
    /// Watched children are to be looked at.
    Look,
    Stop(DrainOrder),
    Insert {
        child: Arc<ChildSpec>,
        reply: Reply<Result<Epoch, StartError>>,
    },
    Remove {
        id: String,
        until: Option<Instant>,
        reply: Reply<Result<Stopped, StopError>>,
    },
    #[cfg(feature = "testkit")]
    Panic,
}

struct SupervisorActor;

/// One child as the shell keeps it.
struct Child {
    spec: Arc<ChildSpec>,
    node: Arc<Node>,
    epoch: Option<Epoch>,
    /// Present while an incarnation is around.
    guard: Option<Guard>,
    /// How its last incarnation ended.
    exit: Option<Exit>,
    overran: bool,
    watcher: Watcher,
    start: Option<Reply<Result<Epoch, StartError>>>,
    stops: Vec<Reply<Result<Stopped, StopError>>>,
}

struct State {
    myself: ActorRef<SupMsg>,
    machine: Machine,
    children: BTreeMap<Key, Child>,
    /// By id, for children that come and go.
    keys: HashMap<Arc<str>, Key>,
    handle: Option<(Children, Arc<ActorRef<SupMsg>>)>,
    alarm: Option<(Instant, AbortHandle)>,
    /// How often watched children are looked at, and by whom.
    looking: Option<(Duration, AbortHandle)>,
    /// Of the drain that was ordered. Who overruns a stop of its own is told to who asked for it.
    losses: Option<SharedLosses>,
    #[cfg(feature = "testkit")]
    faults: Option<crate::testkit::Faults>,
    /// Last, so that the end is told after every guard is dropped.
    launch: Launch,
}

/// Starts a supervisor; it brings up its children on its own and then says so.
pub(crate) async fn spawn(spec: Arc<SupervisorSpec>, launch: Launch) {
    if let Err(refused) = SupervisorActor::spawn(None, SupervisorActor, (spec, launch)).await {
        tracing::trace!(%refused, "a supervisor did not start");
    }
}

impl State {
    fn new(myself: ActorRef<SupMsg>, spec: &SupervisorSpec, launch: Launch) -> Self {
        let machine = Machine::new(spec.rules(), crate::pace::chance);
        launch.node.clear();
        let mut state = Self {
            myself,
            machine,
            children: BTreeMap::new(),
            keys: HashMap::new(),
            handle: None,
            alarm: None,
            looking: None,
            losses: None,
            #[cfg(feature = "testkit")]
            faults: spec.faults.clone(),
            launch,
        };
        for child in &spec.children {
            let key = state.machine.add(Arc::clone(&child.id), child.policy());
            state.settle_in(key, Arc::clone(child));
        }
        state
    }

    fn settle_in(&mut self, key: Key, spec: Arc<ChildSpec>) {
        let node = Node::new(
            Some(&self.launch.node.path),
            Arc::clone(&spec.id),
            spec.kind(),
            spec.depth(),
            spec.credits.clone(),
        );
        self.launch.node.add(key, &node);
        if let Some((children, _)) = &self.handle {
            self.keys.insert(Arc::clone(&spec.id), key);
            children.came(key, &spec.id);
        }
        let child = Child {
            spec,
            node,
            epoch: None,
            guard: None,
            exit: None,
            overran: false,
            watcher: Watcher::default(),
            start: None,
            stops: Vec::new(),
        };
        let period = child.spec.watch.as_ref().map(Watch::period);
        self.children.insert(key, child);
        if let Some(period) = period {
            self.look_every(period);
        }
    }

    fn boot(&mut self) {
        let acts = self.machine.boot(crate::clock::now());
        self.perform(acts);
        self.set_alarm();
    }

    /// A panic is noted as the cause of the end that follows.
    fn guarded(&mut self, work: impl FnOnce(&mut Self)) -> Result<(), ActorProcessingErr> {
        catch_now(|| work(self)).map_err(|panic| {
            self.launch.notice.record(Exit::Panicked(panic.clone()));
            panic.into()
        })
    }

    fn hear(&mut self, msg: SupMsg) {
        let now = crate::clock::now();
        match msg {
            SupMsg::Tick => {
                self.alarm = None;
                let acts = self.machine.tick(now);
                self.perform(acts);
            }
            SupMsg::Look => self.look(now),
            SupMsg::Stop(order) => {
                self.losses = Some(order.losses);
                // After a restart it takes children again, after a drain nobody does.
                if let (Some((children, _)), false) = (&self.handle, order.own) {
                    children.set_drained();
                }
                self.launch.node.enter(crate::tree::State::Draining);
                let acts = self.machine.stop(order.until, order.own, now);
                self.perform(acts);
            }
            SupMsg::Child(ChildNews {
                key,
                epoch,
                news: News::Started,
            }) => {
                self.child_started(key, epoch);
                let acts = self.machine.started(key, epoch, now);
                self.perform(acts);
            }
            SupMsg::Child(ChildNews {
                key,
                epoch,
                news: News::Ending(exit),
            }) => {
                let acts = self.machine.ending(key, epoch, &exit, now);
                self.perform(acts);
            }
            SupMsg::Child(ChildNews {
                key,
                epoch,
                news: News::Gone(exit),
            }) => {
                let exit = self.machine.verdict(key, epoch).cloned().unwrap_or(exit);
                self.child_gone(key, epoch, &exit);
                let acts = self.machine.gone(key, epoch, &exit, now);
                self.perform(acts);
            }
            SupMsg::Child(ChildNews {
                key,
                epoch,
                news: News::Left(exit),
            }) => {
                // However it ended, that is not what its end is about.
                let exit = if exit.is_failure() {
                    exit
                } else {
                    let left = "somebody under it is still there: it blocks its thread";
                    Exit::Failed(left.to_owned())
                };
                self.child_gone(key, epoch, &exit);
                self.tell_stuck(key);
                let acts = self.machine.left(key, epoch, &exit, now);
                self.perform(acts);
            }
            SupMsg::Insert { child, reply } => self.insert(child, reply, now),
            SupMsg::Remove { id, until, reply } => self.remove(&id, until, reply, now),
            #[cfg(feature = "testkit")]
            SupMsg::Panic => panic!("planned panic"),
        }
        self.set_alarm();
    }

    fn insert(
        &mut self,
        child: Arc<ChildSpec>,
        reply: Reply<Result<Epoch, StartError>>,
        now: Instant,
    ) {
        if self.keys.contains_key(&child.id) {
            return acts::answer(reply, Err(StartError::AlreadyThere(child.id.to_string())));
        }
        let siblings = self.children.values().map(|child| &*child.spec);
        if let Err(flaw) = child.check_alone(siblings, &self.launch.node.path) {
            return acts::answer(reply, Err(flaw));
        }
        let (key, acts) = self
            .machine
            .insert(Arc::clone(&child.id), child.policy(), now);
        let Some(key) = key else {
            let drained = self.handle.as_ref();
            let drained = drained.is_some_and(|(children, _)| children.is_drained());
            let why = if drained {
                StartError::Drained
            } else {
                // It stops, and will be there again if it is restarted.
                StartError::NotRunning
            };
            return acts::answer(reply, Err(why));
        };
        self.settle_in(key, child);
        if let Some(child) = self.children.get_mut(&key) {
            child.start = Some(reply);
        }
        self.perform(acts);
    }

    fn remove(
        &mut self,
        id: &str,
        until: Option<Instant>,
        reply: Reply<Result<Stopped, StopError>>,
        now: Instant,
    ) {
        let Some(key) = self.keys.get(id).copied() else {
            return acts::answer(reply, Err(StopError::Unknown(id.to_owned())));
        };
        if let Some(child) = self.children.get_mut(&key) {
            child.stops.push(reply);
        }
        let acts = self.machine.remove(key, until, now);
        self.perform(acts);
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some((children, me)) = self.handle.take() {
            children.release(&me);
        }
        // Not gone before they are, and they may block their threads.
        if self.children.values().any(|child| child.guard.is_some()) {
            self.launch.notice.ending();
        }
        if let Some((_, alarm)) = self.alarm.take() {
            alarm.abort();
        }
        if let Some((_, looking)) = self.looking.take() {
            looking.abort();
        }
    }
}

impl Actor for SupervisorActor {
    type Msg = SupMsg;
    type State = State;
    type Arguments = (Arc<SupervisorSpec>, Launch);

    async fn pre_start(
        &self,
        myself: ActorRef<SupMsg>,
        (spec, launch): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let mut state = State::new(myself.clone(), &spec, launch);
        if let Some(children) = &spec.dynamic {
            let me = Arc::new(myself.clone());
            let flaw = if children.is_drained() {
                Some(StartError::Drained.to_string())
            } else if children.take(&me, &state.launch.node.path) {
                None
            } else {
                Some("its `Children` handle belongs to another running supervisor".to_owned())
            };
            if let Some(flaw) = flaw {
                state.launch.notice.record(Exit::StartFailed(flaw.clone()));
                return Err(flaw.into());
            }
            state.handle = Some((children.clone(), me));
        }
        state
            .launch
            .control
            .reached(Target::Supervisor(myself.clone()));
        // Before it hears of anything: a child that is started at run time is none of the first round,
        // which would wait for it.
        state.guarded(State::boot)?;
        state.launch.control.up();
        Ok(state)
    }

    async fn handle(
        &self,
        _: ActorRef<SupMsg>,
        message: SupMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.guarded(|state| state.hear(message))
    }
}

/// Carries one act out.
fn apply(state: &mut State, act: Act) {
    #[cfg(feature = "testkit")]
    if let Some(faults) = &state.faults {
        faults.act(|| state.myself.kill());
    }
    match act {
        Act::Start { key, epoch, again } => state.start(key, epoch, again),
        Act::Drain { key, until, own } => state.drain(key, until, own),
        Act::Kill { key } => state.kill(key),
        Act::Overran { key } => state.overran(key, crate::Overrun::Draining),
        Act::NotReached { key } => state.overran(key, crate::Overrun::NotReached),
        Act::Stuck { key } => state.stuck(key),
        Act::Wait { key, delay } => state.wait(key, delay),
        Act::Done { key } => state.enter(key, crate::tree::State::Ended),
        Act::Forget { key } => state.forget(key),
        Act::Up => state.launch.notice.started(),
        Act::End { exit, stuck } => state.end(exit, stuck),
    }
}
