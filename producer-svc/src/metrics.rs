//! Every metric of this service, in one place.
//!
//! In: what happened. Out: counters, gauges and histograms behind the `metrics` facade. Handles are
//! made once and kept, because looking one up by its labels costs more than counting. Labels are
//! bounded: routes, statuses and outcomes, never an id. Actors and credits count themselves.

#![expect(clippy::disallowed_macros, reason = "this is the one place")]

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

mod route;

pub use route::Route;

/// Statuses that are counted by their number; another one is counted as `other`.
const STATUSES: [u16; 19] = [
    200, 201, 204, 304, 308, 400, 404, 405, 406, 408, 409, 413, 415, 422, 429, 500, 502, 503, 504,
];

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Confirmed by all in-sync replicas.
    Stored,
    /// Certainly not in the log.
    NotStored,
    /// No report: in the log or not.
    Unknown,
}

/// What happened to a retry key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEvent {
    /// Its purchase is in the log; the answer is remembered.
    Stored,
    /// Its purchase was not confirmed; a retry may go on.
    Released,
    /// A retry got the first answer.
    Replayed,
    /// A retry came while the first try was on its way.
    InFlight,
    /// It came with another request.
    Changed,
    /// Forgotten, because there were too many.
    Evicted,
    /// Forgotten, because it was too old.
    Expired,
}

impl KeyEvent {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Stored, "stored"),
        (Self::Released, "released"),
        (Self::Replayed, "replayed"),
        (Self::InFlight, "in_flight"),
        (Self::Changed, "changed"),
        (Self::Evicted, "evicted"),
        (Self::Expired, "expired"),
    ];
}

/// The broker side of the producer, from the client's own statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BrokerGauges {
    /// Records that wait for a report.
    pub queued_records: f64,
    /// Their bytes.
    pub queued_bytes: f64,
    /// Brokers with a working connection, with one being made, and with none.
    pub brokers: [f64; 3],
    /// Requests that wait for the brokers' answers.
    pub requests: f64,
    /// Mean round trip to the slowest broker, in seconds.
    pub round_trip: f64,
}

/// The three ways a broker's connection can be.
const BROKER_STATES: [&str; 3] = ["up", "connecting", "down"];

/// Requests to brokers that did not go well, since the client began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrokerTroubles {
    /// Could not be sent.
    pub errors: u64,
    /// Got no answer in time.
    pub timeouts: u64,
    /// Were sent again.
    pub retries: u64,
}

struct RouteMetrics {
    label: &'static str,
    seconds: Histogram,
    /// Made when first counted, so that the exposition has no line that says nothing.
    by_status: [OnceLock<Counter>; STATUSES.len() + 1],
}

/// All handles. Make one after the recorder is installed; share it.
pub struct Metrics {
    routes: [RouteMetrics; Route::ALL.len()],
    pending: Gauge,
    limited: OnceLock<(Counter, Gauge)>,
    published: [Counter; 3],
    delivery: Histogram,
    connected: Gauge,
    reachable: Gauge,
    queued_records: Gauge,
    queued_bytes: Gauge,
    brokers: [Gauge; BROKER_STATES.len()],
    requests: Gauge,
    troubles: [Counter; 3],
    round_trip: Gauge,
    key_events: [Counter; KeyEvent::ALL.len()],
    keys_in_flight: Gauge,
    keys_kept: Gauge,
    keys_bytes: Gauge,
    restocked: [Counter; 2],
    catalog_items: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Makes the handles and describes the metrics.
    pub fn new() -> Self {
        describe();
        let outcome = |name: &'static str| counter!("purchases_published_total", "outcome" => name);
        Self {
            routes: Route::ALL.map(|(_, label)| RouteMetrics {
                label,
                seconds: histogram!("purchases_http_request_seconds", "route" => label),
                by_status: [const { OnceLock::new() }; STATUSES.len() + 1],
            }),
            pending: gauge!("purchases_http_requests_pending"),
            limited: OnceLock::new(),
            published: [outcome("stored"), outcome("not_stored"), outcome("unknown")],
            delivery: histogram!("purchases_delivery_seconds"),
            connected: gauge!("purchases_kafka_connected"),
            reachable: gauge!("purchases_history_reachable"),
            queued_records: gauge!("purchases_kafka_queued_records"),
            queued_bytes: gauge!("purchases_kafka_queued_bytes"),
            brokers: BROKER_STATES.map(|state| gauge!("purchases_kafka_brokers", "state" => state)),
            requests: gauge!("purchases_kafka_requests_in_flight"),
            troubles: ["error", "timeout", "retry"]
                .map(|kind| counter!("purchases_kafka_request_troubles_total", "kind" => kind)),
            round_trip: gauge!("purchases_kafka_round_trip_seconds"),
            key_events: KeyEvent::ALL
                .map(|(_, event)| counter!("purchases_idempotency_events_total", "event" => event)),
            keys_in_flight: gauge!("purchases_idempotency_keys", "state" => "in_flight"),
            keys_kept: gauge!("purchases_idempotency_keys", "state" => "kept"),
            keys_bytes: gauge!("purchases_idempotency_bytes"),
            restocked: ["kept", "replaced"]
                .map(|outcome| counter!("purchases_catalog_reloads_total", "outcome" => outcome)),
            catalog_items: gauge!("purchases_catalog_items"),
        }
    }

    /// A request came. Its end is counted by [`Metrics::answered`].
    pub fn begun(&self) {
        self.pending.increment(1.0);
    }

    /// A client was looked up in the book of clients, and refused or not.
    pub fn limited(&self, refused: bool, clients: usize) {
        let (limited, known) = self.limited.get_or_init(|| {
            let limited = counter!("purchases_rate_limited_total");
            (limited, gauge!("purchases_rate_limit_clients"))
        });
        limited.increment(u64::from(refused));
        known.set(clients as f64);
    }

