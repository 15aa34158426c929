//! A port at which something else is spoken than we speak.

use std::collections::HashMap;
use std::sync::Arc;

use producer_svc::config::SERVICE;
use producer_svc::publish::RecordLog;

use super::{Desk, until};

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

#[tokio::test]
async fn a_listener_that_speaks_another_protocol_is_said_to_by_the_variables_name() {
    let addr = listener_of_another_protocol();
    let env = HashMap::from([("KAFKA_BOOTSTRAP_SERVERS".to_owned(), addr)]);
    let desk = Desk::open(&SERVICE.configured(&env).unwrap().0.kafka);
    let named = "KAFKA_SECURITY_PROTOCOL (PLAINTEXT) is not what is spoken";
    until(named, || {
        let log = Arc::clone(&desk.log);
        async move {
            let probe = tokio::task::spawn_blocking(move || log.probe());
            let why = probe.await.unwrap().unwrap_err().to_string();
            why.contains(named)
        }
    })
    .await;
}
