//! Kafka settings: contradictions are found at start, secrets are not shown.

use std::collections::HashMap;

use host::env::{ConfigErrors, Reader};
use host::kafka::{KafkaSettings, VARS};

/// A client that refuses this.
fn takes(property: &str, value: &str) -> Result<(), String> {
    match property {
        "socket.timeout.ms" if value.parse::<u32>().is_err() => Err("is no number".to_owned()),
        "made.up" => Err("there is none".to_owned()),
        _ => Ok(()),
    }
}

fn read(set: &[(&str, &str)]) -> Result<KafkaSettings, ConfigErrors> {
    let env: HashMap<String, String> = set
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    let mut reader = Reader::new(&[VARS], &env);
    let settings = KafkaSettings::read(&mut reader, &["acks", "enable.idempotence"], takes);
    reader.finish(|| settings)
}

fn refused(set: &[(&str, &str)]) -> Vec<(String, String)> {
    let errors = read(set).expect_err("a contradiction").0;
    errors
        .into_iter()
        .map(|error| (error.name, error.reason))
        .collect()
}

#[test]
fn without_variables_it_is_a_plain_local_broker() {
    let settings = read(&[]).expect("defaults are valid");
    let expected = [
        ("bootstrap.servers", "localhost:9092"),
        ("security.protocol", "PLAINTEXT"),
    ];
    assert_eq!(
        settings.client_properties(),
        expected.map(|(k, v)| (k.to_owned(), v.to_owned()))
    );
    assert_eq!(settings.bootstrap_servers(), "localhost:9092");
}

#[test]
fn sasl_over_tls_becomes_client_properties() {
    let files = tempfile::tempdir().expect("a directory");
    let file = |name: &str, kind: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, format!("-----BEGIN {kind}-----")).expect("it is written");
        path.to_str().expect("a plain path").to_owned()
    };
    let (path, certificate) = (
        &file("ca.pem", "CERTIFICATE"),
        &file("own.pem", "CERTIFICATE"),
    );
    let key = &file("own.key", "ENCRYPTED PRIVATE KEY");
    let settings = read(&[
        ("KAFKA_BOOTSTRAP_SERVERS", "a:9092, b:9093"),
        ("KAFKA_SECURITY_PROTOCOL", "sasl_ssl"),
        ("KAFKA_SASL_MECHANISM", "scram-sha-512"),
        ("KAFKA_SASL_USERNAME", "shop"),
        ("KAFKA_SASL_PASSWORD", "hunter2"),
        ("KAFKA_SSL_CA_LOCATION", path),
        ("KAFKA_CLIENT_SOCKET_TIMEOUT_MS", "5000"),
        // Set to nothing is not set.
        ("KAFKA_CLIENT_CLIENT_RACK", " "),
        ("KAFKA_SSL_CERTIFICATE_LOCATION", certificate),
        ("KAFKA_SSL_KEY_LOCATION", key),
        ("KAFKA_SSL_KEY_PASSWORD", "hunter3"),
        ("KAFKA_CLIENT_SSL_KEYSTORE_PASSWORD", "hunter4"),
    ])
    .expect("a valid configuration");
    let get = |name| {
        settings
            .client_properties()
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    };
    assert_eq!(get("bootstrap.servers"), Some("a:9092,b:9093"));
    assert_eq!(get("security.protocol"), Some("SASL_SSL"));
    assert_eq!(get("sasl.mechanism"), Some("SCRAM-SHA-512"));
    assert_eq!(get("sasl.username"), Some("shop"));
    assert_eq!(get("sasl.password"), Some("hunter2"));
    assert_eq!(get("ssl.ca.location"), Some(path.as_str()));
    assert_eq!(get("ssl.certificate.location"), Some(certificate.as_str()));
    assert_eq!(get("ssl.key.location"), Some(key.as_str()));
    assert_eq!(get("ssl.keystore.password"), Some("hunter4"));
    assert_eq!(get("socket.timeout.ms"), Some("5000"));
    assert_eq!(get("client.rack"), None);
    assert_eq!(get("ssl.key.password"), Some("hunter3"));
    let debug = format!("{settings:?}");
    assert!(
        debug.contains("shop") && !debug.contains("hunter"),
        "{debug}"
    );
}

