//! Every metric of this service: name, meaning, labels. The only file with metric macros.
//!
//! Labels are bounded: partitions, routes, outcomes; never a user id.

#![expect(clippy::disallowed_macros, reason = "this is the one place")]

use std::time::Duration;

use actors::{Outcome, Settled};
use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use crate::flow::Note;
use crate::lane::Cause;
use crate::schema::Part;

const READ: &str = "purchases_records_read_total";
const READ_BYTES: &str = "purchases_records_read_bytes_total";
const RECORDS: &str = "purchases_records_total";
const FENCED: &str = "purchases_settlements_fenced_total";
const RETRIED: &str = "purchases_write_retries_total";
const BATCH: &str = "purchases_batch_records";
const BATCH_SECONDS: &str = "purchases_batch_write_seconds";
const COMMITS: &str = "purchases_commits_total";
const COMMIT_SECONDS: &str = "purchases_commit_seconds";
const STATISTICS_SAVES: &str = "purchases_statistics_saves_total";
const STATISTICS_SAVE_SECONDS: &str = "purchases_statistics_save_seconds";
const STATISTICS_LOADS_FAILED: &str = "purchases_statistics_load_failures_total";
const REFUSALS_FORGOTTEN: &str = "purchases_statistics_refusals_forgotten";
const STATISTICS_READS: &str = "purchases_statistics_reads_total";
const HISTORY_READS: &str = "purchases_history_reads_total";
const STREAMS: &str = "purchases_statistics_streams_open";
const PREFETCHED_RECORDS: &str = "purchases_prefetched_records";
const PREFETCHED_BYTES: &str = "purchases_prefetched_bytes";
const PREFETCH_LIMIT: &str = "purchases_prefetch_limit";
const REBALANCES: &str = "purchases_rebalances_total";
const ASSIGNED: &str = "purchases_partitions_assigned";
const ERRORS: &str = "purchases_consumer_errors_total";
const AHEAD: &str = "purchases_read_ahead_records";
const OLDEST: &str = "purchases_oldest_unsettled_seconds";
const EPOCH: &str = "purchases_partition_epoch";
const STOPPED: &str = "purchases_partition_stopped";
const STOPS: &str = "purchases_partition_stops_total";
const COMMITTED: &str = "purchases_committed_offset";
const LAG: &str = "purchases_commit_lag_records";
const LAG_KNOWN: &str = "purchases_commit_lag_known";
const REQUESTS: &str = "purchases_http_requests_total";
const REQUEST_SECONDS: &str = "purchases_http_request_seconds";
const SCHEMA: &str = "purchases_schema_differs";
const UP: &str = "purchases_dependency_up";
const POOL: &str = "purchases_database_connections";
const POOL_WAITED: &str = "purchases_database_checkout_seconds";
const POOL_FAILED: &str = "purchases_database_checkout_failures_total";
const POOL_CLEARED: &str = "purchases_database_pool_clears_total";

/// Tells the recorder what each metric means. Called once, after the recorder is installed.
pub fn describe() {
    describe_counter!(READ, "Records read from Kafka, by partition.");
    describe_counter!(
        READ_BYTES,
        "Bytes of key and value read from Kafka, by partition."
    );
    describe_counter!(
        RECORDS,
        "Records by outcome: stored, known (the document was there), tombstone, dead_lettered."
    );
    describe_counter!(
        FENCED,
        "Settlements and admissions that came after their epoch was over, and changed nothing."
    );
    describe_counter!(
        RETRIED,
        "Documents written again after the database did not take them."
    );
    describe_histogram!(BATCH, "Records in a batch.");
    describe_histogram!(
        BATCH_SECONDS,
        "Time from a full batch until all of it was settled."
    );
    describe_counter!(COMMITS, "Offset commits by result: ok, refused.");
    describe_histogram!(COMMIT_SECONDS, "Time of one offset commit.");
    describe_counter!(
        STATISTICS_SAVES,
        "Rounds of saving the statistics by result: ok, failed. Commits wait for them."
    );
    describe_histogram!(
        STATISTICS_SAVE_SECONDS,
        "Time of one round of saving the statistics."
    );
    describe_counter!(
        STATISTICS_LOADS_FAILED,
        "Statistics of a partition that could not be loaded; it is not read until they are."
    );
    describe_gauge!(
        REFUSALS_FORGOTTEN,
        "Refused records that a partition's statistics have no room to remember: read again and taken, they would not be counted."
    );
    describe_counter!(
        STATISTICS_READS,
        "Readings of the whole shop's statistics by result: ok, failed."
    );
    describe_counter!(
        HISTORY_READS,
        "Answers about histories by what was read (totals, page) and for whom: own, shared with who asked the same just before, or remembered from the page before."
    );
    describe_gauge!(STREAMS, "Streams of statistics being sent.");
    describe_gauge!(
        PREFETCHED_RECORDS,
        "Records that the Kafka client holds and that were not read yet."
    );
    describe_gauge!(PREFETCHED_BYTES, "The bytes of their values alone.");
    describe_gauge!(
        PREFETCH_LIMIT,
        "The bound of both, over all partitions, by unit: records, bytes."
    );
    describe_counter!(
        REBALANCES,
        "Assignments and revocations this member took part in."
    );
    describe_gauge!(ASSIGNED, "Partitions assigned to this member.");
    describe_counter!(ERRORS, "Errors the Kafka consumer reported.");
    describe_gauge!(
        AHEAD,
        "Records read that the settled prefix has not passed, by partition."
    );
    describe_gauge!(
        OLDEST,
        "Time since the oldest record that is not settled was read, or since the partition waits to be read, by partition; 0 if there is none."
    );
    describe_gauge!(
        EPOCH,
        "Epoch of the partition's reader; a new one at each of its starts."
    );
    describe_gauge!(
        STOPPED,
        "Whether a partition of this member is stopped; readiness says why."
    );
    describe_counter!(
        STOPS,
        "Times that a partition was stopped, by cause: bad_records, offset_gone, topic_gone, other_log, statistics."
    );
    describe_gauge!(COMMITTED, "Committed offset, by partition.");
    describe_gauge!(
        LAG,
        "Records between the committed offset and the end of the log, by partition."
    );
    describe_gauge!(
        LAG_KNOWN,
        "Whether the lag could be learnt at the last look, by partition."
    );
    describe_counter!(REQUESTS, "HTTP requests by route and status.");
    describe_histogram!(REQUEST_SECONDS, "HTTP request duration by route.");
    describe_gauge!(
        SCHEMA,
        "Whether something of the collection is in another form than this version makes it: index, validator."
    );
    describe_gauge!(
        UP,
        "Whether a dependency answered when last asked: mongodb, kafka."
    );
    describe_gauge!(
        POOL,
        "Connections to the database by state: open, in_use; waiting are the operations that have none yet."
    );
    describe_histogram!(
        POOL_WAITED,
        "Time that an operation waited for its connection."
    );
    describe_counter!(POOL_FAILED, "Operations that got no connection.");
    describe_counter!(
        POOL_CLEARED,
        "Times that the driver gave up all connections to a server, because one of them broke."
    );
    begin();
}

