//! The few numbers that are read from the Kafka client's statistics.
//!
//! In: the client's JSON. Out: gauges. Everything else in that document is skipped unread.

use std::collections::HashMap;

use serde::Deserialize;

use crate::metrics::{BrokerGauges, BrokerTroubles};

#[derive(Deserialize)]
pub(super) struct BrokerStatistics {
    msg_cnt: f64,
    msg_size: f64,
    brokers: HashMap<String, Broker>,
}

#[derive(Deserialize)]
struct Broker {
    state: String,
    /// `configured` as an address, `learned` from the cluster, or one of the client's own helpers.
    #[serde(default)]
    source: String,
    #[serde(default)]
    rtt: Window,
    #[serde(default)]
    waitresp_cnt: f64,
    #[serde(default)]
    txerrs: u64,
    #[serde(default)]
    txretries: u64,
    #[serde(default)]
    req_timeouts: u64,
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

    /// The cluster's brokers. Until it was reached nobody knows them, and the addresses stand for
    /// them; afterwards they would count some twice.
    fn known(&self) -> impl Iterator<Item = &Broker> {
        let of = |source: &'static str| {
            let brokers = self.brokers.values();
            brokers.filter(move |broker| broker.source == source)
        };
        let source = match of("learned").next() {
            Some(_) => "learned",
            None => "configured",
        };
        of(source)
    }

    pub(super) fn gauges(&self) -> BrokerGauges {
        let mut brokers = [0.0; 3];
        for broker in self.known() {
            let at = match broker.state.as_str() {
                "UP" | "UPDATE" => 0,
                "INIT" | "DOWN" => 2,
                _ => 1,
            };
            brokers[at] += 1.0;
        }
        let up = self.brokers.values().filter(|broker| broker.state == "UP");
        BrokerGauges {
            queued_records: self.msg_cnt,
            queued_bytes: self.msg_size,
            brokers,
            requests: self
                .brokers
                .values()
                .map(|broker| broker.waitresp_cnt)
                .sum(),
            round_trip: up.map(|broker| broker.rtt.avg / 1e6).fold(0.0, f64::max),
        }
    }

    pub(super) fn troubles(&self) -> BrokerTroubles {
        let sum = |count: fn(&Broker) -> u64| self.brokers.values().map(count).sum();
        BrokerTroubles {
            errors: sum(|broker| broker.txerrs),
            timeouts: sum(|broker| broker.req_timeouts),
            retries: sum(|broker| broker.txretries),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_their_troubles_and_the_queue_are_read() {
        let json = br#"{"name": "x", "msg_cnt": 3, "msg_size": 400, "topics": {}, "brokers": {
            "boot": {"state": "UP", "source": "configured", "rtt": {"avg": 1}, "waitresp_cnt": 1},
            "a": {"state": "UP", "source": "learned", "rtt": {"min": 1, "avg": 2500}, "waitresp_cnt": 2, "txerrs": 1},
            "b": {"state": "DOWN", "source": "learned", "rtt": {"avg": 9000000}, "req_timeouts": 4},
            "c": {"state": "AUTH_REQ", "source": "learned", "txerrs": 2, "txretries": 5}}}"#;
        let statistics = BrokerStatistics::parse(json).unwrap();
        let expected = BrokerGauges {
            queued_records: 3.0,
            queued_bytes: 400.0,
            brokers: [1.0, 1.0, 1.0],
            requests: 3.0,
            round_trip: 0.0025,
        };
        assert_eq!(statistics.gauges(), expected);
        let troubles = BrokerTroubles {
            errors: 3,
            timeouts: 4,
            retries: 5,
        };
        assert_eq!(statistics.troubles(), troubles);
    }

    #[test]
    fn before_the_cluster_is_known_its_addresses_stand_for_it() {
        let json = br#"{"msg_cnt": 0, "msg_size": 0, "brokers": {
            "boot": {"state": "DOWN", "source": "configured"}, "x": {"state": "INIT", "source": "logical"}}}"#;
        let gauges = BrokerStatistics::parse(json).unwrap().gauges();
        assert_eq!(gauges.brokers, [0.0, 0.0, 1.0]);
    }
}
