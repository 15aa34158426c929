//! A port at which something else is spoken than we speak, in a process that no broker has ever answered: in one
//! that was answered before, the protocol is not suspected.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use producer_svc::config::SERVICE;
use producer_svc::metrics::Metrics;
use producer_svc::publish::RecordLog;
use producer_svc::publish::kafka::KafkaLog;

const PATIENCE: Duration = Duration::from_secs(15);

/// Takes connections and ends each at its first bytes, as a broker's listener of another protocol does.
fn listener_of_another_protocol() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else {
                return;
            };
            // Whatever it was; one that was left open would look like a slow broker.
            drop(std::io::Read::read(&mut connection, &mut [0; 4096]));
        }
    });
    addr
}

#[test]
fn a_listener_that_speaks_another_protocol_is_said_to_by_the_variables_name() {
    let addr = listener_of_another_protocol();
    let env = HashMap::from([("KAFKA_BOOTSTRAP_SERVERS".to_owned(), addr)]);
    let config = SERVICE.configured(&env).unwrap().0.kafka;
    let log = KafkaLog::open(&config, Box::new(drop), Arc::new(Metrics::new())).unwrap();
    let named = "KAFKA_SECURITY_PROTOCOL (PLAINTEXT) is not what is spoken";
    let deadline = Instant::now() + PATIENCE;
    loop {
        let why = log.probe().unwrap_err().to_string();
        if why.contains(named) {
            return;
        }
        assert!(Instant::now() < deadline, "{why}");
    }
}
