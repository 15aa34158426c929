//! From what waits to a record in the log's hands.
//!
//! In: a purchase whose turn it is, or a record that came back. Out: the record, with key, headers and
//! value, on its lane; or an answer that it is not stored.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderValue;
use purchases::wire;

use super::waiting::Waiting;
use super::{Addressed, InFlight, NOT_OPEN, Publisher, RecordLog, TOO_LATE};
use crate::flow::Chosen;

impl<L: RecordLog> Publisher<L> {
    pub(super) fn hand_over(&mut self, lane: usize, waiting: Waiting, now: Instant) {
        let Some(open) = &self.open else {
            return self.not_stored(waiting, NOT_OPEN);
        };
        if self.is_overdue(&waiting, now) {
            return self.not_stored(waiting, TOO_LATE);
        }
        let encoder = &mut self.encoder;
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
                let mut headers: [(&str, &[u8]); 6] = [
                    (wire::PURCHASE_ID, &id),
                    (wire::TRACEPARENT, &trace),
                    (wire::CONTENT_TYPE, wire::JSON.as_bytes()),
                    (wire::SCHEMA_VERSION, wire::VERSION.as_bytes()),
                    ("", b""),
                    ("", b""),
                ];
                let request_id = origin.request_id.as_ref().map(HeaderValue::as_bytes);
                let request_id = request_id.map(|id| (wire::REQUEST_ID, id));
                let state = origin.state.as_deref().map(str::as_bytes);
                let state = state.map(|state| (wire::TRACESTATE, state));
                let mut count = 4;
                for header in request_id.into_iter().chain(state) {
                    headers[count] = header;
                    count += 1;
                }
                let to = Addressed {
                    key: purchase.user_id().as_str(),
                    headers: &headers[..count],
                    value: encoder.encode(&purchase),
                };
                let value = Bytes::copy_from_slice(to.value);
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
                    value: &returned.value,
                };
                let record = record(returned.value.clone(), returned.ticket, returned.sending);
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
