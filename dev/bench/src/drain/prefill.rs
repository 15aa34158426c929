//! Writes a backlog as producer-svc would: key, value and headers. In: which; out: that many
//! records in the topic, all confirmed.

use std::time::Duration;

use purchases::wire;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::corpus::Backlog;
use crate::{Failure, corpus};

/// How long the last records may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a full queue is left to empty itself.
const FULL: Duration = Duration::from_millis(2);

/// Writes them. The client blocks, so not on the runtime's threads.
pub(super) async fn write(bootstrap_servers: String, backlog: Backlog) -> Result<(), Failure> {
    tokio::task::spawn_blocking(move || blocking(&bootstrap_servers, backlog)).await?
}

fn blocking(bootstrap_servers: &str, backlog: Backlog) -> Result<(), Failure> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("partitioner", "murmur2_random")
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "20")
        .create()?;
    let topic = backlog.topic();
    for number in 0..backlog.records {
        let purchase = corpus::purchase(number, backlog.records)?;
        let (id, value) = (purchase.id().to_hex(), backlog.value(number, &purchase));
        let trace = format!("00-{number:032x}-{number:016x}-00");
        let mut record = BaseRecord::to(&topic)
            .key(purchase.user_id().as_str())
            .payload(&value)
            .headers(headers(&id, &trace));
        while let Err((error, back)) = producer.send(record) {
            let KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) = error else {
                return Err(error.into());
            };
            std::thread::sleep(FULL);
            record = back;
        }
    }
    producer.flush(PATIENCE)?;
    Ok(())
}

fn headers(id: &[u8], trace: &str) -> OwnedHeaders {
    let headers: [(&str, &[u8]); 4] = [
        (wire::PURCHASE_ID, id),
        (wire::TRACEPARENT, trace.as_bytes()),
        (wire::CONTENT_TYPE, wire::JSON.as_bytes()),
        (wire::SCHEMA_VERSION, wire::VERSION.as_bytes()),
    ];
    headers.into_iter().fold(
        OwnedHeaders::new_with_capacity(headers.len()),
        |all, (key, value)| {
            all.insert(Header {
                key,
                value: Some(value),
            })
        },
    )
}
