//! What travels between the stages: deliveries, bad records, and the messages of commit.
//!
//! Stages know this file, not each other; `app.rs` connects them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actors::{BatchMsg, Delivery, Epoch, Receipt, Reply, Settled};
use host::span::Span;
use purchases::{Purchase, Timestamp, wire};

use crate::lane::{Lane, Letter};
use crate::mark::{Kin, Look, Mark, Print};
use crate::tally::{Reach, Sale, Tally, TallyError};

/// What a record contributes to the statistics: its sale, if it was the first to store its
/// purchase. Redelivered, it contributes the same again; commit knows how far it has counted.
pub type Note = Sale;

/// Where a record came from. Stored with the document and written on a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Topic the record was read from.
    pub topic: Arc<str>,
    /// Partition of that topic.
    pub partition: i32,
    /// Offset in that partition.
    pub offset: i64,
}

impl Origin {
    /// Whether the record here says, by the value of its `replay-of`, that it stood further ahead in the
    /// same partition before it was sent back. Nothing else sends records back, and nothing is further
    /// ahead of itself.
    pub(crate) fn is_return(&self, replay_of: Option<&[u8]>) -> bool {
        let first = replay_of.and_then(wire::read_place);
        first.is_some_and(|(topic, partition, offset)| {
            (topic, partition) == (&*self.topic, self.partition) && offset < self.offset
        })
    }
}

/// A decoded purchase on its way into the database.
#[derive(Debug)]
pub struct Incoming {
    /// The purchase; its id is the record's, or derived from the origin where a foreign event
    /// has none.
    pub purchase: Purchase,
    /// The record it came in.
    pub origin: Origin,
    /// Whether it was sent back from the dead letters: see [`Origin::is_return`].
    pub came_back: bool,
    /// Tells of this work in the trace that the record came with, and ends with it.
    pub span: Span,
}

/// A record as it stands in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Original {
    /// Its key, if it has one.
    pub key: Option<Vec<u8>>,
    /// Its value, if it has one.
    pub value: Option<Vec<u8>>,
    /// Its headers in their order. A header may have no value.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The time that the log gave it or took over from its producer.
    pub time: Option<Timestamp>,
}

/// A record that can never become a purchase, whole, so that nothing of it is lost.
#[derive(Clone, Debug)]
pub struct BadRecord {
    /// The record.
    pub original: Original,
    /// Why it was refused, for the one who reads the dead letter.
    pub reason: String,
    /// Whether it was refused before, and sent back.
    pub came_back: bool,
    /// Where it stands.
    pub origin: Origin,
}

impl BadRecord {
    /// Bytes that it takes while it is under way, headers and all.
    pub(crate) fn weight(&self) -> usize {
        let Original {
            key,
            value,
            headers,
            ..
        } = &self.original;
        let long = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let each = headers
            .iter()
            .map(|(name, value)| name.len() + long(value) + size_of::<(String, Option<Vec<u8>>)>());
        size_of::<Self>() + self.reason.len() + long(key) + long(value) + each.sum::<usize>()
    }
}

/// What cannot be stored.
#[derive(Debug)]
pub enum Rejection {
    /// It could not be read as a purchase.
    Record(BadRecord),
    /// It could, and the database refuses its document. That is rare, so nobody carries the
    /// record's bytes along for it: they are read again from where they stand.
    Document {
        /// What was made of the record.
        incoming: Box<Incoming>,
        /// What the database said.
        reason: String,
    },
}

impl Rejection {
    /// The record it was.
    pub fn origin(&self) -> &Origin {
        match self {
            Self::Record(record) => &record.origin,
            Self::Document { incoming, .. } => &incoming.origin,
        }
    }
}

/// A purchase that must be settled.
pub type Delivered = Delivery<Incoming, Note>;
/// A bad record that must be settled.
pub struct Rejected {
    /// What it is.
    pub value: Rejection,
    /// Its receipt.
    pub receipt: Receipt<Note>,
    /// Says of its partition that letters are under way, until it is settled.
    pub letter: Option<Letter>,
}

/// Mailbox of the batch writer.
pub type WriteMsg = BatchMsg<Delivered>;
/// Mailbox of the dead-letter stage.
pub type DeadLetterMsg = BatchMsg<Rejected>;

/// Asks the reader of one partition, in one epoch, to start over from what is settled.
pub type Recall = Arc<dyn Fn() + Send + Sync>;
/// Tells the reader of one partition, in one epoch, the offset to read from. May take as long as
/// the database is away: nobody waits for it with a hand on something else.
pub type Opened = Box<dyn FnOnce(u64) + Send>;

/// Where the group stands in one partition, as the broker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The partition.
    pub partition: i32,
    /// Next offset to read; nothing before the first commit.
    pub committed: Option<u64>,
    /// The first offset that is still kept.
    pub first: u64,
    /// The offset the next record will get.
    pub end: u64,
}

impl Standing {
    /// Where reading starts: the committed offset, or the start of the log where nothing was ever
    /// committed, so that a new partition loses nothing.
    pub fn start(&self) -> u64 {
        self.committed.unwrap_or(self.first)
    }

    /// Records between what is committed and the end. Without a commit, all that are kept.
    pub fn lag(&self) -> u64 {
        let next = self.committed.unwrap_or(0).max(self.first);
        self.end.saturating_sub(next)
    }

