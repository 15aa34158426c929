//! The port to the log: what the publish stage wants of whatever keeps the records.
//!
//! In: a record. Out: its verdict, given once and from any thread. It names no client library.

use std::sync::Arc;
use std::time::Duration;

use actors::Failure;
use bytes::Bytes;

use super::pace::Passage;
use crate::flow::{BrokerReport, Stored, Ticket, Unsold};
use crate::metrics::{Metrics, Outcome};

/// A record on its way: what its report needs. Whoever holds it answers.
pub struct InFlight {
    ticket: Ticket,
    value: Bytes,
    metrics: Arc<Metrics>,
    /// Ends with this value, and so opens the lane again.
    _passage: Option<Passage>,
}

impl InFlight {
    /// A record that may be in the log from now on.
    pub fn new(mut ticket: Ticket, value: Bytes, metrics: Arc<Metrics>) -> Self {
        ticket.mark_sent();
        Self {
            ticket,
            value,
            metrics,
            _passage: None,
        }
    }

    /// Occupies a lane until it is reported on.
    pub(super) fn on(self, passage: Passage) -> Self {
        Self {
            _passage: Some(passage),
            ..self
        }
    }

    /// The record's value. Cheap to clone.
    pub fn value(&self) -> &Bytes {
        &self.value
    }

    /// All in-sync replicas have it.
    pub fn stored(self, partition: i32, offset: Option<i64>) {
        self.metrics
            .published(Outcome::Stored, self.ticket.since().elapsed());
        self.ticket.answer(Ok(Stored {
            value: self.value,
            partition,
            offset,
        }));
    }

    /// It is certainly not in the log.
    pub fn not_stored(self, why: String) {
        self.metrics
            .published(Outcome::NotStored, self.ticket.since().elapsed());
        self.ticket.answer(Err(Unsold::NotStored(why)));
    }

    /// It may be in the log or not.
    pub fn unknown(self, why: String) {
        self.metrics
            .published(Outcome::Unknown, self.ticket.since().elapsed());
        self.ticket.answer(Err(Unsold::Unknown(why)));
    }
}

/// Key and headers of a record; its value is in its [`InFlight`].
pub struct Addressed<'a> {
    /// Decides the partition.
    pub key: &'a str,
    /// Names and values.
    pub headers: [(&'static str, &'a [u8]); 5],
}

/// The port to the log.
pub trait RecordLog: Send + Sync + 'static {
    /// Takes a record without blocking. It answers the record itself when its report comes, from
    /// whatever thread; a refusal means that the record certainly went nowhere.
    ///
    /// # Errors
    ///
    /// The record, and why it was not taken.
    fn append(
        &self,
        to: &Addressed<'_>,
        record: Box<InFlight>,
    ) -> Result<(), (String, Box<InFlight>)>;

    /// The lane that a key's records travel on: those of one partition share requests.
    fn lane(&self, key: &str) -> usize;

    /// Asks the broker for the topic. Blocks, for a bounded time.
    ///
    /// # Errors
    ///
    /// Why nothing can be written at present.
    fn probe(&self) -> Result<(), String>;

    /// Blocks until every record taken is reported on, or until the time is over. Returns how many
    /// are not.
    fn flush(&self, within: Duration) -> usize;
}

/// Opens a log that reports about itself through the closure.
pub type OpenLog<L> = Arc<dyn Fn(Reports) -> Result<L, Failure> + Send + Sync>;

/// Where a log reports about itself, from any thread.
pub type Reports = Box<dyn Fn(BrokerReport) + Send + Sync>;
