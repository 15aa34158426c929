//! A [`Stage`] as a ractor actor. In: mailbox messages and results of owned tasks. Out: calls of the
//! stage's callbacks, and the class of its end told to the supervisor.
//!
//! Panics are caught here and not left to ractor, which cannot tell them from errors. A drain is
//! ractor's own: it closes the mailbox, lets what is queued be handled and then calls `post_stop`.

use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ::metrics::Histogram;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::Instant;

use crate::addr::Incarnation;
use crate::bell::Bell;
use crate::cx::Done;
use crate::depth::Depth;
use crate::exit::told;
use crate::guard::{catch, catch_now, catch_pinned};
use crate::lifeline::{Launch, Target};
use crate::metrics;
use crate::{Addr, Cx, Exit, Failure, Stage};

/// What is in a stage's mailbox.
pub(crate) enum StageMsg<M> {
    User(M),
    /// Results of owned tasks wait.
    Poke,
}

struct StageActor<S>(PhantomData<fn() -> S>);

struct Args<S: Stage> {
    stage: S,
    addr: Addr<S::Msg>,
    launch: Launch,
}

struct State<S: Stage> {
    /// Present until dropped; dropped before everything else.
    stage: Option<S>,
    cx: Cx<S::Msg>,
    /// Present from the first message on: many actors live and end without one.
    seconds: Option<Histogram>,
    handled: u64,
    draining: bool,
    /// Last, so that the supervisor hears of the end when there is nothing left.
    launch: Launch,
}

/// Starts a stage behind an address and returns when it is up, or will never be. How it went, the
/// supervisor hears through the launch.
pub(crate) async fn spawn<S: Stage>(stage: S, addr: Addr<S::Msg>, launch: Launch) {
    let started = StageActor::<S>::spawn(
        None,
        StageActor(PhantomData),
        Args {
            stage,
            addr,
            launch,
        },
    )
    .await;
    if let Err(refused) = started {
        tracing::trace!(%refused, "a stage did not start");
    }
}

impl<S: Stage> State<S> {
    fn fail(&self, exit: Exit) -> ActorProcessingErr {
        let text = exit.to_string();
        self.launch.notice.record(exit);
        // Its mailbox is dropped before it is.
        self.launch.notice.ending();
        text.into()
    }

    fn judge(&self, result: Result<Result<(), Failure>, String>) -> Result<(), ActorProcessingErr> {
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(failure)) => Err(self.fail(Exit::Failed(told(failure)))),
            Err(panic) => Err(self.fail(Exit::Panicked(panic))),
        }
    }

    /// Has the stage handle what is put down there. Lent and not given, since every future that is
    /// given a message keeps and moves a place for it.
    async fn call(&mut self, msg: &mut Option<S::Msg>) -> Result<(), ActorProcessingErr> {
        let (Some(stage), Some(msg)) = (self.stage.as_mut(), msg.take()) else {
            return Ok(());
        };
        let clock = self
            .handled
            .is_multiple_of(metrics::SAMPLE)
            .then(Instant::now);
        let stats = &self.launch.node.stats;
        stats.busy.store(true, Ordering::Relaxed);
        let result = match catch_now(|| stage.handle(msg, &mut self.cx)) {
            Ok(work) => catch_pinned(pin!(work)).await,
            Err(panic) => Err(panic),
        };
        self.handled += 1;
        // This actor is the only writer.
        stats
            .handled
            .store(stats.handled.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        stats.busy.store(false, Ordering::Relaxed);
        if let Some(clock) = clock {
            let path = &self.launch.node.path;
            self.seconds
                .get_or_insert_with(|| metrics::handle_seconds(path))
                .record(clock.elapsed().as_secs_f64());
        }
        self.judge(result)
    }

    async fn take(&mut self, done: Done<S::Msg>) -> Result<(), ActorProcessingErr> {
        match done {
            Ok(msg) => self.call(&mut Some(msg)).await,
            Err(panic) => Err(self.fail(Exit::Panicked(panic))),
        }
    }

    /// Results come before messages: they free what the messages will want.
    async fn take_done(&mut self) -> Result<(), ActorProcessingErr> {
        while let Some(done) = self.cx.try_done() {
            self.take(done).await?;
        }
        Ok(())
    }
}

impl<S: Stage> Drop for State<S> {
    fn drop(&mut self) {
        self.cx.addr().move_out(&self.cx.me);
        self.launch.notice.ending();
        self.launch.node.stats.busy.store(false, Ordering::Relaxed);
        let stage = self.stage.take();
        if let Err(panic) = catch_now(|| drop(stage)) {
            self.launch
                .notice
                .record(Exit::Panicked(format!("while being dropped: {panic}")));
        }
    }
}

impl<S: Stage> Actor for StageActor<S> {
    type Msg = StageMsg<S::Msg>;
    type State = State<S>;
    type Arguments = Args<S>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: Args<S>,
    ) -> Result<State<S>, ActorProcessingErr> {
        let Args {
            stage,
            addr,
            launch,
        } = args;
        let me = Arc::new(Incarnation {
            actor: myself.clone(),
            depth: Depth::default(),
            bell: Bell::new(),
        });
        let mut state = State {
            stage: Some(stage),
            seconds: None,
            cx: Cx::new(
                addr.clone(),
                Arc::clone(&me),
                launch.epoch,
                Arc::clone(&launch.node),
            ),
            handled: 0,
            draining: false,
            launch,
        };
        if !addr.move_in(&me) {
            let text = format!("somebody lives at the address `{}` already", addr.name());
            return Err(state.fail(Exit::StartFailed(text)));
        }
        state
            .launch
            .control
            .reached(Target::Stage(myself.get_cell()));
        if let Some(stage) = state.stage.as_mut() {
            let text = match catch(async { stage.started(&mut state.cx).await }).await {
                Ok(Ok(())) => None,
                Ok(Err(failure)) => Some(told(failure)),
                Err(panic) => Some(format!("panicked: {panic}")),
            };
            if let Some(text) = text {
                return Err(state.fail(Exit::StartFailed(text)));
            }
        }
        state.launch.up();
        leave_if_finishing(&myself, &state);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut State<S>,
    ) -> Result<(), ActorProcessingErr> {
        if let StageMsg::Poke = message {
            state.cx.me.bell.heard();
        }
        state.take_done().await?;
        if let StageMsg::User(msg) = message {
            state.cx.me.depth.begun();
            if !state.cx.finishing {
                state.call(&mut Some(msg)).await?;
            }
        }
        leave_if_finishing(&myself, state);
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<Self::Msg>,
        state: &mut State<S>,
    ) -> Result<(), ActorProcessingErr> {
        state.draining = !state.cx.finishing;
        if state.draining
            && let Some(stage) = state.stage.as_mut()
        {
            let result = catch(async { stage.drained(&mut state.cx).await }).await;
            state.judge(result)?;
        }
        while let Some(done) = state.cx.done().await {
            state.take(done).await?;
        }
        state.launch.notice.record(if state.draining {
            Exit::Drained
        } else {
            Exit::Normal
        });
        Ok(())
    }
}

/// Not ractor's stop, which would discard results that wait in the mailbox.
fn leave_if_finishing<S: Stage>(myself: &ActorRef<StageMsg<S::Msg>>, state: &State<S>) {
    if state.cx.finishing && myself.drain().is_err() {
        tracing::trace!("an actor that finishes was stopping already");
    }
}
