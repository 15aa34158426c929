//! Letters to the dead-letter topic through a Kafka producer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use purchases::Timestamp;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::util::Timeout;

use super::{LetterBox, Originals, header};
use crate::config::KafkaConfig;
use crate::flow::{BadRecord, Origin, Original};
use crate::kafka::{Lookup, base_config, log};

/// Writes letters to one topic.
pub struct KafkaLetterBox {
    producer: FutureProducer<LetterContext>,
    topic: String,
}

/// Routes the client's log into ours.
pub struct LetterContext;

impl ClientContext for LetterContext {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        log(level, fac, message);
    }

    fn error(&self, cause: KafkaError, reason: &str) {
        tracing::debug!(%cause, reason, "dead-letter producer error");
    }
}

/// How long one letter may be on its way before the attempt counts as failed, at most.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

impl KafkaLetterBox {
    /// Creates the producer. `stall` is how long a partition may be without a sign of life. Nothing is sent, and no broker needs to be there.
    ///
    /// # Errors
    /// When the client refuses its configuration.
    pub fn new(config: &KafkaConfig, stall: Duration) -> Result<Self, KafkaError> {
        // Each attempt is a sign of life, so it must end before somebody misses one.
        let timeout = DELIVERY_TIMEOUT.min(stall / 3);
        let producer = base_config(config)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", timeout.as_millis().to_string())
            .set("queue.buffering.max.kbytes", "8192")
            // A letter is at most the original plus its headers; the client's own limit must not
            // be what keeps a record of the broker's full size out.
            .set("message.max.bytes", "2097152")
            .create_with_context(LetterContext)?;
        Ok(Self {
            producer,
            topic: config.dlq_topic.clone(),
        })
    }
}

/// What of a value still fits where the topic refuses the whole letter.
const TRUNCATED: usize = 64 * 1024;

impl LetterBox for KafkaLetterBox {
    /// A letter is the original and its headers, so it can be too large for a topic with the
    /// limits of the original's. It then goes with the beginning of the value and says so; origin
    /// and length tell where the whole is. A partition must not stand still for it.
    async fn deliver(&self, record: &BadRecord) -> Result<(), String> {
        let whole = record.original.value.as_deref();
        match self.produce(record, whole, None).await {
            Err(error) if is_too_large(&error) => {
                let length = whole.map_or(0, <[u8]>::len);
                let begin = whole.map(|value| &value[..value.len().min(TRUNCATED)]);
                self.produce(record, begin, Some(length)).await
            }
            other => other,
        }
        .map_err(|error| match self.producer.client().fatal_error() {
            Some((code, reason)) => format!("fatal producer error {code}: {reason}"),
            None => error.to_string(),
        })
    }
}

impl KafkaLetterBox {
    async fn produce(
        &self,
        record: &BadRecord,
        value: Option<&[u8]>,
        truncated_from: Option<usize>,
    ) -> Result<(), KafkaError> {
        let written = Timestamp::from(SystemTime::now()).to_string();
        let (partition, offset) = (
            record.origin.partition.to_string(),
            record.origin.offset.to_string(),
        );
        let length = truncated_from.map(|length| length.to_string());
        let time = record.original.time.map(|time| time.to_string());
        let own: [(&str, Option<&str>); 7] = [
            (header::REASON, Some(&record.reason)),
            (header::TOPIC, Some(&record.origin.topic)),
            (header::PARTITION, Some(&partition)),
            (header::OFFSET, Some(&offset)),
            (header::RECORD_TIME, time.as_deref()),
            (header::TIME, Some(&written)),
            (header::TRUNCATED_FROM, length.as_deref()),
        ];
        let mut headers =
            OwnedHeaders::new_with_capacity(record.original.headers.len() + own.len());
        for (key, value) in &record.original.headers {
            headers = headers.insert(Header {
                key,
                value: value.as_deref(),
            });
        }
        for (key, value) in own.iter().filter(|(_, value)| value.is_some()) {
            headers = headers.insert(Header { key, value: *value });
        }
        let mut letter = FutureRecord::<[u8], [u8]>::to(&self.topic).headers(headers);
        letter.key = record.original.key.as_deref();
        letter.payload = value;
        // The queue is bounded by the credits upstream; an attempt that finds it full fails.
        let sent = self.producer.send(letter, Timeout::After(Duration::ZERO));
        sent.await.map(drop).map_err(|(error, _)| error)
    }
}

fn is_too_large(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge)
    )
}

/// Reads records again from the topics they stand in.
pub struct KafkaOriginals(Arc<Lookup>);

impl KafkaOriginals {
    /// Connects when it is first asked, which may be never.
    pub fn new(config: &KafkaConfig) -> Self {
        Self(Arc::new(Lookup::new(config)))
    }
}

impl Originals for KafkaOriginals {
    async fn read(&self, wanted: Vec<Origin>) -> Result<Vec<Option<Original>>, String> {
        let lookup = Arc::clone(&self.0);
        let read = tokio::task::spawn_blocking(move || {
            let mut places: BTreeMap<(&str, i32), Vec<i64>> = BTreeMap::new();
            for origin in &wanted {
                let offsets = places.entry((&*origin.topic, origin.partition));
                offsets.or_default().push(origin.offset);
            }
            let mut found = BTreeMap::new();
            for ((topic, partition), mut offsets) in places {
                offsets.sort_unstable();
                for (offset, record) in lookup.at(topic, partition, &offsets)? {
                    found.insert((topic, partition, offset), record);
                }
            }
            let each = wanted
                .iter()
                .map(|origin| found.remove(&(&*origin.topic, origin.partition, origin.offset)));
            Ok(each.collect())
        });
        read.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}
