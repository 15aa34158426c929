//! Metric names and how the numbers get there. In: counters kept by actors, credits and receipts.
//! Out: the recorder installed in the process. The only file that names the `metrics` macros.
//!
//! Nothing on the hot path looks up a recorder: numbers are kept as plain atomics and carried over
//! once a second ([`crate::SystemHandle::publish_metrics`] does it at once). Only the handling time
//! is recorded directly, through a cached handle, and for one message in [`SAMPLE`].

#![expect(clippy::disallowed_macros, reason = "this is the one place")]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use crate::credits::WeakCredits;
use crate::receipt::{Outcome, Settled};
use crate::sync::{Mutex, lock};
use crate::tree::Node;

/// One message in this many has its handling time recorded: reading the clock twice costs about as
/// much as handing over a message.
pub(crate) const SAMPLE: u64 = 16;

const HANDLED: &str = "actors_handled_total";
const FAILED: &str = "actors_failed_total";
const RESTARTS: &str = "actors_restarts_total";
const HANDLE_SECONDS: &str = "actors_handle_seconds";
const MAILBOX: &str = "actors_mailbox_depth";
const IN_FLIGHT: &str = "actors_in_flight";
const CREDITS_IN_USE: &str = "credits_in_use";
const CREDITS_LIMIT: &str = "credits_limit";
const SETTLED: &str = "receipts_settled_total";
const FENCED: &str = "receipts_fenced_total";

/// In the order of [`OUTCOMES`], which is that of the variants of [`Outcome`].
static SETTLED_TOTALS: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
const OUTCOMES: [(Outcome, &str); 3] = [
    (Outcome::Stored, "stored"),
    (Outcome::DeadLettered, "dead_lettered"),
    (Outcome::Failed, "failed"),
];
/// Over all pipelines of the process.
static FENCED_TOTAL: AtomicU64 = AtomicU64::new(0);
static CREDITS: Mutex<Vec<WeakCredits>> = Mutex::new(Vec::new());

/// Makes an account known to the gauges.
pub(crate) fn watch_credits(credits: &WeakCredits) {
    let mut all = lock(&CREDITS);
    // Amortised: swept whenever the list would have to grow.
    if all.len() == all.capacity() {
        all.retain(|known| known.upgrade().is_some());
    }
    all.push(credits.clone());
}

/// Counts settlements.
pub(crate) fn settled<C>(batch: &[Settled<C>]) {
    // Counted in registers: a table indexed by the outcome would wait for itself in memory.
    let (mut stored, mut dead_lettered) = (0u64, 0u64);
    for settled in batch {
        stored += u64::from(settled.outcome == Outcome::Stored);
        dead_lettered += u64::from(settled.outcome == Outcome::DeadLettered);
    }
    let failed = batch.len() as u64 - stored - dead_lettered;
    let new = [stored, dead_lettered, failed];
    for (total, new) in SETTLED_TOTALS.iter().zip(new) {
        if new > 0 {
            total.fetch_add(new, Ordering::Relaxed);
        }
    }
}

/// Counts settlements that came too late to matter.
pub(crate) fn fenced(count: u64) {
    FENCED_TOTAL.fetch_add(count, Ordering::Relaxed);
}

/// The handling time of the actor at a path, from the recorder of the moment.
pub(crate) fn handle_seconds(path: &str) -> Histogram {
    histogram!(HANDLE_SECONDS, "actor" => path.to_owned())
}

/// A counter that is carried over as the difference to what was told before.
struct Carried {
    counter: Counter,
    told: u64,
}

impl Carried {
    fn new(counter: Counter) -> Self {
        Self { counter, told: 0 }
    }

    fn tell(&mut self, total: u64) {
        self.counter.increment(total.saturating_sub(self.told));
        self.told = total;
    }
}

struct NodeMetrics {
    /// Held to notice that another child took the same path.
    node: Arc<Node>,
    handled: Carried,
    failed: Carried,
    restarts: Carried,
    mailbox: Gauge,
    in_flight: Gauge,
    seen: bool,
}

impl NodeMetrics {
    fn new(node: &Arc<Node>) -> Self {
        let path = || node.path.clone();
        Self {
            node: Arc::clone(node),
            handled: Carried::new(counter!(HANDLED, "actor" => path())),
            failed: Carried::new(counter!(FAILED, "actor" => path())),
            restarts: Carried::new(counter!(RESTARTS, "actor" => path())),
            mailbox: gauge!(MAILBOX, "actor" => path()),
            in_flight: gauge!(IN_FLIGHT, "actor" => path()),
            seen: true,
        }
    }

