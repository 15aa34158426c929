//! What a stage may do besides handling a message. In: owned work, timers, its wish to end. Out: results
//! as messages to itself.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use crate::addr::Incarnation;
use crate::guard::{catch, catch_now};
use crate::tree::Node;
use crate::{Addr, Epoch};

/// The result of an owned task, or the text of its panic.
pub(crate) type Done<M> = Result<M, String>;

type Results<M> = (
    mpsc::UnboundedSender<Done<M>>,
    mpsc::UnboundedReceiver<Done<M>>,
);

/// The hands of a stage, given to every callback.
pub struct Cx<M> {
    addr: Addr<M>,
    pub(crate) me: Arc<Incarnation<M>>,
    epoch: Epoch,
    pub(crate) node: Arc<Node>,
    /// Where results come in; made with the first owned task, since many actors never have one.
    done: Option<Results<M>>,
    in_flight: usize,
    pub(crate) finishing: bool,
    /// Dropped with the actor, which ends its timers, whoever holds their handles.
    timers: Option<watch::Sender<()>>,
}

impl<M> Cx<M> {
    /// Own stable address.
    pub fn addr(&self) -> &Addr<M> {
        &self.addr
    }

    /// Generation of this incarnation.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Owned tasks whose result was not handled yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Ends the actor normally after this callback. Messages still in the mailbox are dropped;
    /// results of owned tasks are handled before the end.
    pub fn finish(&mut self) {
        self.finishing = true;
    }
}

impl<M: Send + 'static> Cx<M> {
    pub(crate) fn new(
        addr: Addr<M>,
        me: Arc<Incarnation<M>>,
        epoch: Epoch,
        node: Arc<Node>,
    ) -> Self {
        Self {
            addr,
            me,
            epoch,
            node,
            done: None,
            in_flight: 0,
            finishing: false,
            timers: None,
        }
    }

    /// Runs a side effect in a task of its own that is never dropped half way, not even when the
    /// actor is killed. The result comes to [`Stage::handle`](crate::Stage::handle), before messages that wait.
    ///
    /// A panic in it fails the actor with the panic's text. If the actor is gone by then, the result
    /// is dropped, so a receipt inside counts as failed.
    pub fn spawn(&mut self, work: impl Future<Output = M> + Send + 'static) {
        let (done_in, me) = self.begin();
        tokio::spawn(async move {
            let done = catch(work).await;
            deliver(&done_in, &me, done);
        });
    }

    /// Like [`spawn`](Self::spawn), on a thread where blocking is allowed.
    pub fn spawn_blocking(&mut self, work: impl FnOnce() -> M + Send + 'static) {
        let (done_in, me) = self.begin();
        tokio::task::spawn_blocking(move || deliver(&done_in, &me, catch_now(work)));
    }

    /// Sends a message to this incarnation later. Dropping the [`Timer`] cancels it, and so does the
    /// end of the actor. A draining actor takes no messages any more, from timers neither: what has
    /// to be waited for while draining is a sleep inside [`spawn`](Self::spawn).
    pub fn send_after(&mut self, delay: Duration, msg: M) -> Timer {
        let me = Arc::clone(&self.me);
        let timers = self.timers.get_or_insert_with(|| watch::channel(()).0);
        let mut ended = timers.subscribe();
        let task = tokio::spawn(async move {
            tokio::select! {
                biased;
                // Nothing is ever sent: it changes by the sender's end.
                _ = ended.changed() => return,
                () = tokio::time::sleep(delay) => {}
            }
            drop(me.deliver(msg));
        });
        Timer {
            task: task.abort_handle(),
        }
    }

    fn begin(&mut self) -> (mpsc::UnboundedSender<Done<M>>, Arc<Incarnation<M>>) {
        self.count(self.in_flight + 1);
        let (done_in, _) = self.done.get_or_insert_with(mpsc::unbounded_channel);
        (done_in.clone(), Arc::clone(&self.me))
    }

    /// A finished result, if there is one.
    pub(crate) fn try_done(&mut self) -> Option<Done<M>> {
        if self.in_flight == 0 {
            return None;
        }
        let done = self.done.as_mut()?.1.try_recv().ok()?;
        self.count(self.in_flight - 1);
        Some(done)
    }

    /// The next result; `None` when nothing is in flight.
    pub(crate) async fn done(&mut self) -> Option<Done<M>> {
        if self.in_flight == 0 {
            return None;
        }
        let done = self.done.as_mut()?.1.recv().await?;
        self.count(self.in_flight - 1);
        Some(done)
    }

    fn count(&mut self, in_flight: usize) {
        self.in_flight = in_flight;
        self.node
            .stats
            .in_flight
            .store(in_flight, Ordering::Relaxed);
    }
}

impl<M> Drop for Cx<M> {
    fn drop(&mut self) {
        self.node.stats.in_flight.store(0, Ordering::Relaxed);
    }
}

/// Hands a result over and wakes the actor, once for as many results as it finds then.
fn deliver<M: Send + 'static>(
    done_in: &mpsc::UnboundedSender<Done<M>>,
    me: &Incarnation<M>,
    done: Done<M>,
) {
    if done_in.send(done).is_ok() {
        me.wake();
    }
}

/// A message that will be sent. Dropping it cancels it.
#[derive(Debug)]
#[must_use = "a dropped timer never fires"]
pub struct Timer {
    task: AbortHandle,
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
