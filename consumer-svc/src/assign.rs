//! Assignment: keeps this member in its consumer group and one reader running per partition.
//!
//! In: rebalances. Out: readers started, and partitions given back in the one right order: stop
//! reading, let unsettled work end, commit, fence, unassign. It must not touch records or offsets.

pub mod kafka;
mod release;

use std::sync::Arc;
use std::time::Duration;

use actors::{Cx, Failure, Stage};
use tracing::info;

pub use self::release::{Assigned, Assignment, GivenBack, Held, MakeReader};

/// The port to the group: a thread of its own that polls the consumer.
pub trait Membership: Send + Sync + 'static {
    /// Joins and stays until `leave` or a fatal error; waits for an earlier membership to be over
    /// first. Resolves when the group was left and every partition given back.
    /// A `leave` from here on counts, also before the future is polled.
    fn run(self: Arc<Self>) -> impl Future<Output = Result<(), String>> + Send + 'static;
    /// Leaves the group. Does not wait.
    fn leave(&self);
}

/// Mailbox of the assignment.
pub enum AssignMsg {
    /// The membership is over.
    Left(Result<(), String>),
}

/// Holds the membership: when it goes, the member leaves.
pub struct Assign<M: Membership> {
    membership: Arc<M>,
    draining: bool,
}

impl<M: Membership> Assign<M> {
    /// Not yet a member; that begins when the actor starts.
    pub fn new(membership: Arc<M>) -> Self {
        Self {
            membership,
            draining: false,
        }
    }
}

impl<M: Membership> Drop for Assign<M> {
    /// Also when the actor was killed: a thread that stayed in the group without readers would
    /// hold its partitions and read nothing.
    fn drop(&mut self) {
        self.membership.leave();
    }
}

impl<M: Membership> Stage for Assign<M> {
    type Msg = AssignMsg;

    async fn started(&mut self, cx: &mut Cx<AssignMsg>) -> Result<(), Failure> {
        let member = Arc::clone(&self.membership).run();
        cx.spawn(async move { AssignMsg::Left(member.await) });
        Ok(())
    }

    async fn handle(&mut self, msg: AssignMsg, _: &mut Cx<AssignMsg>) -> Result<(), Failure> {
        match msg {
            AssignMsg::Left(Ok(())) if self.draining => {
                info!("left the consumer group");
                Ok(())
            }
            AssignMsg::Left(Ok(())) => Err("the group membership ended unasked".into()),
            AssignMsg::Left(Err(cause)) => Err(cause.into()),
        }
    }

    async fn drained(&mut self, _: &mut Cx<AssignMsg>) -> Result<(), Failure> {
        self.draining = true;
        self.membership.leave();
        Ok(())
    }
}

/// How long the steps of giving a partition back may take.
#[derive(Clone, Copy, Debug)]
pub struct ReleasePace {
    /// For a reader to end its turn.
    pub stop: Duration,
    /// For what was read to be settled and committed, while others wait for the partition.
    pub settle: Duration,
    /// The same where this member leaves: nobody waits for it before it has left.
    pub leave: Duration,
}

#[cfg(test)]
mod tests;
