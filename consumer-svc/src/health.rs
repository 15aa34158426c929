//! How the dependencies are, asked in the background so that nobody waits for the answer.
//!
//! In: a probe per dependency. Out: flags for `/health`, the readiness latches, gauges, and the
//! lag. A dependency that goes away later makes `/health` 503 and leaves readiness alone: another
//! replica would have the same broker and the same database.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use host::readiness::Latch;
use tracing::{info, warn};

use crate::assign::Held;
use crate::flow::Learnt;
use crate::kafka::{ConsumerSlot, Observer, Unseen};
use crate::lane::Cause;
use crate::metrics;
use crate::query::mongo::MongoHistory;

/// Pause between two looks.
const EVERY: Duration = Duration::from_secs(2);
/// The same until a dependency was reached for the first time, because readiness waits for it.
const FIRST: Duration = Duration::from_millis(100);
/// A topic that was there and is not is believed to be gone after this long: a broker that has just
/// come back may not know its topics yet.
const GONE_AFTER: Duration = Duration::from_secs(10);
/// How long the broker may take to answer a look.
const KAFKA_WAIT: Duration = Duration::from_secs(2);

/// What the last look at each dependency saw.
#[derive(Clone, Default)]
pub struct Health {
    mongodb: Arc<AtomicBool>,
    kafka: Arc<AtomicBool>,
    /// Why each dependency was not reached, as it was last told: looks repeat, words need not.
    told: Arc<Mutex<BTreeMap<&'static str, String>>>,
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

    /// Whether this was not told yet: a broker that answers at last may still lack the topic.
    fn is_news(&self, name: &'static str, cause: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(name, cause.to_owned()).as_deref() != Some(cause)
    }

    /// Notes a look, and says so when it differs from the last.
    fn note(&self, name: &'static str, flag: &AtomicBool, latch: &Latch, seen: Result<(), String>) {
        if let Err(cause) = &seen {
            latch.waits(cause);
        }
        let up = seen.is_ok();
        let was = flag.swap(up, Ordering::Relaxed);
        metrics::dependency(name, up);
        match seen {
            Ok(()) if !was => {
                info!(dependency = name, "reached");
                latch.meet();
            }
            Err(cause) if was => warn!(dependency = name, %cause, "not reached any more"),
            Err(cause) if !latch.is_met() && self.is_news(name, &cause) => {
                warn!(dependency = name, %cause, "not reached yet, the service stays not ready");
            }
            _ => {}
        }
    }
}

fn pause(latch: &Latch) -> Duration {
    if latch.is_met() { EVERY } else { FIRST }
}

/// Looks at the database for as long as it is polled.
pub async fn watch_mongodb(health: Health, history: MongoHistory, latch: Latch) {
    loop {
        let seen = history.ping().await.map_err(|error| error.to_string());
        health.note("mongodb", &health.mongodb, &latch, seen);
        tokio::time::sleep(pause(&latch)).await;
    }
}

/// Looks at the broker for as long as it is polled.
pub async fn watch_kafka(
    health: Health,
    slot: ConsumerSlot,
    topic: String,
    held: Held,
    latch: Latch,
) {
    // There is nothing to look with before the membership has begun, a moment after this.
    while slot.get().is_none() {
        tokio::time::sleep(FIRST).await;
    }
    let mut missing: Option<Instant> = None;
    loop {
        let (look, topic) = (slot.clone(), topic.clone());
        let seen = tokio::task::spawn_blocking(move || look.probe(&topic, KAFKA_WAIT));
        let seen = seen
            .await
            .unwrap_or_else(|error| Err(Unseen::Away(error.to_string())));
        missing = match &seen {
            Err(Unseen::Missing(cause)) if latch.is_met() || missing.is_some() => {
                latch.reopen_because(cause);
                missing.or_else(|| Some(Instant::now()))
            }
            _ => None,
        };
        if missing.is_some_and(|since| since.elapsed() >= GONE_AFTER) {
            held.lanes.halt_all(
                Cause::TopicGone,
                "the topic was deleted while it was read; what is under its name from now on is another log",
            );
        }
        let seen = seen.map_err(|cause| cause.to_string());
        health.note("kafka", &health.kafka, &latch, seen);
        tokio::time::sleep(pause(&latch)).await;
    }
}

/// Shows how far what this member holds is read, and measures its lag: the one at its own pace, however
/// long the broker takes to say the other.
pub async fn watch_lag(health: Health, observer: Arc<Observer>, held: Held, latch: Latch) {
    let shown = async {
        loop {
            held.lanes.publish();
            tokio::time::sleep(pause(&latch)).await;
        }
    };
    let measured = async {
        loop {
            let (observer, partitions) = (Arc::clone(&observer), held.partitions());
            // Where no broker answers there is nothing to ask. That only the group's coordinator does
            // not is no news about our health; but the lag is not known then.
            let learnt = match health.kafka() {
                true => {
                    let ask =
                        move || observer.standings(Some(&partitions), (KAFKA_WAIT, KAFKA_WAIT));
                    tokio::task::spawn_blocking(ask)
                        .await
                        .unwrap_or_else(|error| Err(error.to_string()))
                }
                false => Ok(Learnt::default()),
            };
            let learnt = learnt.unwrap_or_default().known.into_iter();
            let lags = learnt.map(|one| (one.partition, one.lag())).collect();
            held.lanes.lags(&lags);
            tokio::time::sleep(pause(&latch)).await;
        }
    };
    tokio::join!(shown, measured);
}
