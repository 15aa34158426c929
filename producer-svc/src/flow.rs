//! What travels between the stages: an order, a chosen purchase, and the ticket that is owed an answer.
//!
//! Stages know this file, not each other; `app.rs` connects them.

use std::pin::Pin;
use std::time::Instant;

use actors::{Epoch, Permit, Reply};
use bytes::Bytes;
use futures_util::Stream;
use host::span::Span;
use host::trace::TraceParent;
use http::HeaderValue;
use purchases::{Purchase, PurchaseId, Timestamp, UserId, Username};

use crate::publish::Unwritable;
use crate::replay::Claim;

mod returned;

pub use returned::{Leftover, Returned};

/// From intake to select: who buys, not yet what.
pub struct Order {
    /// Identity of the purchase to be; the item follows from it.
    pub id: PurchaseId,
    /// Buyer, as shown to people.
    pub username: Username,
    /// Buyer, as known to machines.
    pub user_id: UserId,
    /// When the request was accepted.
    pub accepted: Timestamp,
    /// What goes into the record's headers.
    pub origin: Origin,
    /// The answer owed.
    pub ticket: Ticket,
}

/// From select to publish: a whole purchase.
pub struct Chosen {
    /// What is to be written.
    pub purchase: Purchase,
    /// What goes into the record's headers.
    pub origin: Origin,
    /// The answer owed.
    pub ticket: Ticket,
}

/// Mailbox of the publish stage.
pub enum PublishMsg {
    /// Write this purchase and answer its ticket. Boxed, as an order is: a mailbox moves what it
    /// holds many times.
    Publish(Box<Chosen>),
    /// Ask the broker whether it is there.
    Probe,
    /// What the broker said to the producer of this epoch, or why it said nothing.
    Probed(Epoch, Result<(), Unwritable>),
    /// Open another producer: the last one was not let in.
    Reopen,
    /// What the producer of this epoch reports by itself. A predecessor's report is void.
    Reported(Epoch, BrokerReport),
    /// Every record of this lane was reported on, in this epoch.
    Landed(Epoch, usize),
    /// A record came back: its request was too large for the topic. Its lane's landing follows.
    Returned(Leftover),
    /// See whether purchases were held too long.
    Sweep,
    /// Everything handed over in this epoch was reported on, except this many records.
    Flushed(Epoch, usize),
}

/// What a producer reports without being asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerReport {
    /// It can never be used again and must be replaced.
    Fatal(String),
    /// It can never be used again, because the broker does not permit what it asked for; another one
    /// may be let in when somebody has granted it.
    Barred(String),
    /// No broker can be reached at present.
    Down(String),
    /// The broker refuses this client: credentials, certificates, permissions.
    Refused(String),
}

/// Mailbox of the history stage.
pub enum HistoryMsg {
    /// Ask the management service and answer with what it says.
    Fetch {
        /// What to ask.
        ask: Ask,
        /// The credit held until the last byte of the answer.
        permit: Permit,
        /// Gets the answer's head, with its body to come.
        reply: Reply<Result<Fetched, Unreachable>>,
    },
    /// See whether the management service is there.
    Probe,
    /// Whether it was.
    Probed(Result<(), Unreachable>),
    /// A question ended like this.
    Ended(Result<(), Unreachable>),
    /// Whoever asked went away before there was an answer, which says nothing about the service.
    Left,
}

/// A question to the management service.
pub struct Ask {
    /// `GET` or `HEAD`.
    pub method: http::Method,
    /// Path and query behind the service's address.
    pub path: String,
    /// Headers to be passed on.
    pub headers: http::HeaderMap,
    /// Whether the answer is meant never to end.
    pub endless: bool,
}

/// The management service's answer: its head, and its body as it arrives.
pub struct Fetched {
    /// Status.
    pub status: http::StatusCode,
    /// Headers to be passed on.
    pub headers: http::HeaderMap,
    /// Body. An error ends it; nothing is appended that would make a torn answer look whole.
    pub body: FetchedBody,
}

/// Chunks as they arrive.
pub type FetchedBody = Pin<Box<dyn Stream<Item = Result<Bytes, Unreachable>> + Send + Sync>>;

/// The management service gave no answer, or not the whole of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the management service {0}")]
pub struct Unreachable(pub String);

/// The request that a record stems from.
pub struct Origin {
    /// Trace context to be continued by whoever reads the record.
    pub trace: TraceParent,
    /// What others note on that trace.
    pub state: Option<Box<str>>,
    /// Id under which the request is found in logs, if that is not the trace's.
    pub request_id: Option<HeaderValue>,
    /// The sending, from here to the report; its place is the one to be continued.
    pub sending: Span,
}