    /// Whether the group's next offset is one that can be read. Asked before the first fetch, although the
    /// client would find out with it: here the figures are known, and nothing has been read yet.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn is_in_log(&self) -> Result<(), String> {
        let Self {
            committed,
            first,
            end,
            ..
        } = *self;
        match committed {
            Some(next) if next < first => Err(format!(
                "the group's next offset is {next}, but the log begins at {first}: {} records were removed before they were read",
                first - next
            )),
            Some(next) if next > end => Err(format!(
                "the group's next offset is {next}, but the log ends at {end}: the topic was made anew or cut off"
            )),
            _ => Ok(()),
        }
    }
}

/// What the broker said of the partitions that it was asked about. Each is in one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learnt {
    /// Where the group stands in these.
    pub known: Vec<Standing>,
    /// Why it is not known of those, in words.
    pub unknown: BTreeMap<i32, String>,
    /// What the group has committed in those, as far as at least that was said.
    pub committed: BTreeMap<i32, u64>,
}

impl Learnt {
    /// Nothing, for one reason.
    pub fn nothing(partitions: &[i32], cause: &str) -> Self {
        let each = partitions.iter().map(|one| (*one, cause.to_owned()));
        Self {
            known: Vec::new(),
            unknown: each.collect(),
            committed: BTreeMap::new(),
        }
    }
}

/// What became of a partition when it was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// The partition.
    pub partition: i32,
    /// Next offset to read, everything before it being settled.
    pub next: u64,
    /// Whether that offset is known to be committed.
    pub committed: bool,
    /// Records that were read but not settled in time; their next owner reads them again.
    pub unsettled: usize,
}

/// Mailbox of the commit stage.
pub enum CommitMsg {
    /// A reader begins (again) on a partition. It is told the offset to read from once the
    /// partition's statistics are known: `start`, or what an earlier epoch of this partition has
    /// settled since.
    Open {
        /// Partition to be read.
        partition: i32,
        /// The reader's epoch; everything of an older one is fenced from here on.
        epoch: Epoch,
        /// Where the group stood in it at assignment; nothing if nobody could say: it is asked for then.
        standing: Option<Standing>,
        /// The partition.
        lane: Lane,
        /// Called when a record of this epoch failed and must be read again.
        recall: Recall,
        /// Gets the offset to read from.
        opened: Opened,
    },
    /// It was asked where the group stands in partitions that are being opened.
    Stood {
        /// They, in the epochs they were asked for.
        asked: Vec<(i32, Epoch)>,
        /// What there was to be learnt.
        found: Learnt,
    },
    /// The statistics of a partition that is being opened were asked for.
    Loaded {
        /// The partition.
        partition: i32,
        /// The epoch they were asked for.
        epoch: Epoch,
        /// What is saved of it; nothing before the first time. And whether that is of this log.
        found: Result<Option<(Box<Tally>, Kin)>, TallyError>,
    },
    /// The record by which a partition's log is known was read again; nothing if there is none any more.
    Looked {
        /// What was looked at.
        look: Look,
        /// What stands there, or why nobody knows.
        found: Result<Option<Print>, String>,
    },
    /// The statistics that were being saved.
    Saved(Vec<Save>),
    /// These offsets were read, in this order, and are on their way.
    Admit {
        /// Partition they were read from.
        partition: i32,
        /// Epoch of the reader.
        epoch: Epoch,
        /// Rising offsets.
        offsets: Vec<u64>,
        /// One of them, by which this log is known again.
        mark: Option<Mark>,
    },
    /// These deliveries came to their end.
    Settled(Vec<Settled<Note>>),
    /// The partitions are being taken away: commit what is settled, wait for the rest until the
    /// deadline, then fence.
    Release {
        /// Partitions to give back.
        partitions: Vec<i32>,
        /// How long unsettled work may still take.
        wait: Duration,
        /// The group already gave the partitions to somebody else: commit nothing.
        lost: bool,
        /// Gets the account of it.
        reply: Reply<Vec<Released>>,
    },
    /// Time to commit what moved.
    Tick,
    /// The commit that was under way ended.
    Committed {
        /// What was asked to be committed.
        positions: Vec<(i32, u64)>,
        /// Whether the group coordinator accepted it.
        result: Result<(), CommitError>,
    },
}

/// What became of saving the statistics of one partition.
pub struct Save {
    /// The partition.
    pub partition: i32,
    /// The epoch whose statistics they were.
    pub epoch: Epoch,
    /// How far they reach.
    pub reach: Reach,
    /// Whether they are saved.
    pub result: Result<(), TallyError>,
}

/// Why a commit was refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CommitError {
    /// The coordinator moved, is loading, or did not answer in time: try again.
    #[error("commit not accepted for now: {0}")]
    Retryable(String),
    /// This member no longer owns what it wanted to commit: never try again in this epoch.
    #[error("commit refused, the partition has another owner: {0}")]
    Fenced(String),
    /// A partition of it was given back before it could be handed over: the others are committed anew.
    #[error("commit withdrawn, a partition of it was given back")]
    Withdrawn,
    /// There is no consumer (it left the group or is being replaced).
    #[error("no consumer to commit with")]
    NoConsumer,
}
