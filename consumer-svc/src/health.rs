//! How the dependencies are, asked in the background so that nobody waits for the answer.
//!
//! In: a probe per dependency. Out: flags for `/health`, the readiness latches, gauges, and the
//! lag. A dependency that goes away later makes `/health` 503 and leaves readiness alone: another
//! replica would have the same broker and the same database.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use host::readiness::Latch;
use tracing::{info, warn};

use crate::assign::Held;
use crate::kafka::ConsumerSlot;
use crate::metrics;
use crate::query::mongo::MongoHistory;

/// Pause between two looks.
const EVERY: Duration = Duration::from_secs(2);
/// The same until a dependency was reached for the first time, because readiness waits for it.
const FIRST: Duration = Duration::from_millis(100);
/// How long the broker may take to answer a look.
const KAFKA_WAIT: Duration = Duration::from_secs(2);

/// What the last look at each dependency saw.
#[derive(Clone, Default)]
pub struct Health {
    mongodb: Arc<AtomicBool>,
    kafka: Arc<AtomicBool>,
    /// Dependencies of which it was said that they are awaited.
    awaited: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl Health {
    /// Whether the database answered.
    pub fn mongodb(&self) -> bool {
        self.mongodb.load(Ordering::Relaxed)
    }

    /// Whether the broker knows our topic.
    pub fn kafka(&self) -> bool {
        self.kafka.load(Ordering::Relaxed)
    }

    /// Whether this is the first time that the dependency has to be waited for.
    fn waiting(&self, name: &'static str) -> bool {
        self.awaited
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name)
    }

    /// Notes a look, and says so when it differs from the last.
    fn note(&self, name: &'static str, flag: &AtomicBool, latch: &Latch, seen: Result<(), String>) {
        let up = seen.is_ok();
        let was = flag.swap(up, Ordering::Relaxed);
        metrics::dependency(name, up);
        match seen {
            Ok(()) if !was => {
                info!(dependency = name, "reached");
                latch.meet();
            }
            Err(cause) if was => warn!(dependency = name, %cause, "not reached any more"),
            Err(cause) if self.waiting(name) => info!(dependency = name, %cause, "not reached yet"),
            _ => {}
        }
    }
}

fn pause(latch: &Latch) -> Duration {
    if latch.is_met() { EVERY } else { FIRST }
}

/// Looks at the database until the returned handle's task is aborted.
pub async fn watch_mongodb(health: Health, history: MongoHistory, latch: Latch) {
    loop {
        let seen = history.ping().await.map_err(|error| error.to_string());
        health.note("mongodb", &health.mongodb, &latch, seen);
        tokio::time::sleep(pause(&latch)).await;
    }
}

/// Looks at the broker, and measures the lag of what this member holds.
pub async fn watch_kafka(
    health: Health,
    slot: ConsumerSlot,
    topic: String,
    held: Held,
    latch: Latch,
) {
    loop {
        let (look, topic) = (slot.clone(), topic.clone());
        let partitions = held.partitions();
        let seen = tokio::task::spawn_blocking(move || {
            look.probe(&topic, KAFKA_WAIT)?;
            for (partition, lag) in look.lags(&topic, &partitions, KAFKA_WAIT) {
                metrics::lag(partition, lag);
            }
            Ok(())
        });
        let seen = seen.await.unwrap_or_else(|error| Err(error.to_string()));
        health.note("kafka", &health.kafka, &latch, seen);
        tokio::time::sleep(pause(&latch)).await;
    }
}
