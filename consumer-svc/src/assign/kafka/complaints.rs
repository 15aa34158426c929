//! What the polling thread hears of its consumer, in the log and counted.
//!
//! In: errors, as often as the client repeats them. Out: each once in a while. It draws no conclusions.

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::warn;

use crate::metrics;

/// A complaint that stays the same is repeated this often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(30);

/// Says what the consumer reports: at once when it is something new, and then only now and then.
/// The client repeats itself many times a second while no broker can be reached.
#[derive(Default)]
pub(super) struct Complaints {
    last: Option<(Option<RDKafkaErrorCode>, Instant)>,
}

impl Complaints {
    /// Says it, or not.
    pub(super) fn hear(&mut self, error: &KafkaError) {
        metrics::consumer_error();
        let code = match error.rdkafka_error_code() {
            // All say the same, in turn; why we are not let in is said by who looks at our health.
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SSL,
            ) => Some(RDKafkaErrorCode::AllBrokersDown),
            other => other,
        };
        let old = |(last, at): (_, Instant)| last == code && at.elapsed() < COMPLAIN_EVERY;
        if !self.last.is_some_and(old) {
            warn!(%error, "kafka consumer");
            self.last = Some((code, Instant::now()));
        }
    }
}