/// Where a purchase stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The record's value as it was written: the five fields as JSON.
    pub value: Bytes,
    /// Partition of the topic.
    pub partition: i32,
    /// Offset in the partition. `None` where the broker confirmed the record but no longer knew
    /// its offset, as for a resend that it recognised as one.
    pub offset: Option<i64>,
}

/// Why there is no 201.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsold {
    /// It is certain that the purchase is not in the log.
    #[error("not stored: {0}")]
    NotStored(String),
    /// The record was on its way and no report came: it may be in the log or not.
    #[error("outcome unknown: {0}")]
    Unknown(String),
}

/// What intake waits for.
pub type Verdict = Result<Stored, Unsold>;

/// The answer owed to one request, and the credit it holds. It is answered exactly once: dropped
/// anywhere on the way (a stage failed, a mailbox was lost) it answers by itself and truthfully.
pub struct Ticket {
    owed: Option<(Reply<Verdict>, Permit)>,
    since: Instant,
    sent: bool,
    /// The retry key, which is in use for as long as the answer is owed.
    claim: Option<Box<Claim>>,
}

impl Ticket {
    /// A ticket and the future of its verdict.
    ///
    /// The future cannot fail: a lost ticket answers too.
    pub fn new(permit: Permit, since: Instant) -> (Self, impl Future<Output = Verdict>) {
        let (reply, verdict) = Reply::channel();
        let ticket = Self {
            owed: Some((reply, permit)),
            since,
            sent: false,
            claim: None,
        };
        let verdict = async move {
            verdict
                .await
                .unwrap_or_else(|_| Err(Unsold::Unknown("the answer was lost".to_owned())))
        };
        (ticket, verdict)
    }

    /// Settles a retry key too.
    #[must_use]
    pub fn claiming(mut self, claim: Option<Claim>) -> Self {
        self.claim = claim.map(Box::new);
        self
    }

    /// The retry key, if there is one.
    pub fn claim(&mut self) -> Option<&mut Claim> {
        self.claim.as_deref_mut()
    }

    /// When the request came.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// From here on the record may be in the log, whatever becomes of this ticket.
    pub fn mark_sent(&mut self) {
        self.sent = true;
    }

    /// It is certain again that the record is not in the log.
    pub fn mark_returned(&mut self) {
        self.sent = false;
    }

    /// Answers.
    pub fn answer(mut self, verdict: Verdict) {
        self.settle(verdict);
    }

    fn settle(&mut self, verdict: Verdict) {
        if let Some((reply, permit)) = self.owed.take() {
            // The key and the credit first: whoever reads the answer may buy again at once.
            if let Some(claim) = self.claim.take() {
                claim.settle(&verdict);
            }
            drop(permit);
            // A client that hung up does not need to be told.
            drop(reply.send(verdict));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.owed.is_some() {
            let lost = "the service lost the request while it was being handled".to_owned();
            let verdict = if self.sent {
                Unsold::Unknown(lost)
            } else {
                Unsold::NotStored(lost)
            };
            self.settle(Err(verdict));
        }
    }
}

#[cfg(test)]
mod tests {
    use actors::{Cost, Credits};

    use super::*;

    fn ticket() -> (Credits, Ticket, impl Future<Output = Verdict>) {
        let credits = Credits::new(
            "test",
            Cost {
                count: 1,
                bytes: 10,
            },
        );
        let permit = credits
            .try_take(Cost {
                count: 1,
                bytes: 10,
            })
            .unwrap();
        let (ticket, verdict) = Ticket::new(permit, Instant::now());
        (credits, ticket, verdict)
    }

    #[tokio::test]
    async fn a_ticket_lost_before_sending_says_that_nothing_is_stored() {
        let (_credits, ticket, verdict) = ticket();
        drop(ticket);
        assert!(matches!(verdict.await, Err(Unsold::NotStored(_))));
    }

    #[tokio::test]
    async fn a_ticket_lost_after_sending_says_that_nobody_knows() {
        let (_credits, mut ticket, verdict) = ticket();
        ticket.mark_sent();
        drop(ticket);
        assert!(matches!(verdict.await, Err(Unsold::Unknown(_))));
    }

    #[tokio::test]
    async fn the_credit_is_back_when_the_answer_is_read() {
        let (credits, ticket, verdict) = ticket();
        let stored = Stored {
            value: Bytes::from_static(b"{}"),
            partition: 1,
            offset: Some(7),
        };
        ticket.answer(Ok(stored.clone()));
        assert_eq!(verdict.await, Ok(stored));
        assert_eq!(credits.in_use(), Cost::default());
    }
}
