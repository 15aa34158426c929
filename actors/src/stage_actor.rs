//! A [`Stage`] as a ractor actor. In: messages and results of owned tasks, for which it is woken. Out: calls of the
//! stage's callbacks, and the class of its end told to the supervisor.
//!
//! Panics are caught here and not left to ractor, which cannot tell them from errors. A drain is
//! ractor's own: from its order on nothing more is taken, and what waits then is handled in `post_stop`.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ::metrics::Histogram;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::{consume_budget, yield_now};
use tokio::time::Instant;

use crate::addr::Incarnation;
use crate::cx::Done;
use crate::exit::told;
use crate::guard::{catch, catch_now, catch_pinned};
use crate::lifeline::{Launch, Target};
use crate::metrics;
use crate::{Addr, Cx, Exit, Failure, Stage};

/// Messages, or results of owned tasks, wait. All that goes through ractor's own mailbox.
pub(crate) struct Poke;

/// After so many messages ractor looks at its other ports.
const BURST: usize = 256;

struct StageActor<S>(PhantomData<fn() -> S>);

struct Args<S: Stage> {
    stage: S,
    addr: Addr<S::Msg>,
    launch: Launch,
}

struct State<S: Stage> {
    /// Present until dropped, which is before everything else but the messages.
    stage: Option<S>,
    cx: Cx<S::Msg>,
    /// Messages that it took and did not begin.
    hand: VecDeque<S::Msg>,
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

    /// Handles what waits, unless it is to end before.
    async fn take_messages(&mut self) -> Result<(), ActorProcessingErr> {
        for _ in 0..BURST {
            if self.cx.finishing || (self.hand.is_empty() && !self.cx.me.inbox.take(&mut self.hand))
            {
                return Ok(());
            }
            self.take_message().await?;
        }
        self.cx.me.wake();
        Ok(())
    }

    /// The same to the end, when nobody is heard any more.
    async fn take_last_messages(&mut self) -> Result<(), ActorProcessingErr> {
        self.hand.append(&mut self.cx.me.inbox.close());
        while !self.cx.finishing && !self.hand.is_empty() {
            self.take_message().await?;
        }
        Ok(())
    }

    async fn take_message(&mut self) -> Result<(), ActorProcessingErr> {
        // A stage that never waits for anything must leave others a turn all the same.
        consume_budget().await;
        self.take_done().await?;
        if self.cx.finishing {
            return Ok(());
        }
        self.obey_kill().await;
        let mut msg = self.hand.pop_front();
        self.cx.me.depth.begun();
        self.call(&mut msg).await
    }

    /// Nothing more is begun once a kill was ordered: ractor drops this future as soon as it waits.
    async fn obey_kill(&mut self) {
        if self.launch.control.is_killed() {
            std::future::pending::<()>().await;
        }
    }

    /// Results come before messages: they free what the messages will want.
    async fn take_done(&mut self) -> Result<(), ActorProcessingErr> {
        while let Some(done) = self.cx.try_done() {
            self.obey_kill().await;
            self.take(done).await?;
        }
        Ok(())
    }

    /// Drops what it will not begin.
    fn drop_messages(&mut self) {
        let mut hand = mem::take(&mut self.hand);
        hand.append(&mut self.cx.me.inbox.close());
        hand.iter().for_each(|_| self.cx.me.depth.begun());
        if let Err(panic) = catch_now(|| drop(hand)) {
            self.dropped_badly(panic);
        }
    }

    fn dropped_badly(&self, panic: String) {
        let exit = Exit::Panicked(format!("while being dropped: {panic}"));
        self.launch.notice.record(exit);
    }
}

impl<S: Stage> Drop for State<S> {
    fn drop(&mut self) {
        self.cx.addr().move_out(&self.cx.me);
        self.launch.notice.ending();
        self.launch.node.stats.busy.store(false, Ordering::Relaxed);
        self.drop_messages();
        let stage = self.stage.take();
        if let Err(panic) = catch_now(|| drop(stage)) {
            self.dropped_badly(panic);
        }
    }
}

impl<S: Stage> Actor for StageActor<S> {
    type Msg = Poke;
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
        let me = Arc::new(Incarnation::new(myself.clone()));
        let mut state = State {
            stage: Some(stage),
            seconds: None,
            hand: VecDeque::new(),
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
        Poke: Poke,
        state: &mut State<S>,
    ) -> Result<(), ActorProcessingErr> {
        // Whoever woke it is seldom alone: the tasks that are ready now put their messages down first, and one
        // wake-up is for all of them.
        yield_now().await;
        state.cx.me.bell.heard();
        state.take_done().await?;
        state.take_messages().await?;
        leave_if_finishing(&myself, state);
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<Self::Msg>,
        state: &mut State<S>,
    ) -> Result<(), ActorProcessingErr> {
        state.take_last_messages().await?;
        // Before the wait for owned tasks: one may wait for what a message holds.
        state.drop_messages();
        state.draining = !state.cx.finishing;
        if state.draining
            && let Some(stage) = state.stage.as_mut()
        {
            let result = catch(async { stage.drained(&mut state.cx).await }).await;
            state.judge(result)?;
        }
        while let Some(done) = state.cx.done().await {
            state.obey_kill().await;
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

/// Not ractor's stop, which would go on taking messages until it is heard.
fn leave_if_finishing<S: Stage>(myself: &ActorRef<Poke>, state: &State<S>) {
    if state.cx.finishing && myself.drain().is_err() {
        tracing::trace!("an actor that finishes was stopping already");
    }
}
