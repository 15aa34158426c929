//! What the Kafka client takes, asked of itself.
//!
//! In: one property. Out: whether it takes it, and if not, why. No client is made.

use rdkafka::error::KafkaError;

use crate::publish::kafka::no_properties;

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
