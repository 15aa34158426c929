//! The few numbers that are read from the Kafka client's statistics.
//!
//! In: the client's JSON. Out: gauges. Everything else in that document is skipped unread.

use std::collections::HashMap;

use serde::Deserialize;

use crate::metrics::BrokerGauges;

#[derive(Deserialize)]
pub(super) struct BrokerStatistics {
    msg_cnt: f64,
    msg_size: f64,
    brokers: HashMap<String, Broker>,
}

#[derive(Deserialize)]
struct Broker {
    state: String,
    #[serde(default)]
    rtt: Window,
}

#[derive(Default, Deserialize)]
struct Window {
    /// Microseconds.
    avg: f64,
}

impl BrokerStatistics {
    pub(super) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    pub(super) fn gauges(&self) -> BrokerGauges {
        let up = self.brokers.values().filter(|broker| broker.state == "UP");
        BrokerGauges {
            queued_records: self.msg_cnt,
            queued_bytes: self.msg_size,
            brokers_up: up.clone().count() as f64,
            round_trip: up.map(|broker| broker.rtt.avg / 1e6).fold(0.0, f64::max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connected_brokers_and_the_queue_are_read() {
        let json = br#"{"name": "x", "msg_cnt": 3, "msg_size": 400, "topics": {},
            "brokers": {"a": {"state": "UP", "rtt": {"min": 1, "avg": 2500}},
                        "b": {"state": "DOWN", "rtt": {"avg": 9000000}}, "c": {"state": "INIT"}}}"#;
        let gauges = BrokerStatistics::parse(json).unwrap().gauges();
        let expected = BrokerGauges {
            queued_records: 3.0,
            queued_bytes: 400.0,
            brokers_up: 1.0,
            round_trip: 0.0025,
        };
        assert_eq!(gauges, expected);
    }
}