    /// A request is over without an answer: the client hung up.
    pub fn abandoned(&self, route: Route) {
        self.pending.decrement(1.0);
        let route = self.routes[route as usize].label;
        // Rare, so it needs no handle.
        counter!("purchases_http_requests_total", "route" => route, "status" => "abandoned")
            .increment(1);
    }

    /// A request was answered.
    pub fn answered(&self, route: Route, status: u16, took: Duration) {
        self.pending.decrement(1.0);
        let metrics = &self.routes[route as usize];
        let at = STATUSES
            .iter()
            .position(|&known| known == status)
            .unwrap_or(STATUSES.len());
        let count = metrics.by_status[at].get_or_init(|| {
            let status = if at < STATUSES.len() {
                status.to_string()
            } else {
                "other".to_owned()
            };
            counter!("purchases_http_requests_total", "route" => metrics.label, "status" => status)
        });
        count.increment(1);
        metrics.seconds.record(took);
    }

    /// A record was reported on, this long after its request came.
    pub fn published(&self, outcome: Outcome, took: Duration) {
        self.published[outcome as usize].increment(1);
        if outcome == Outcome::Stored {
            self.delivery.record(took);
        }
    }

    /// Whether the broker answers.
    pub fn kafka_connected(&self, connected: bool) {
        self.connected.set(f64::from(u8::from(connected)));
    }

    /// Whether the management service answers.
    pub fn history_reachable(&self, reachable: bool) {
        self.reachable.set(f64::from(u8::from(reachable)));
    }

    /// This many retry keys met this.
    pub fn keys(&self, event: KeyEvent, count: usize) {
        if count > 0 {
            self.key_events[event as usize].increment(count as u64);
        }
    }

    /// The retry keys in memory.
    pub fn keys_held(&self, in_flight: usize, kept: usize, bytes: usize) {
        self.keys_in_flight.set(in_flight as f64);
        self.keys_kept.set(kept as f64);
        self.keys_bytes.set(bytes as f64);
    }

    /// The catalog's file was read again; it replaced the one in use, or that one was kept.
    pub fn restocked(&self, replaced: bool, items: usize) {
        self.restocked[usize::from(replaced)].increment(1);
        self.catalog_items(items);
    }

    /// So many items are for sale.
    pub fn catalog_items(&self, items: usize) {
        self.catalog_items.set(items as f64);
    }

    /// What went wrong between two of the client's statistics. A new client begins at nothing.
    pub fn troubled(&self, before: BrokerTroubles, now: BrokerTroubles) {
        let counts = [
            (before.errors, now.errors),
            (before.timeouts, now.timeouts),
            (before.retries, now.retries),
        ];
        for (counter, (before, now)) in self.troubles.iter().zip(counts) {
            counter.increment(now.saturating_sub(before));
        }
    }

    /// The client's statistics.
    pub fn broker(&self, now: BrokerGauges) {
        self.queued_records.set(now.queued_records);
        self.queued_bytes.set(now.queued_bytes);
        for (gauge, brokers) in self.brokers.iter().zip(now.brokers) {
            gauge.set(brokers);
        }
        self.requests.set(now.requests);
        self.round_trip.set(now.round_trip);
    }
}

fn describe() {
    describe_counter!(
        "purchases_http_requests_total",
        "HTTP requests answered, by route and status"
    );
    describe_histogram!(
        "purchases_http_request_seconds",
        "Time from a request's headers to its answer's headers"
    );
    describe_gauge!(
        "purchases_http_requests_pending",
        "HTTP requests that wait for their answer"
    );
    describe_counter!(
        "purchases_published_total",
        "Purchases handed to the Kafka producer, by what became of them"
    );
    describe_histogram!(
        "purchases_delivery_seconds",
        "Time from a request to the broker's confirmation"
    );
    describe_gauge!(
        "purchases_kafka_connected",
        "1 if the broker answered the last probe"
    );
    describe_gauge!(
        "purchases_history_reachable",
        "1 if the management service answered the last probe"
    );
    describe_counter!(
        "purchases_rate_limited_total",
        "Purchases refused because their client sent too many"
    );
    describe_gauge!(
        "purchases_rate_limit_clients",
        "Clients whose rate is remembered"
    );
    describe_gauge!(
        "purchases_kafka_queued_records",
        "Records handed to the client and not reported on"
    );
    describe_gauge!("purchases_kafka_queued_bytes", "Their bytes");
    describe_gauge!(
        "purchases_kafka_brokers",
        "Brokers by state of the connection: up, connecting, down"
    );
    describe_gauge!(
        "purchases_kafka_requests_in_flight",
        "Requests that wait for the brokers' answers"
    );
    describe_counter!(
        "purchases_kafka_request_troubles_total",
        "Requests to brokers that failed, timed out or were sent again, by kind"
    );
    describe_gauge!(
        "purchases_kafka_round_trip_seconds",
        "Mean round trip to the slowest broker"
    );
    describe_counter!(
        "purchases_idempotency_events_total",
        "Idempotency keys, by what happened to them"
    );
    describe_gauge!(
        "purchases_idempotency_keys",
        "Idempotency keys in memory, by state"
    );
    describe_gauge!(
        "purchases_idempotency_bytes",
        "Bytes of the answers kept for retries"
    );
    describe_counter!(
        "purchases_catalog_reloads_total",
        "Times the catalog's file was read again, by whether it replaced the one in use"
    );
    describe_gauge!("purchases_catalog_items", "Items for sale");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_and_event_is_counted_in_its_own_place() {
        for (at, (route, _)) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route as usize, at);
        }
        for (at, (event, _)) in KeyEvent::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, at);
        }
    }
}
