//! A client that asks the broker where the group stands, and never joins it or reads a record.
//!
//! It has connections of its own: on those of the group's consumer a question waits behind a
//! fetch that waits for records, half a second for each partition while the shop is quiet. And it
//! can be asked while there is no consumer.

use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::Offset;
use tracing::debug;

use super::{asking_config, list_of, log, partitions_of};
use crate::config::KafkaConfig;
use crate::flow::Standing;

/// Events that are thrown away at most before a question is asked.
const STALE_EVENTS: usize = 1_000;

/// Asks; blocks while it does.
pub struct Observer {
    consumer: BaseConsumer<Quiet>,
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
        Ok(Self {
            consumer: asking_config(config).create_with_context(Quiet)?,
            topic: config.topic.clone(),
        })
    }

    /// Where the group stands in these partitions, or in all of the topic, asked of the broker, so
    /// that it is true also while nothing arrives and for partitions of other members. Blocks for
    /// at most `wait` a request. A partition whose end or commit cannot be learnt is left out.
    ///
    /// # Errors
    /// The reason, in words, why nothing could be learnt.
    pub fn standings(
        &self,
        partitions: Option<&[i32]>,
        wait: Duration,
    ) -> Result<Vec<Standing>, String> {
        let (consumer, topic) = (&self.consumer, self.topic.as_str());
        self.forget_events();
        let partitions = match partitions {
            Some(partitions) => partitions.to_vec(),
            None => partitions_of(consumer, (topic, "KAFKA_TOPIC"), wait)
                .map_err(|cause| cause.to_string())?,
        };
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let committed = consumer
            .committed_offsets(list_of(topic, &partitions), wait)
            .map_err(|error| error.to_string())?;
        let standing = |partition, offset| {
            let (first, end) = consumer.fetch_watermarks(topic, partition, wait).ok()?;
            Some(Standing {
                partition,
                committed: match offset {
                    Offset::Offset(next) => Some(next.unsigned_abs()),
                    _ => None,
                },
                first: first.unsigned_abs(),
                end: end.unsigned_abs(),
            })
        };
        let elements = committed.elements_for_topic(topic);
        let known = elements.iter().filter(|element| element.error().is_ok());
        Ok(known
            .filter_map(|element| standing(element.partition(), element.offset()))
            .collect())
    }

    /// How many partitions the topic has, if the broker says so at once.
    pub(crate) fn partitions(&self, wait: Duration) -> Option<usize> {
        self.forget_events();
        let topic = (self.topic.as_str(), "KAFKA_TOPIC");
        let known = partitions_of(&self.consumer, topic, wait).ok()?;
        Some(known.len())
    }

    /// As [`standings`](Self::standings), of all these partitions or none.
    ///
    /// # Errors
    /// The reason, in words, also where only one of them could not be learnt.
    pub(crate) fn all_standings(
        &self,
        partitions: &[i32],
        wait: Duration,
    ) -> Result<Vec<Standing>, String> {
        let found = self.standings(Some(partitions), wait)?;
        match found.len() == partitions.len() {
            true => Ok(found),
            false => Err(format!("only {} of them are known", found.len())),
        }
    }

    /// Nobody polls this client, so what it has to say about a broker that is away would pile up.
    fn forget_events(&self) {
        for _ in 0..STALE_EVENTS {
            match self.consumer.poll(Duration::ZERO) {
                None => break,
                Some(Ok(_)) => debug!("the observer was given a record"),
                Some(Err(cause)) => debug!(%cause, "observer event"),
            }
        }
    }
}