#[test]
fn a_certificate_of_our_own_is_whole_or_not_there() {
    let errors = refused(&[
        ("KAFKA_SECURITY_PROTOCOL", "SSL"),
        ("KAFKA_SSL_KEY_PASSWORD", "hunter3"),
        ("KAFKA_SSL_CERTIFICATE_LOCATION", "Cargo.toml"),
    ]);
    let text = format!("{errors:?}");
    assert!(
        text.contains("does not hold a certificate")
            && text.contains("KAFKA_SSL_KEY_LOCATION is not"),
        "{text}"
    );
    assert!(!text.contains("hunter3"), "{text}");
    let errors = refused(&[
        ("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT"),
        ("KAFKA_SSL_KEY_PASSWORD", "hunter3"),
    ]);
    assert!(
        errors[0].1.contains("KAFKA_SECURITY_PROTOCOL is PLAINTEXT"),
        "{errors:?}"
    );
}

#[test]
fn what_a_sasl_protocol_needs_is_named_all_at_once() {
    let errors = refused(&[
        ("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
        ("KAFKA_SASL_USERNAME", "shop"),
    ]);
    let names: Vec<_> = errors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["KAFKA_SASL_MECHANISM", "KAFKA_SASL_PASSWORD"]);
    assert_eq!(
        errors[0].1,
        "is required, because KAFKA_SECURITY_PROTOCOL is SASL_PLAINTEXT"
    );
}

#[test]
fn credentials_that_would_go_unused_are_an_error() {
    let errors = refused(&[
        ("KAFKA_SASL_PASSWORD", "hunter2"),
        ("KAFKA_SSL_CA_LOCATION", "/nowhere/ca.pem"),
    ]);
    let names: Vec<_> = errors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["KAFKA_SSL_CA_LOCATION", "KAFKA_SASL_PASSWORD"]);
    assert!(errors[0].1.contains("cannot be read"), "{errors:?}");
    assert_eq!(
        errors[1].1,
        "is set, but KAFKA_SECURITY_PROTOCOL is PLAINTEXT"
    );
    assert!(!format!("{errors:?}").contains("hunter2"));
}

#[test]
fn unknown_words_are_refused_with_the_choices() {
    let errors = refused(&[
        ("KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("KAFKA_SASL_MECHANISM", "GSSAPI"),
    ]);
    assert_eq!(
        errors[0].1,
        "\"TLS\" is none of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"
    );
    assert_eq!(
        errors[1].1,
        "\"GSSAPI\" is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"
    );
    for wrong in [
        "kafka",
        "kafka:",
        ":9092",
        "a:9092,",
        "a:0",
        "a:70000",
        "a:9092,,b:9092",
    ] {
        assert_eq!(
            refused(&[("KAFKA_BOOTSTRAP_SERVERS", wrong)]).len(),
            1,
            "{wrong}"
        );
    }
}

#[test]
fn properties_on_which_promises_rest_are_not_passed_through() {
    let errors = refused(&[
        ("KAFKA_CLIENT_ACKS", "1"),
        ("KAFKA_CLIENT_ENABLE_IDEMPOTENCE", "false"),
        ("KAFKA_CLIENT_SASL_PASSWORD", "hunter2"),
        ("KAFKA_CLIENT_", "x"),
    ]);
    let names: Vec<_> = errors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "KAFKA_CLIENT_",
            "KAFKA_CLIENT_ACKS",
            "KAFKA_CLIENT_ENABLE_IDEMPOTENCE",
            "KAFKA_CLIENT_SASL_PASSWORD"
        ]
    );
    assert!(
        errors[3].1.contains("set KAFKA_SASL_PASSWORD instead"),
        "{errors:?}"
    );
}

#[test]
fn other_variables_with_the_prefix_are_left_alone() {
    assert!(
        read(&[
            ("KAFKA_HEAP_OPTS", "-Xmx1g"),
            ("KAFKA_PORT_9092_TCP", "tcp://10.0.0.1:9092")
        ])
        .is_ok()
    );
}

#[test]
fn every_property_that_the_client_refuses_is_named_whatever_else_is_wrong() {
    let refused = refused(&[
        ("KAFKA_CLIENT_MADE_UP", "hunter2"),
        ("KAFKA_CLIENT_SOCKET_TIMEOUT_MS", "soon"),
        ("KAFKA_CLIENT_CLIENT_RACK", "here"),
        ("KAFKA_CLIENT_ACKS", "1"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS"),
    ]);
    let mut names: Vec<&str> = refused.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "KAFKA_CLIENT_ACKS",
            "KAFKA_CLIENT_MADE_UP",
            "KAFKA_CLIENT_SOCKET_TIMEOUT_MS",
            "KAFKA_SECURITY_PROTOCOL"
        ]
    );
    assert!(
        refused
            .iter()
            .all(|(_, reason)| !reason.contains("hunter2"))
    );
}
