//! Letters read and marked, and records sent back, through Kafka clients.

use std::time::Duration;

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;

use super::letter::{Fate, Place, mark_headers};
use crate::config::KafkaConfig;
use crate::flow::Original;
use crate::kafka::{Lookup, writing_config};

/// How long a record may be on its way.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// Both topics, for somebody who works on letters. What it reads, it reads blocking.
pub(super) struct Desk {
    lookup: Lookup,
    producer: FutureProducer,
    topic: String,
    letters: String,
}

impl Desk {
    pub(super) fn new(config: &KafkaConfig) -> Result<Self, String> {
        let producer = writing_config(config)
            .set(
                "message.timeout.ms",
                DELIVERY_TIMEOUT.as_millis().to_string(),
            )
            .create()
            .map_err(|cause| format!("kafka producer: {cause}"))?;
        Ok(Self {
            lookup: Lookup::new(config),
            producer,
            topic: config.topic.clone(),
            letters: config.dlq_topic.clone(),
        })
    }

    /// Where records go back to.
    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// Everything in the dead-letter topic, partition by partition.
    pub(super) fn scan(&self, mut each: impl FnMut((i32, i64), Original)) -> Result<(), String> {
        let topic = self.letters.as_str();
        for extent in self.lookup.extents((topic, "KAFKA_DLQ_TOPIC"))? {
            let (partition, whole) = (extent.partition, (extent.first, extent.end));
            self.lookup
                .range(topic, partition, whole, |offset, record| {
                    each((partition, offset), record);
                })?;
        }
        Ok(())
    }

    /// These letters of a partition; without those that are not there.
    pub(super) fn letters(
        &self,
        partition: i32,
        offsets: &[i64],
    ) -> Result<Vec<(i64, Original)>, String> {
        self.lookup.at(&self.letters, partition, offsets)
    }

    /// The record itself, if it is still in its topic.
    pub(super) fn original(&self, origin: &Place) -> Result<Option<Original>, String> {
        let found = self
            .lookup
            .at(&origin.topic, origin.partition, &[origin.offset])?;
        Ok(found.into_iter().next().map(|(_, record)| record))
    }

    /// To the partition it came from, so that it stands behind everything its key is ordered with.
    pub(super) async fn send_back(&self, origin: &Place, record: &Original) -> Result<(), String> {
        self.produce((&origin.topic, origin.partition), record)
            .await
    }

    /// Says behind a letter what was done with it.
    pub(super) async fn mark(&self, place: (i32, i64), fate: &Fate) -> Result<(), String> {
        let mark = Original {
            key: Some(format!("{}/{}", place.0, place.1).into_bytes()),
            headers: mark_headers(place.1, fate),
            ..Original::default()
        };
        self.produce((&self.letters, place.0), &mark).await
    }

    async fn produce(
        &self,
        (topic, partition): (&str, i32),
        record: &Original,
    ) -> Result<(), String> {
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (key, value) in &record.headers {
            headers = headers.insert(Header {
                key,
                value: value.as_deref(),
            });
        }
        let mut sent = FutureRecord::<[u8], [u8]>::to(topic)
            .partition(partition)
            .headers(headers);
        sent.key = record.key.as_deref();
        sent.payload = record.value.as_deref();
        let delivered = self.producer.send(sent, Timeout::After(DELIVERY_TIMEOUT));
        let outcome = delivered.await.map(drop);
        outcome.map_err(|(error, _)| format!("{topic}/{partition}: {error}"))
    }
}