/// Shows from the start what may not happen for days: an alert needs a 0 to compare with.
fn begin() {
    for outcome in ["stored", "known", "tombstone", "dead_lettered", "failed"] {
        counter!(RECORDS, "outcome" => outcome).increment(0);
    }
    for (name, results) in [
        (COMMITS, ["ok", "refused"]),
        (STATISTICS_SAVES, ["ok", "failed"]),
        (STATISTICS_READS, ["ok", "failed"]),
    ] {
        for result in results {
            counter!(name, "result" => result).increment(0);
        }
    }
    for cause in Cause::ALL {
        counter!(STOPS, "cause" => cause.label()).increment(0);
    }
    for name in [FENCED, RETRIED, STATISTICS_LOADS_FAILED, REBALANCES, ERRORS] {
        counter!(name).increment(0);
    }
    for what in ["totals", "page"] {
        for by in ["own", "shared"] {
            counter!(HISTORY_READS, "what" => what, "read" => by).increment(0);
        }
    }
    counter!(HISTORY_READS, "what" => "totals", "read" => "remembered").increment(0);
    for part in Part::ALL {
        schema_differs(part, false);
    }
    for name in [STREAMS, ASSIGNED, PREFETCHED_RECORDS, PREFETCHED_BYTES] {
        gauge!(name).set(0.0);
    }
}

/// The driver's pools of connections, all servers together. Handles that are kept, because the driver
/// tells of every operation.
pub(crate) struct Pool {
    pub(crate) open: Gauge,
    pub(crate) in_use: Gauge,
    pub(crate) waiting: Gauge,
    pub(crate) waited: Histogram,
    pub(crate) failed: Counter,
    pub(crate) cleared: Counter,
}

impl Pool {
    pub(crate) fn new() -> Self {
        let state = |state: &'static str| gauge!(POOL, "state" => state);
        Self {
            open: state("open"),
            in_use: state("in_use"),
            waiting: state("waiting"),
            waited: histogram!(POOL_WAITED),
            failed: counter!(POOL_FAILED),
            cleared: counter!(POOL_CLEARED),
        }
    }
}

pub(crate) fn read(partition: i32, records: usize, bytes: usize) {
    let partition = partition.to_string();
    counter!(READ, "partition" => partition.clone()).increment(records as u64);
    counter!(READ_BYTES, "partition" => partition).increment(bytes as u64);
}

pub(crate) fn tombstones(count: usize) {
    outcome("tombstone", count);
}

pub(crate) fn written(stored: usize, known: usize) {
    outcome("stored", stored);
    outcome("known", known);
}

pub(crate) fn dead_lettered(count: usize) {
    outcome("dead_lettered", count);
}

/// Failed settlements; the others are counted where they happen, where more is known of them.
pub(crate) fn settled(batch: &[Settled<Note>]) {
    let failed = batch
        .iter()
        .filter(|settled| matches!(settled.outcome, Outcome::Failed))
        .count();
    outcome("failed", failed);
}

fn outcome(outcome: &'static str, count: usize) {
    if count > 0 {
        counter!(RECORDS, "outcome" => outcome).increment(count as u64);
    }
}

