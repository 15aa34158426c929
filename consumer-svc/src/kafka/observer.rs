//! A client that asks the broker where the group stands, and never joins it or reads a record.
//!
//! It has connections of its own: on those of the group's consumer a question waits behind a
//! fetch that waits for records, half a second for each partition while the shop is quiet. And it
//! can be asked while there is no consumer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::Offset;
use tracing::debug;

use super::{Renewed, Unseen, asking_config, list_of, log, partitions_of, side_by_side};
use crate::config::KafkaConfig;
use crate::flow::{Learnt, Standing};

/// Events that are thrown away at most before a question is asked.
const STALE_EVENTS: usize = 1_000;

/// Asks; blocks while it does.
pub struct Observer {
    consumers: Renewed<BaseConsumer<Quiet>>,
    topic: String,
}

/// The member says what is wrong with the broker; once is enough.
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        log(level, fac, message);
    }

    fn error(&self, cause: KafkaError, reason: &str) {
        debug!(%cause, reason, "observer error");
    }
}

impl ConsumerContext for Quiet {}

impl Observer {
    /// Connects when it is first asked.
    ///
    /// # Errors
    /// Properties that the client refuses.
    pub fn new(config: &KafkaConfig) -> KafkaResult<Self> {
        let client = asking_config(config);
        Ok(Self {
            consumers: Renewed::new(move || client.create_with_context(Quiet))?,
            topic: config.topic.clone(),
        })
    }

    /// Where the group stands in these partitions, or in all of the topic, asked of the broker, so
    /// that it is true also while nothing arrives and for partitions of other members. Blocks for the first
    /// `wait` for each request, and for the second for all ends, however many partitions there are.
    ///
    /// # Errors
    /// The reason, in words, why nothing could be learnt.
    pub fn standings(
        &self,
        partitions: Option<&[i32]>,
        wait: (Duration, Duration),
    ) -> Result<Learnt, String> {
        let asked = self.with(|consumer| self.ask(consumer, partitions, wait));
        asked.map_err(|cause| cause.to_string())
    }

    fn ask(
        &self,
        consumer: &BaseConsumer<Quiet>,
        partitions: Option<&[i32]>,
        (wait, ends): (Duration, Duration),
    ) -> Result<Learnt, Unseen> {
        let topic = self.topic.as_str();
        let partitions = match partitions {
            Some(partitions) => partitions.to_vec(),
            None => partitions_of(consumer, (topic, "KAFKA_TOPIC"), wait)?,
        };
        if partitions.is_empty() {
            return Ok(Learnt::default());
        }
        let committed = consumer
            .committed_offsets(list_of(topic, &partitions), wait)
            .map_err(|error| Unseen::Away(error.to_string()))?;
        let mut commits = BTreeMap::new();
        let mut learnt = Learnt::nothing(&partitions, "its leader did not answer in time");
        for element in committed.elements_for_topic(topic) {
            match element.error() {
                Ok(()) => drop(commits.insert(element.partition(), element.offset())),
                Err(cause) => {
                    let cause = format!("its committed offset: {cause}");
                    learnt.unknown.insert(element.partition(), cause);
                }
            }
        }
        let asked: Vec<i32> = commits.keys().copied().collect();
        let said = Mutex::new(&mut learnt.unknown);
        let ask = |partition, wait| {
            let found = consumer.fetch_watermarks(topic, partition, wait);
            let why = |cause| {
                let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                said.insert(partition, format!("its leader does not answer: {cause}"));
            };
            found.map_err(why).ok()
        };
        for (partition, (first, end)) in side_by_side(&asked, ends, ask) {
            learnt.unknown.remove(&partition);
            learnt.known.push(Standing {
                partition,
                committed: match commits.get(&partition) {
                    Some(Offset::Offset(next)) => Some(next.unsigned_abs()),
                    _ => None,
                },
                first: first.unsigned_abs(),
                end: end.unsigned_abs(),
            });
        }
        for (partition, offset) in commits {
            if let (true, Offset::Offset(next)) = (learnt.unknown.contains_key(&partition), offset)
            {
                learnt.committed.insert(partition, next.unsigned_abs());
            }
        }
        Ok(learnt)
    }

    /// How many partitions the topic has, if the broker says so at once.
    pub(crate) fn partitions(&self, wait: Duration) -> Option<usize> {
        let topic = (self.topic.as_str(), "KAFKA_TOPIC");
        let known = self.with(|consumer| partitions_of(consumer, topic, wait));
        known.ok().map(|known| known.len())
    }

    /// A client that is asked in vain gives way to another one in time; what the broker does not have is
    /// an answer.
    fn with<T>(
        &self,
        ask: impl FnOnce(&BaseConsumer<Quiet>) -> Result<T, Unseen>,
    ) -> Result<T, Unseen> {
        let consumer = self.consumers.get();
        forget_events(&consumer);
        let answer = ask(&consumer);
        if let Err(Unseen::Away(_)) = answer {
            self.consumers.in_vain(consumer);
        }
        answer
    }
}

/// Nobody polls this client, so what it has to say about a broker that is away would pile up.
fn forget_events(consumer: &BaseConsumer<Quiet>) {
    for _ in 0..STALE_EVENTS {
        match consumer.poll(Duration::ZERO) {
            None => break,
            Some(Ok(_)) => debug!("the observer was given a record"),
            Some(Err(cause)) => debug!(%cause, "observer event"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rdkafka::config::ClientConfig;

    use super::*;

    #[test]
    fn an_observer_that_asked_in_vain_asks_through_another_client() {
        let mut client = ClientConfig::new();
        // Nobody listens there.
        client.set("bootstrap.servers", "127.0.0.1:1");
        client.set("group.id", "nobody");
        let make = move || client.create_with_context(Quiet);
        let observer = Observer {
            consumers: Renewed::within(Duration::ZERO, make).unwrap(),
            topic: "none".to_owned(),
        };
        let wait = Duration::from_millis(50);
        let mut first = observer.consumers.get();
        assert_eq!(observer.partitions(wait), None);
        for partitions in [None, Some(&[0][..])] {
            let second = observer.consumers.get();
            assert!(!Arc::ptr_eq(&first, &second));
            assert!(observer.standings(partitions, (wait, wait)).is_err());
            first = second;
        }
        assert!(!Arc::ptr_eq(&first, &observer.consumers.get()));
    }
}
