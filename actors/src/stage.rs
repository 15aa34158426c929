//! Domain work as plain async functions. In: messages, one at a time. Out: whatever the work sends on.
//!
//! No ractor type in sight; the adapter is `stage_actor.rs`.

use std::future::Future;

use crate::{Cx, Failure};

/// The work of one actor: a value with three callbacks, all optional but one.
///
/// A value never survives its incarnation: after a failure the supervisor makes a new one. An error
/// or a panic in a callback ends the incarnation; its mailbox is dropped, so receipts in it count
/// as failed, while owned tasks still run to their end.
pub trait Stage: Send + 'static {
    /// What it takes. It should not panic while it is dropped: one that does is survived, two in one
    /// mailbox that goes down are an abort of the process, as two such panics at once always are.
    type Msg: Send + 'static;

    /// Called first. The supervisor starts the next child only after this returned; an error or a
    /// panic means the child did not start. Messages sent meanwhile wait in the mailbox. A kill drops the
    /// returned future, as that of the other callbacks.
    fn started(
        &mut self,
        cx: &mut Cx<Self::Msg>,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        let _unused = cx;
        async { Ok(()) }
    }

    /// Handles one message, or one result of an owned task. A kill drops the returned future at its
    /// await point: work that must not be cut off belongs into [`Cx::spawn`].
    fn handle(
        &mut self,
        msg: Self::Msg,
        cx: &mut Cx<Self::Msg>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Called once while draining, when the mailbox is closed and empty, to finish or flush; it may
    /// [`Cx::spawn`]. Afterwards the results of owned tasks still arrive through
    /// [`handle`](Self::handle) until none is in flight; then the actor ends.
    fn drained(
        &mut self,
        cx: &mut Cx<Self::Msg>,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        let _unused = cx;
        async { Ok(()) }
    }
}
