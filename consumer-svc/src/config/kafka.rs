//! What the Kafka client takes, asked of itself.
//!
//! In: one property, or all of them. Out: whether it takes it, and if not, why. Nobody is connected to.

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;

use super::KafkaConfig;
use crate::kafka::no_properties;

/// Whether the client takes this property with this value, whatever else it is told.
pub(super) fn takes(property: &str, value: &str) -> Result<(), String> {
    let mut alone = no_properties();
    alone.set(property, value);
    match alone.create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(_, reason, _, _)) => Err(reason),
        Err(other) => Err(other.to_string()),
    }
}

/// Whether a client can be made of all of them together: a key and its password, for instance, or a
/// poll interval and the session that it has to outlast.
pub(super) fn check(config: &KafkaConfig) -> Result<(), String> {
    let made: Result<BaseConsumer, KafkaError> = crate::kafka::asking_config(config).create();
    made.map(drop)
        .map_err(|error| crate::kafka::refused(&error))
}
