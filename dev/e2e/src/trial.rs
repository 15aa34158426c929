//! A producer that sells while its broker is faulted, and the reckoning at the end.
//!
//! In: a shop, and a proof that makes faults meanwhile. Out: what was answered, after it was held
//! against the topic: every 201 is in it once per purchase, nothing that was refused as not stored
//! is, and a retry of the rest makes one purchase of each.

use std::collections::HashSet;
use std::time::Duration;

use crate::load::{Load, Running};
use crate::service::Service;
use crate::shop::Shop;
use crate::{check, until_text};

/// A broker that comes back on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);
/// More than any trial sends: the proof says when it is enough.
const ORDERS: usize = 100_000;

/// The producer gives up soon, so that outcomes are unknown while a fault lasts.
const DELIVERY: Duration = Duration::from_secs(2);

/// Sales under way.
pub struct Trial<'a> {
    /// The producer that sells.
    pub producer: Service,
    shop: &'a Shop,
    load: Load,
    running: Running,
    delivery: Duration,
}

/// How many orders were answered how, at the first attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// With a 201.
    pub accepted: usize,
    /// With a 503 that says that nothing was stored.
    pub not_stored: usize,
    /// With a 503 that says that nobody knows.
    pub unknown: usize,
}

impl<'a> Trial<'a> {
    /// Starts the producer, and so many purchases a second, each with a key.
    pub async fn begin(shop: &'a Shop, per_second: u32) -> Self {
        Self::begin_within(shop, per_second, DELIVERY).await
    }

    /// The same with another time that a delivery may take. The longer it is, the less of it is the
    /// machine's own.
    pub async fn begin_within(shop: &'a Shop, per_second: u32, delivery: Duration) -> Self {
        let within = format!("{}ms", delivery.as_millis());
        let plan = shop.producer().env("KAFKA_DELIVERY_TIMEOUT", within);
        let producer = plan.ready().await;
        let load = Load {
            keyed: true,
            per_second: Some(per_second),
            ..shop.load(ORDERS)
        };
        let running = load.clone().start();
        let trial = Self {
            producer,
            shop,
            load,
            running,
            delivery,
        };
        trial.sells(per_second as usize / 2).await;
        trial
    }

    /// The sales under way.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Waits for so many 201s more than there were.
    ///
    /// # Panics
    /// If they do not come.
    pub async fn sells(&self, more: usize) {
        let goal = self.running.accepted() + more;
        self.until_count("201s", goal, |running| running.accepted())
            .await;
    }

    /// Waits for so many refusals more than there were.
    ///
    /// # Panics
    /// If they do not come.
    pub async fn refuses(&self, more: usize) {
        let goal = self.running.refused() + more;
        self.until_count("refusals", goal, |running| running.refused())
            .await;
    }

    async fn until_count(&self, what: &str, goal: usize, count: impl Fn(&Running) -> usize) {
        until_text(&format!("{goal} {what}"), PATIENCE, async || {
            let counts = || format!("{:?}", (self.running.accepted(), self.running.refused()));
            (count(&self.running) >= goal)
                .then_some(())
                .ok_or_else(counts)
        })
        .await;
    }

    /// The reckoning. The broker must be whole again, and nobody else have written.
    ///
    /// # Panics
    /// If a promise was broken.
    pub async fn ends_well(self) -> Told {
        let witness = &self.shop.witness;
        let attempts = self.running.stop(PATIENCE).await;
        check::answers_come_in_time(&attempts, self.delivery);
        let first = check::accepted(&attempts);
        let records = witness.records().await;
        check::answers_are_in_the_topic(&first, &records);
        check::no_purchase_is_repeated(&records);
        let refusals = check::refusals_are_honest(&attempts, &records);

        let retried = self.load.until_accepted_there(&refusals).await;
        let records = witness.records().await;
        let second = check::accepted(&retried);
        check::answers_are_in_the_topic(&first, &records);
        check::answers_are_in_the_topic(&second, &records);
        let promised: HashSet<String> = attempts
            .iter()
            .map(|attempt| attempt.order.promised_id())
            .collect();
        check::records_are(&promised, &records);
        Told {
            accepted: first.len(),
            not_stored: refusals.not_stored.len(),
            unknown: refusals.unknown.len(),
        }
    }
}
