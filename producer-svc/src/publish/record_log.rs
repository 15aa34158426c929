//! The port to the log: what the publish stage wants of whatever keeps the records.
//!
//! In: a record. Out: its verdict, given once and from any thread. It names no client library.

use std::sync::Arc;
use std::time::Duration;

use actors::Failure;
use bytes::Bytes;
use host::span::Span;

use super::pace::Passage;
use crate::flow::{BrokerReport, Returned, Stored, Ticket, Unsold};
use crate::metrics::{Metrics, Outcome};

/// A record on its way: what its report needs. Whoever holds it answers.
pub struct InFlight {
    ticket: Ticket,
    value: Bytes,
    metrics: Arc<Metrics>,
    sending: Span,
    /// Ends with this value, and so opens the lane again.
    passage: Option<Passage>,
}

impl InFlight {
    /// A record that may be in the log from now on.
    pub fn new(mut ticket: Ticket, value: Bytes, metrics: Arc<Metrics>) -> Self {
        ticket.mark_sent();
        Self {
            ticket,
            value,
            metrics,
            sending: Span::none(),
            passage: None,
        }
    }

    /// Occupies a lane until it is reported on.
    pub(super) fn on(self, passage: Passage) -> Self {
        Self {
            passage: Some(passage),
            ..self
        }
    }

    /// Ends this span with the report.
    #[must_use]
    pub fn told_by(self, sending: Span) -> Self {
        Self { sending, ..self }
    }

    /// All in-sync replicas have it.
    pub fn stored(mut self, partition: i32, offset: Option<i64>) {
        if self.sending.is_recorded() {
            self.sending
                .set("messaging.destination.partition.id", partition.to_string());
            if let Some(offset) = offset {
                self.sending.set("messaging.kafka.offset", offset);
            }
        }
        self.metrics
            .published(Outcome::Stored, self.ticket.since().elapsed());
        self.ticket.answer(Ok(Stored {
            value: self.value,
            partition,
            offset,
        }));
    }

    /// It is certainly not in the log.
    pub fn not_stored(mut self, why: String) {
        self.sending.fail(&why);
        self.metrics
            .published(Outcome::NotStored, self.ticket.since().elapsed());
        self.ticket.answer(Err(Unsold::NotStored(why)));
    }

    /// The request that it shared was larger than the topic takes, so it is certainly not in the log.
    /// It goes back, to be sent with fewer others; `address` tells its key and headers.
    pub fn too_large(
        mut self,
        why: String,
        address: impl FnOnce() -> (String, Vec<(String, Vec<u8>)>),
    ) {
        let Some(passage) = self.passage.take() else {
            return self.not_stored(why);
        };
        let (key, headers) = address();
        self.ticket.mark_returned();
        passage.give_back(Returned {
            key,
            headers,
            value: self.value,
            ticket: self.ticket,
            sending: self.sending,
            why,
        });
    }

    /// It may be in the log or not.
    pub fn unknown(mut self, why: String) {
        self.sending.fail(&why);
        self.metrics
            .published(Outcome::Unknown, self.ticket.since().elapsed());
        self.ticket.answer(Err(Unsold::Unknown(why)));
    }
}

/// What of a record is written.
pub struct Addressed<'a> {
    /// Decides the partition.
    pub key: &'a str,
    /// Names and values.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The same as in its [`InFlight`].
    pub value: &'a [u8],
}

/// The port to the log.
pub trait RecordLog: Send + Sync + 'static {
    /// Takes a record without blocking. It answers the record itself when its report comes, from
    /// whatever thread and however late; a refusal means that the record certainly went nowhere.
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
    /// Why nothing can be written at present, and whether a broker said so.
    fn probe(&self) -> Result<(), Unwritable>;

    /// Blocks until every record taken is reported on. What is not when the time is over is given up: its
    /// outcome is unknown, and the log gets no more records. Returns how many are not reported on all the
    /// same.
    fn flush(&self, within: Duration) -> usize;

    /// The same, for a log that gets no more records: nothing that is not at the broker already is sent
    /// any more, and nothing again.
    fn retire(&self, within: Duration) -> usize;
}

/// Why nothing can be written at present.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// A broker answered, and this is wrong.
    #[error("{0}")]
    Told(String),
    /// None answered.
    #[error("{0}")]
    Unanswered(String),
}

/// Opens a log that reports about itself through the closure.
pub type OpenLog<L> = Arc<dyn Fn(Reports) -> Result<L, Failure> + Send + Sync>;

/// Where a log reports about itself, from any thread.
pub type Reports = Box<dyn Fn(BrokerReport) + Send + Sync>;