pub(crate) fn fenced(count: usize) {
    if count > 0 {
        counter!(FENCED).increment(count as u64);
    }
}

pub(crate) fn write_retried(count: usize) {
    counter!(RETRIED).increment(count as u64);
}

pub(crate) fn batch(records: usize, took: Duration) {
    histogram!(BATCH).record(records as f64);
    histogram!(BATCH_SECONDS).record(took.as_secs_f64());
}

pub(crate) fn commit(took: Duration, accepted: bool) {
    counter!(COMMITS, "result" => if accepted { "ok" } else { "refused" }).increment(1);
    histogram!(COMMIT_SECONDS).record(took.as_secs_f64());
}

pub(crate) fn statistics_saved(took: Duration, all: bool) {
    counter!(STATISTICS_SAVES, "result" => if all { "ok" } else { "failed" }).increment(1);
    histogram!(STATISTICS_SAVE_SECONDS).record(took.as_secs_f64());
}

pub(crate) fn statistics_not_loaded() {
    counter!(STATISTICS_LOADS_FAILED).increment(1);
}

pub(crate) fn refusals_forgotten(partition: i32, records: u64) {
    gauge!(REFUSALS_FORGOTTEN, "partition" => partition.to_string()).set(records as f64);
}

pub(crate) fn statistics_read(good: bool) {
    counter!(STATISTICS_READS, "result" => if good { "ok" } else { "failed" }).increment(1);
}

pub(crate) fn history_read(what: &'static str, read: &'static str) {
    counter!(HISTORY_READS, "what" => what, "read" => read).increment(1);
}

pub(crate) fn streams(open: usize) {
    gauge!(STREAMS).set(open as f64);
}

/// What the client holds, as it says itself.
pub(crate) fn prefetched(records: u64, bytes: u64) {
    gauge!(PREFETCHED_RECORDS).set(records as f64);
    gauge!(PREFETCHED_BYTES).set(bytes as f64);
}

pub(crate) fn prefetch_limit(records: usize, bytes: usize) {
    gauge!(PREFETCH_LIMIT, "unit" => "records").set(records as f64);
    gauge!(PREFETCH_LIMIT, "unit" => "bytes").set(bytes as f64);
}

pub(crate) fn rebalance() {
    counter!(REBALANCES).increment(1);
}

pub(crate) fn assigned(partitions: &[i32]) {
    gauge!(ASSIGNED).set(partitions.len() as f64);
}

pub(crate) fn ahead(partition: i32, records: u64) {
    gauge!(AHEAD, "partition" => partition.to_string()).set(records as f64);
}

pub(crate) fn oldest(partition: i32, age: Duration) {
    gauge!(OLDEST, "partition" => partition.to_string()).set(age.as_secs_f64());
}

pub(crate) fn epoch(partition: i32, epoch: u64) {
    gauge!(EPOCH, "partition" => partition.to_string()).set(epoch as f64);
}

/// Whether a partition is stopped, and why.
pub(crate) fn stopped(partition: i32, cause: Option<Cause>) {
    let gauge = gauge!(STOPPED, "partition" => partition.to_string());
    gauge.set(f64::from(u8::from(cause.is_some())));
    if let Some(cause) = cause {
        counter!(STOPS, "cause" => cause.label()).increment(1);
    }
}

pub(crate) fn consumer_error() {
    counter!(ERRORS).increment(1);
}

pub(crate) fn committed(partition: i32, next: u64) {
    gauge!(COMMITTED, "partition" => partition.to_string()).set(next as f64);
}

/// The lag, or that it could not be learnt: then the last one stands, and is not said to be known.
pub(crate) fn lag(partition: i32, records: Option<u64>) {
    let partition = partition.to_string();
    if let Some(records) = records {
        gauge!(LAG, "partition" => partition.clone()).set(records as f64);
    }
    gauge!(LAG_KNOWN, "partition" => partition).set(f64::from(u8::from(records.is_some())));
}

/// A partition is not this member's any more. Gauges cannot be taken back, and NaN would spoil sums
/// over members; a 0 adds nothing to them.
pub(crate) fn let_go(partition: i32) {
    let place = [AHEAD, OLDEST, EPOCH, COMMITTED, LAG, LAG_KNOWN];
    for name in place.into_iter().chain([REFUSALS_FORGOTTEN, STOPPED]) {
        gauge!(name, "partition" => partition.to_string()).set(0.0);
    }
}

pub(crate) fn request(route: &'static str, status: u16, took: Duration) {
    counter!(REQUESTS, "route" => route, "status" => status.to_string()).increment(1);
    histogram!(REQUEST_SECONDS, "route" => route).record(took.as_secs_f64());
}

pub(crate) fn schema_differs(part: Part, differs: bool) {
    gauge!(SCHEMA, "part" => part.label()).set(f64::from(u8::from(differs)));
}

pub(crate) fn dependency(name: &'static str, up: bool) {
    gauge!(UP, "dependency" => name).set(f64::from(u8::from(up)));
}

#[cfg(test)]
pub(crate) mod tests;