    fn tell(&mut self) {
        self.handled
            .tell(self.node.stats.handled.load(Ordering::Relaxed));
        self.failed
            .tell(self.node.stats.failed.load(Ordering::Relaxed));
        self.restarts.tell(self.node.restarts());
        if let Some(depth) = self.node.depth() {
            self.mailbox.set(depth as f64);
            self.in_flight.set(self.node.in_flight() as f64);
        }
    }
}

/// What was told to the recorder so far, with cached handles.
#[derive(Default)]
pub(crate) struct Publisher {
    nodes: HashMap<String, NodeMetrics>,
    /// Names of the accounts that were told of and not dropped since.
    accounts: HashSet<String>,
}

impl Publisher {
    /// Describes the metrics to the recorder.
    pub(crate) fn describe() {
        describe_counter!(HANDLED, "Messages and results handled, by actor.");
        describe_counter!(FAILED, "Incarnations that ended in failure, by actor.");
        describe_counter!(RESTARTS, "Restarts, by actor.");
        describe_histogram!(
            HANDLE_SECONDS,
            "Time to handle a message, one message in 16, by actor."
        );
        describe_gauge!(MAILBOX, "Messages waiting, by actor.");
        describe_gauge!(IN_FLIGHT, "Owned tasks running, by actor.");
        describe_gauge!(CREDITS_IN_USE, "Credits taken, by account and unit.");
        describe_gauge!(CREDITS_LIMIT, "Credits there are, by account and unit.");
        describe_counter!(SETTLED, "Deliveries settled, by outcome.");
        describe_counter!(
            FENCED,
            "Settlements in pipelines that came after their lane had gone on without them."
        );
    }

    /// Carries everything over.
    pub(crate) fn publish(&mut self, root: &Arc<Node>) {
        for known in self.nodes.values_mut() {
            known.seen = false;
        }
        root.walk(&mut |node| {
            let known = self
                .nodes
                .entry(node.path.clone())
                .or_insert_with(|| NodeMetrics::new(node));
            if !Arc::ptr_eq(&known.node, node) {
                known.tell();
                *known = NodeMetrics::new(node);
            }
            known.seen = true;
            known.tell();
        });
        self.nodes.retain(|_, known| {
            if !known.seen {
                known.tell();
                known.mailbox.set(0.0);
                known.in_flight.set(0.0);
            }
            known.seen
        });
        publish_credits(&mut self.accounts);
        publish_settled();
    }
}

/// Accounts of one name are summed. When the last of a name is dropped its gauges fall to zero, once:
/// after that the name may belong to another publisher.
fn publish_credits(told: &mut HashSet<String>) {
    let mut sums: HashMap<String, [usize; 4]> = told.drain().map(|name| (name, [0; 4])).collect();
    let alive: Vec<_> = lock(&CREDITS)
        .iter()
        .filter_map(WeakCredits::upgrade)
        .collect();
    for credits in alive {
        let (used, limit) = (credits.in_use(), credits.limit());
        told.insert(credits.name().to_owned());
        let sum = sums.entry(credits.name().to_owned()).or_default();
        for (total, part) in sum
            .iter_mut()
            .zip([used.count, used.bytes, limit.count, limit.bytes])
        {
            *total = total.saturating_add(part);
        }
    }
    for (name, [used_count, used_bytes, limit_count, limit_bytes]) in sums {
        gauge!(CREDITS_IN_USE, "credits" => name.clone(), "unit" => "records")
            .set(used_count as f64);
        gauge!(CREDITS_IN_USE, "credits" => name.clone(), "unit" => "bytes").set(used_bytes as f64);
        gauge!(CREDITS_LIMIT, "credits" => name.clone(), "unit" => "records")
            .set(limit_count as f64);
        gauge!(CREDITS_LIMIT, "credits" => name, "unit" => "bytes").set(limit_bytes as f64);
    }
}

/// Settlements are counted for the whole process, not for one system: told as absolute totals, so
/// that several systems in one process agree.
fn publish_settled() {
    for (outcome, name) in OUTCOMES {
        let total = SETTLED_TOTALS[outcome as usize].load(Ordering::Relaxed);
        counter!(SETTLED, "outcome" => name).absolute(total);
    }
    counter!(FENCED).absolute(FENCED_TOTAL.load(Ordering::Relaxed));
}
