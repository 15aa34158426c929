//! Where the consumer of the present membership is found, and what is known of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use host::kafka::{KafkaSettings, Refusal};
use rdkafka::statistics::Statistics;

use super::contact::Contact;
use super::{GroupConsumer, Unseen, partitions_of};

/// Where the living consumer is found. Empty before it joins, after it left, and between two.
/// Who takes it out must not keep it: the consumer leaves its group when the last hold is dropped.
#[derive(Clone, Default)]
pub struct ConsumerSlot {
    consumer: Arc<ArcSwapOption<GroupConsumer>>,
    /// Why the broker does not let it in.
    refusal: Refusal,
    /// Whether it reaches anybody.
    contact: Arc<Mutex<Contact>>,
    /// Whether another one is wanted in its place.
    is_given_up: Arc<AtomicBool>,
}

impl ConsumerSlot {
    /// The consumer, if there is one.
    pub fn get(&self) -> Option<Arc<GroupConsumer>> {
        self.consumer.load_full()
    }

    pub(crate) fn set(&self, consumer: Option<Arc<GroupConsumer>>) {
        self.consumer.store(consumer);
        self.contact(|contact| *contact = Contact::default());
        self.is_given_up.store(false, Ordering::Release);
    }

    /// The consumer holds a partition and will not read it.
    pub(crate) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Release);
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Acquire)
    }

    /// Whether the consumer did not answer the last [`probe`](Self::probe) and has no connection.
    pub(crate) fn is_silent(&self) -> bool {
        self.contact(|contact| contact.is_silent())
    }

    /// Why the broker does not let it in.
    pub(super) fn refused(&self, settings: &KafkaSettings, reason: &str) {
        self.refusal.note(settings, reason);
    }

    /// What it says of a connection that failed.
    pub(super) fn failed(&self, settings: &KafkaSettings, said: &str) {
        self.refusal.hear(settings, said);
    }

    /// What it says of its connections.
    pub(super) fn told(&self, statistics: &Statistics) {
        self.contact(|contact| contact.told(statistics));
    }

    fn contact<T>(&self, with: impl FnOnce(&mut Contact) -> T) -> T {
        with(&mut self.contact.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks the broker for the topic's metadata. Blocks for at most `wait`.
    ///
    /// # Errors
    /// Why the topic could not be seen.
    pub fn probe(&self, topic: &str, wait: Duration) -> Result<(), Unseen> {
        let away = || Unseen::Away("no consumer yet".to_owned());
        let consumer = self.get().ok_or_else(away)?;
        let seen = partitions_of(&consumer, (topic, "KAFKA_TOPIC"), wait);
        let answered = !matches!(seen, Err(Unseen::Away(_)));
        self.contact(|contact| contact.asked(answered));
        if answered {
            self.refusal.lift();
        }
        seen.map(|_| ())
            .map_err(|cause| self.refusal.reason().map_or(cause, Unseen::Away))
    }
}
