//! What a reader needs, and needs again after a restart.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use actors::{Addr, Credits, Outlet};

use crate::flow::{CommitMsg, DeadLetterMsg, Note, Standing, WriteMsg};
use crate::lane::Lane;

/// How much one turn of a reader may take.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Records a poll (`KAFKA_MAX_POLL_RECORDS`).
    pub records: usize,
    /// Bytes a poll; the record that crosses the line is still taken.
    pub bytes: usize,
    /// Records a partition may be read ahead of its oldest unsettled one.
    pub ahead: usize,
}

/// What a reader needs, also after a restart.
pub struct ReaderArgs<O> {
    /// Partition to read.
    pub partition: i32,
    /// Where the group stood when the partition was assigned; the client stands at its start. Nothing if
    /// nobody could say; then the client stands anywhere.
    pub standing: Option<Standing>,
    /// Opens the partition's queue.
    pub open: Arc<O>,
    /// Whether a reader of this assignment ran before: then the client's position must be moved.
    pub opened_before: Arc<AtomicBool>,
    /// What the stages share of this partition.
    pub lane: Lane,
    /// Limits of one turn.
    pub limits: ReadLimits,
    /// Bounds everything between reading and settling, over all partitions.
    pub credits: Credits,
    /// Where settlements go.
    pub outlet: Outlet<Note>,
    /// The commit stage.
    pub commit: Addr<CommitMsg>,
    /// The batch writer.
    pub write: Addr<WriteMsg>,
    /// The dead-letter stage.
    pub dead_letter: Addr<DeadLetterMsg>,
}

impl<O> Clone for ReaderArgs<O> {
    fn clone(&self) -> Self {
        Self {
            partition: self.partition,
            standing: self.standing,
            open: Arc::clone(&self.open),
            opened_before: Arc::clone(&self.opened_before),
            lane: self.lane.clone(),
            limits: self.limits,
            credits: self.credits.clone(),
            outlet: Arc::clone(&self.outlet),
            commit: self.commit.clone(),
            write: self.write.clone(),
            dead_letter: self.dead_letter.clone(),
        }
    }
}
