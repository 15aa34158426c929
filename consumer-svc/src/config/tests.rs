//! Configuration: defaults, and every error at once.

use std::collections::HashMap;

use host::env::ConfigErrors;

use super::*;

fn read(vars: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let env: HashMap<String, String> = vars
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let mut reader = Reader::new(VARS, &env);
    let config = Config::read(&mut reader);
    reader.finish(|| config)
}

#[test]
fn an_empty_environment_gives_the_documented_defaults() {
    let config = read(&[]).unwrap();
    assert_eq!(config.kafka.group_id, "customer-management-group");
    assert_eq!(config.kafka.max_poll_records, 500);
    assert_eq!(config.kafka.session_timeout, Duration::from_secs(60));
    assert_eq!(config.http_addr.port(), 8001);
}

#[test]
fn all_errors_are_reported_at_once_by_name() {
    let errors = read(&[
        ("HTTP_ADDR", "nowhere"),
        ("KAFKA_SESSION_TIMEOUT", "60"),
        ("BATCH_MAX_RECORDS", "0"),
        ("MONGODB_URI", "postgres://u:hunter2@db"),
        ("KAFKA_TOPIC", "a b"),
    ])
    .unwrap_err()
    .to_string();
    for name in [
        "HTTP_ADDR",
        "KAFKA_SESSION_TIMEOUT",
        "BATCH_MAX_RECORDS",
        "MONGODB_URI",
        "KAFKA_TOPIC",
    ] {
        assert!(errors.contains(name), "{name} is missing in:\n{errors}");
    }
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn limits_that_would_stop_all_reading_are_refused() {
    let errors = read(&[("IN_FLIGHT_MAX_RECORDS", "10")])
        .unwrap_err()
        .to_string();
    assert!(
        errors.contains("IN_FLIGHT_MAX_RECORDS") && errors.contains("KAFKA_MAX_POLL_RECORDS"),
        "{errors}"
    );
}

#[test]
fn dead_letters_cannot_go_back_to_the_topic_they_come_from() {
    let errors = read(&[("KAFKA_DLQ_TOPIC", "purchases")])
        .unwrap_err()
        .to_string();
    assert!(errors.contains("KAFKA_DLQ_TOPIC"), "{errors}");
}

#[test]
fn a_property_the_promises_rest_on_cannot_be_passed_through() {
    let errors = read(&[("KAFKA_CLIENT_ENABLE_AUTO_COMMIT", "true")])
        .unwrap_err()
        .to_string();
    assert!(
        errors.contains("KAFKA_CLIENT_ENABLE_AUTO_COMMIT"),
        "{errors}"
    );
}

#[test]
fn nothing_that_is_printed_shows_the_database_password() {
    let config = read(&[("MONGODB_URI", "mongodb://u:hunter2@db")]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_database_user_is_whole_and_named_once_and_its_password_is_not_shown() {
    let config = read(&[
        ("MONGODB_USERNAME", "shop"),
        ("MONGODB_PASSWORD", "hunter2/%@"),
    ])
    .unwrap();
    let (name, password) = config.mongo.user.clone().unwrap();
    assert_eq!((name.as_str(), password.expose()), ("shop", "hunter2/%@"));
    assert!(!format!("{config:?}").contains("hunter2"));
    for (vars, name) in [
        (&[("MONGODB_USERNAME", "shop")][..], "MONGODB_PASSWORD"),
        (&[("MONGODB_PASSWORD", "hunter2")], "MONGODB_USERNAME"),
        (
            &[
                ("MONGODB_URI", "mongodb://u:p@db"),
                ("MONGODB_USERNAME", "shop"),
                ("MONGODB_PASSWORD", "hunter2"),
            ],
            "MONGODB_USERNAME",
        ),
        (
            &[("MONGODB_TLS_CA_FILE", "nowhere.pem")],
            "MONGODB_TLS_CA_FILE",
        ),
    ] {
        let errors = read(vars).unwrap_err();
        assert_eq!(errors.0[0].name, name, "{errors}");
        assert!(!errors.to_string().contains("hunter2"), "{errors}");
    }
}

#[test]
fn an_assignor_is_one_of_three_and_waiting_is_not_a_stall() {
    for assignor in ["cooperative-sticky", "range", "roundrobin"] {
        let config = read(&[("KAFKA_PARTITION_ASSIGNMENT_STRATEGY", assignor)]).unwrap();
        assert_eq!(config.kafka.assignor, assignor);
    }
    let errors = read(&[
        ("KAFKA_PARTITION_ASSIGNMENT_STRATEGY", "range,roundrobin"),
        ("STALL_TIMEOUT", "89s"),
        ("BAD_PERCENT_LIMIT", "101"),
    ])
    .unwrap_err()
    .to_string();
    for part in [
        "KAFKA_PARTITION_ASSIGNMENT_STRATEGY",
        "three times WRITE_TIMEOUT",
        "BAD_PERCENT_LIMIT",
    ] {
        assert!(errors.contains(part), "{part} is missing in:\n{errors}");
    }
}

#[test]
fn a_poll_interval_is_held_against_the_session_that_is_set() {
    let interval = ("KAFKA_CLIENT_MAX_POLL_INTERVAL_MS", "6000");
    read(&[interval, ("KAFKA_SESSION_TIMEOUT", "6s")]).unwrap();
    let errors = read(&[interval, ("KAFKA_SESSION_TIMEOUT", "7s")]).unwrap_err();
    assert_eq!(errors.0[0].name, interval.0, "{errors}");
}

#[test]
fn the_client_takes_every_session_timeout_that_is_accepted() {
    for (session, interval) in [("1s", "300000"), ("60s", "300000"), ("30m", "3600000")] {
        let config = read(&[("KAFKA_SESSION_TIMEOUT", session)]).unwrap();
        let client = crate::kafka::consumer_config(&config.kafka, 3);
        assert_eq!(client.get("max.poll.interval.ms"), Some(interval));
        for client in [client, crate::kafka::asking_config(&config.kafka)] {
            let made: Result<rdkafka::consumer::BaseConsumer, _> = client.create();
            assert!(made.is_ok(), "{session}: {:?}", made.err());
        }
    }
}

#[test]
fn every_property_that_the_client_refuses_is_named_whatever_else_is_wrong() {
    let errors = read(&[
        ("KAFKA_CLIENT_FOO_BAR", "hunter2"),
        ("KAFKA_CLIENT_SOCKET_TIMEOUT_MS", "soon"),
        ("KAFKA_TOPIC", "a b"),
    ])
    .unwrap_err()
    .to_string();
    for name in [
        "KAFKA_CLIENT_FOO_BAR: ",
        "KAFKA_CLIENT_SOCKET_TIMEOUT_MS: ",
        "KAFKA_TOPIC: ",
    ] {
        assert!(errors.contains(name), "{name} in {errors}");
    }
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn what_only_the_whole_client_can_see_is_told_beside_what_else_is_wrong() {
    let files = tempfile::tempdir().unwrap();
    let broken = files.path().join("ca.pem");
    std::fs::write(
        &broken,
        "-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let errors = read(&[
        ("KAFKA_SECURITY_PROTOCOL", "SSL"),
        ("KAFKA_SSL_CA_LOCATION", broken.to_str().unwrap()),
        ("HTTP_ADDR", "nowhere"),
    ])
    .unwrap_err()
    .to_string();
    for name in ["KAFKA_SSL_CA_LOCATION: is refused", "HTTP_ADDR: "] {
        assert!(errors.contains(name), "{name} in {errors}");
    }
}

#[test]
fn a_weaker_write_concern_is_refused_and_not_overruled_in_silence() {
    for options in [
        "w=1",
        "w=0",
        "w=some-tag",
        "journal=false",
        "w=majority&journal=false",
    ] {
        let uri = format!("mongodb://u:hunter2@db/?{options}");
        let error = read(&[("MONGODB_URI", &uri)]).unwrap_err().to_string();
        assert!(error.contains("leave w and journal out"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    for options in ["w=majority", "journal=true", "retryWrites=true&w=majority"] {
        let uri = format!("mongodb://u:hunter2@db/?{options}");
        read(&[("MONGODB_URI", &uri)]).unwrap();
    }
}

#[test]
fn what_the_database_would_refuse_is_found_before_the_start_and_all_at_once() {
    let errors = read(&[
        ("MONGODB_URI", "mongodb://localhost:notaport/"),
        ("MONGODB_DATABASE", "a b"),
        ("MONGODB_COLLECTION", "system.x"),
        ("WRITE_TIMEOUT", "0s"),
        ("QUERY_TIMEOUT", "0ms"),
        ("DRAIN_TIMEOUT", "0s"),
        ("BATCH_MAX_AGE", "1h"),
    ])
    .unwrap_err()
    .to_string();
    for name in [
        "MONGODB_URI",
        "MONGODB_DATABASE",
        "MONGODB_COLLECTION",
        "WRITE_TIMEOUT",
        "QUERY_TIMEOUT",
        "DRAIN_TIMEOUT",
        "BATCH_MAX_AGE",
    ] {
        assert!(errors.contains(name), "{name} is missing in:\n{errors}");
    }
    for uri in [
        "mongodb://u:p@ss@localhost/",
        "mongodb://localhost/?authMechanism=X",
    ] {
        let error = read(&[("MONGODB_URI", uri)]).unwrap_err().to_string();
        assert!(
            error.contains("MONGODB_URI") && !error.contains("p@ss"),
            "{error}"
        );
    }
}
