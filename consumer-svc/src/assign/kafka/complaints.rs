//! What the polling thread hears of its consumer, in the log and counted.
//!
//! In: errors, as often as the client repeats them. Out: each once in a while. It draws no conclusions.

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{error, warn};

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
            match remedy(code) {
                Some(remedy) => error!(%error, remedy, "the group does not let this consumer in"),
                None => warn!(%error, "kafka consumer"),
            }
            self.last = Some((code, Instant::now()));
        }
    }
}

/// What to do about a refusal that does not pass by itself, where the client's words do not say it.
fn remedy(code: Option<RDKafkaErrorCode>) -> Option<&'static str> {
    match code? {
        RDKafkaErrorCode::InvalidSessionTimeout => Some(
            "set KAFKA_SESSION_TIMEOUT to what the brokers take: from their group.min.session.timeout.ms \
             to their group.max.session.timeout.ms",
        ),
        RDKafkaErrorCode::InconsistentGroupProtocol => Some(
            "its other members assign partitions in another way: give all of them the same \
             KAFKA_PARTITION_ASSIGNMENT_STRATEGY, or stop them first",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_the_brokers_do_not_take_is_told_of_with_its_variable_and_their_bounds() {
        let told = remedy(Some(RDKafkaErrorCode::InvalidSessionTimeout)).unwrap();
        for name in [
            "KAFKA_SESSION_TIMEOUT",
            "group.min.session.timeout.ms",
            "group.max.session.timeout.ms",
        ] {
            assert!(told.contains(name), "{told}");
        }
        assert_eq!(remedy(Some(RDKafkaErrorCode::AllBrokersDown)), None);
        assert_eq!(remedy(None), None);
    }
}
