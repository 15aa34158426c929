//! Letters to the dead-letter topic through a Kafka producer.

use std::time::{Duration, SystemTime};

use purchases::Timestamp;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::util::Timeout;

use super::{LetterBox, header};
use crate::config::KafkaConfig;
use crate::flow::BadRecord;
use crate::kafka::{base_config, log};

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

/// How long one letter may be on its way before the attempt counts as failed.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

impl KafkaLetterBox {
    /// Creates the producer. Nothing is sent, and no broker needs to be there.
    ///
    /// # Errors
    /// When the client refuses its configuration.
    pub fn new(config: &KafkaConfig) -> Result<Self, KafkaError> {
        let producer = base_config(config)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set(
                "message.timeout.ms",
                DELIVERY_TIMEOUT.as_millis().to_string(),
            )
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

impl LetterBox for KafkaLetterBox {
    async fn deliver(&self, record: &BadRecord) -> Result<(), String> {
        let written = Timestamp::from(SystemTime::now()).to_string();
        let (partition, offset) = (
            record.origin.partition.to_string(),
            record.origin.offset.to_string(),
        );
        let own: [(&str, &str); 5] = [
            (header::REASON, &record.reason),
            (header::TOPIC, &record.origin.topic),
            (header::PARTITION, &partition),
            (header::OFFSET, &offset),
            (header::TIME, &written),
        ];
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len() + own.len());
        for (key, value) in &record.headers {
            headers = headers.insert(Header {
                key,
                value: value.as_deref(),
            });
        }
        for (key, value) in own {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        let mut letter = FutureRecord::<[u8], [u8]>::to(&self.topic).headers(headers);
        letter.key = record.key.as_deref();
        letter.payload = record.value.as_deref();
        // The queue is bounded by the credits upstream; an attempt that finds it full fails.
        match self
            .producer
            .send(letter, Timeout::After(Duration::ZERO))
            .await
        {
            Ok(_) => Ok(()),
            Err((error, _)) => match self.producer.client().fatal_error() {
                Some((code, reason)) => Err(format!("fatal producer error {code}: {reason}")),
                None => Err(error.to_string()),
            },
        }
    }
}
