//! A record that its log gave back.
//!
//! In: what a refused request consisted of. Out: everything that is needed to send it once more. It is
//! rare, so it is made of what the client library still has, and costs an ordinary purchase nothing.

use std::time::Instant;

use actors::Epoch;
use bytes::Bytes;
use host::span::Span;

use super::{Ticket, Unsold};
use crate::metrics::{Metrics, Outcome};

/// What a record takes in a request beside its key, value and headers.
const FRAME: usize = 16;

/// A record whose request was larger than the topic takes. It is certainly not stored, and is not
/// to blame unless it was alone.
pub struct Returned {
    /// Decides the partition.
    pub key: String,
    /// Names and values.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The five fields as JSON.
    pub value: Bytes,
    /// The answer owed.
    pub ticket: Ticket,
    /// The sending, which goes on.
    pub sending: Span,
    /// What the broker said.
    pub why: String,
}

/// What came back of a lane, in this epoch.
pub struct Leftover(pub Epoch, pub usize, pub Box<Returned>);

impl Returned {
    /// What it adds to a request, about.
    pub fn size(&self) -> usize {
        let headers = self.headers.iter();
        let headers: usize = headers
            .map(|(name, value)| name.len() + value.len() + 2)
            .sum();
        FRAME + self.key.len() + self.value.len() + headers
    }

    /// When its request came.
    pub fn since(&self) -> Instant {
        self.ticket.since()
    }

    /// Nobody sends it again.
    pub fn not_stored(mut self, metrics: &Metrics) {
        self.sending.fail(&self.why);
        metrics.published(Outcome::NotStored, self.since().elapsed());
        self.ticket.answer(Err(Unsold::NotStored(self.why)));
    }
}
