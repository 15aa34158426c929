//! The port to one partition's records.

use std::sync::Arc;

use crate::flow::{BadRecord, Incoming};
use crate::lane::Halt;
use crate::mark::Mark;

/// One record as the client hands it out.
#[derive(Debug)]
pub enum Polled {
    /// A purchase.
    Purchase(Box<Incoming>, usize),
    /// Something that will never be one.
    Bad(Box<BadRecord>, usize),
    /// A record without a value: nothing to store, nothing to keep.
    Tombstone {
        /// Its offset.
        offset: i64,
    },
}

/// Why nothing can be read.
#[derive(Debug)]
pub enum SourceError {
    /// What the client reports and deals with by itself, in words.
    Passing(String),
    /// Whatever is read next would not be what comes next.
    Lost(Halt),
}

/// The port to one partition's records.
pub trait PartitionSource: Send + 'static {
    /// Takes the next record that is already here. Does not wait.
    ///
    /// # Errors
    /// What the client reports for this partition.
    fn poll(&mut self) -> Result<Option<Polled>, SourceError>;

    /// One of the records that were taken since this was last asked, by which the log is known again.
    fn mark(&mut self) -> Option<Mark>;
}

/// Why the client's position was not moved.
#[derive(Debug)]
pub enum SeekError {
    /// It does not read this partition for now; it may soon.
    NotYet(String),
    /// Anything else, in words.
    Failed(String),
}

/// Opens the records of a partition. `wake` is called whenever records arrive at an empty queue.
pub trait OpenPartition: Send + Sync + 'static {
    /// What it opens.
    type Source: PartitionSource;
    /// Takes hold of the partition's queue. Called before anything is read.
    ///
    /// # Errors
    /// When the partition is not assigned any more.
    fn open(&self, wake: Arc<dyn Fn() + Send + Sync>) -> Result<Self::Source, String>;
    /// Moves the client's position. Blocks.
    ///
    /// # Errors
    /// What the client says.
    fn seek(&self, offset: u64) -> Result<(), SeekError>;
}

impl Polled {
    /// What the record weighs against the credits.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Purchase(_, bytes) | Self::Bad(_, bytes) => *bytes,
            Self::Tombstone { .. } => 0,
        }
    }

    /// Its offset.
    pub(super) fn offset(&self) -> u64 {
        let offset = match self {
            Self::Purchase(purchase, _) => purchase.origin.offset,
            Self::Bad(record, _) => record.origin.offset,
            Self::Tombstone { offset } => *offset,
        };
        offset.unsigned_abs()
    }
}
