//! From what waits to a record in the log's hands.
//!
//! In: a purchase whose turn it is, or a record that came back. Out: the record, with key, headers and
//! value, on its lane; or an answer that it is not stored.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use purchases::wire;

use super::waiting::Waiting;
use super::{Addressed, InFlight, NOT_OPEN, Publisher, RecordLog, TOO_LATE};
use crate::flow::Chosen;

impl<L: RecordLog> Publisher<L> {
    pub(super) fn hand_over(&self, lane: usize, waiting: Waiting, now: Instant) {
        let Some(open) = &self.open else {
            return self.not_stored(waiting, NOT_OPEN);
        };
        if self.is_overdue(&waiting, now) {
            return self.not_stored(waiting, TOO_LATE);
        }
        let record = |value, ticket, sending| {
            let record = InFlight::new(ticket, value, Arc::clone(&self.args.metrics));
            Box::new(record.on(open.lanes.enter(lane)).told_by(sending))
        };
        let appended = match waiting {
            Waiting::New(chosen) => {
                let Chosen {
                    purchase,
                    origin,
                    ticket,
                } = *chosen;
                let id = purchase.id().to_hex();
                let trace = origin.sending.place().unwrap_or(origin.trace).to_text();
                let state = origin.state.as_deref().unwrap_or_default();
                let headers: [(&str, &[u8]); 6] = [
                    (wire::PURCHASE_ID, &id),
                    (wire::TRACEPARENT, &trace),
                    (wire::REQUEST_ID, origin.request_id.as_bytes()),
                    (wire::CONTENT_TYPE, wire::JSON.as_bytes()),
                    (wire::SCHEMA_VERSION, wire::VERSION.as_bytes()),
                    (wire::TRACESTATE, state.as_bytes()),
                ];
                let to = Addressed {
                    key: purchase.user_id().as_str(),
                    // The last one only where there is one.
                    headers: &headers[..headers.len() - usize::from(state.is_empty())],
                };
                let value = Bytes::from(wire::encode_value(&purchase));
                open.log.append(&to, record(value, ticket, origin.sending))
            }
            Waiting::Again(returned) => {
                let headers = returned.headers.iter();
                let headers: Vec<(&str, &[u8])> = headers
                    .map(|(name, value)| (name.as_str(), value.as_slice()))
                    .collect();
                let to = Addressed {
                    key: &returned.key,
                    headers: &headers,
                };
                let record = record(returned.value, returned.ticket, returned.sending);
                open.log.append(&to, record)
            }
        };
        if let Err((why, record)) = appended {
            record.not_stored(why);
        }
    }

    /// Hands over everything that waits.
    pub(super) fn hand_over_all(&mut self) {
        let now = Instant::now();
        for waiting in self.pacer.take_all() {
            let lane = self.open.as_ref();
            let lane = lane.map_or(0, |open| open.log.lane(waiting.key()));
            self.hand_over(lane, waiting, now);
        }
    }
}
