//! What `/metrics` shows, and the only metric macros of this crate.
//!
//! In: whatever any crate records through the `metrics` facade. Out: the
//! Prometheus text. Names end in their unit (`_seconds`, `_bytes`) or in `_total`;
//! labels are few and bounded.

#![expect(clippy::disallowed_macros, reason = "this is the one place")]

use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

/// From a message in an actor's mailbox to a database write that hangs.
const SECONDS: [f64; 17] = [
    1e-5, 5e-5, 1e-4, 5e-4, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0,
];
/// From one event to the largest batch.
const BYTES: [f64; 9] = [256.0, 1e3, 4e3, 16e3, 64e3, 256e3, 1e6, 4e6, 16e6];
/// Everything else that is counted in a histogram: records in a batch, mostly.
const SIZES: [f64; 13] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4,
];

/// Samples of histograms pile up until they are folded into buckets. The exporter
/// leaves that to us; a scrape does it too, but a process that nobody scrapes
/// must not grow.
const UPKEEP: Duration = Duration::from_secs(5);

/// Renders what was recorded. Clones are one thing.
#[derive(Debug, Clone)]
pub struct Metrics {
    text: PrometheusHandle,
    process: metrics_process::Collector,
}

/// The recorder could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// Another recorder is already installed in this process.
    #[error("metrics are already recorded elsewhere in this process")]
    Installed,
    /// The buckets are wrong.
    #[error("the metrics exporter refused its buckets")]
    Buckets(#[from] BuildError),
}

impl Metrics {
    /// Installs the process-wide recorder and keeps it tidy from a task of its own.
    /// Call it inside the runtime and once per process.
    pub fn install() -> Result<Self, MetricsError> {
        let (recorder, metrics) = Self::detached()?;
        metrics::set_global_recorder(recorder).map_err(|_| MetricsError::Installed)?;
        describe();
        metrics.process.describe();
        let text = metrics.text.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(UPKEEP);
            loop {
                ticks.tick().await;
                text.run_upkeep();
            }
        });
        Ok(metrics)
    }

    /// A recorder that is not installed, for tests: several fit into one process.
    pub fn detached() -> Result<(PrometheusRecorder, Self), MetricsError> {
        let recorder = PrometheusBuilder::new()
            // Without buckets a histogram becomes a summary, which cannot be added
            // up over replicas. So the last line is for every other name.
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
            .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES)?
            .set_buckets(&SIZES)?
            .build_recorder();
        let metrics = Self {
            text: recorder.handle(),
            process: metrics_process::Collector::default(),
        };
        Ok((recorder, metrics))
    }

    /// The text for Prometheus. It reads `/proc` and formats much, so it blocks a
    /// little: from a task use `spawn_blocking`.
    pub fn render(&self) -> String {
        self.process.collect();
        // Descriptions become visible by upkeep only.
        self.text.run_upkeep();
        self.text.render()
    }
}

const CONNECTIONS: &str = "http_connections_open";
const ACCEPTED: &str = "http_connections_accepted_total";
const CLOSED: &str = "http_connections_closed_total";
const UNREADABLE: &str = "http_heads_refused_total";
const UNASKED: &str = "http_requests_unrouted_total";
const PANICKED: &str = "http_handlers_panicked_total";
const ACCEPT_ERRORS: &str = "http_accept_errors_total";
const SPANS_EXPORTED: &str = "trace_spans_exported_total";
const SPANS_DROPPED: &str = "trace_spans_dropped_total";

/// Describes the metrics of this crate to the present recorder.
pub fn describe() {
    describe_gauge!(CONNECTIONS, "Connections that are open now.");
    describe_counter!(ACCEPTED, "Connections that were accepted.");
    describe_counter!(CLOSED, "Connections that were closed, by reason.");
    describe_counter!(
        UNREADABLE,
        "What was no request, by the bare status that it was answered with."
    );
    describe_counter!(
        UNASKED,
        "Requests that no route was asked for (no path, no Host or a wrong one, OPTIONS *), by status."
    );
    describe_counter!(
        PANICKED,
        "Requests whose handler panicked; they were answered 500."
    );
    describe_counter!(
        ACCEPT_ERRORS,
        "Connections that could not be accepted, such as for lack of file descriptors."
    );
    SpanCounts::new();
    describe_counter!(SPANS_EXPORTED, "Spans that the collector took.");
    describe_counter!(
        SPANS_DROPPED,
        "Spans that nobody will see, by reason: too_many_open, queue_full, undelivered, too_late (the process was ending)."
    );
}

/// What became of spans.
#[derive(Clone)]
pub(crate) struct SpanCounts {
    pub(crate) exported: Counter,
    pub(crate) too_many_open: Counter,
    pub(crate) queue_full: Counter,
    pub(crate) undelivered: Counter,
    pub(crate) too_late: Counter,
}

impl SpanCounts {
    /// Made once and kept: a span costs less than looking up its counter.
    pub(crate) fn new() -> Self {
        let dropped = |reason: &'static str| counter!(SPANS_DROPPED, "reason" => reason);
        Self {
            exported: counter!(SPANS_EXPORTED),
            too_many_open: dropped("too_many_open"),
            queue_full: dropped("queue_full"),
            undelivered: dropped("undelivered"),
            too_late: dropped("too_late"),
        }
    }
}

/// Shows from the start what may not happen for days: an alert needs a 0 to compare with.
pub(crate) fn server_opened(server: &'static str) {
    counter!(ACCEPT_ERRORS, "server" => server).increment(0);
    for status in ["400", "431"] {
        counter!(UNREADABLE, "server" => server, "status" => status).increment(0);
    }
    for status in ["204", "400"] {
        counter!(UNASKED, "server" => server, "status" => status).increment(0);
    }
    counter!(PANICKED, "server" => server).increment(0);
}

pub(crate) fn connection_opened(server: &'static str) {
    gauge!(CONNECTIONS, "server" => server).increment(1);
    counter!(ACCEPTED, "server" => server).increment(1);
}

pub(crate) fn connection_closed(server: &'static str, reason: &'static str) {
    gauge!(CONNECTIONS, "server" => server).decrement(1);
    counter!(CLOSED, "server" => server, "reason" => reason).increment(1);
}

pub(crate) fn head_refused(server: &'static str, status: &'static str) {
    counter!(UNREADABLE, "server" => server, "status" => status).increment(1);
}

pub(crate) fn answered_unasked(server: &'static str, status: StatusCode) {
    let status = status.as_str().to_owned();
    counter!(UNASKED, "server" => server, "status" => status).increment(1);
}

pub(crate) fn handler_panicked(server: &'static str) {
    counter!(PANICKED, "server" => server).increment(1);
}

pub(crate) fn accept_failed(server: &'static str) {
    counter!(ACCEPT_ERRORS, "server" => server).increment(1);
}
