//! What is refused, and by which name.

use std::collections::HashMap;

use super::*;

fn read(vars: &[(&str, &str)]) -> Result<Config, String> {
    let env: HashMap<_, _> = vars
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    SERVICE
        .configured(&env)
        .map(|(config, _)| config)
        .map_err(|errors| errors.to_string())
}

#[test]
fn everything_has_a_default_that_works_together() {
    let config = read(&[]).unwrap();
    assert_eq!(config.http_addr.port(), 8000);
    assert_eq!(config.kafka.topic, "purchases");
    assert_eq!(config.catalog, Catalog::built_in());
}

#[test]
fn all_errors_are_told_at_once_by_name() {
    let errors = read(&[
        ("HTTP_ADDR", "8000"),
        ("KAFKA_TOPIC", "a b"),
        ("CATALOG_FILE", "/nonexistent/catalog.json"),
        ("CUSTOMER_MANAGEMENT_API_URL", "https://consumer"),
        ("DRAIN_TIMEOUT", "30"),
        ("KAFKA_CLIENT_ACKS", "1"),
    ])
    .unwrap_err();
    for name in [
        "HTTP_ADDR",
        "KAFKA_TOPIC",
        "CATALOG_FILE",
        "CUSTOMER_MANAGEMENT_API_URL",
        "DRAIN_TIMEOUT",
        "KAFKA_CLIENT_ACKS",
    ] {
        assert!(errors.contains(name), "{name} in {errors}");
    }
}

#[test]
fn everything_wrong_with_a_catalog_is_told_with_its_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), r#"[{"name": "", "price": 0}, 7]"#).unwrap();
    let path = file.path().to_str().unwrap();
    let errors = read(&[("CATALOG_FILE", path), ("DRAIN_TIMEOUT", "30")]).unwrap_err();
    for part in [
        path,
        "has 3 errors:",
        "/0/name is empty",
        "/0/price is not more than 0",
        "/1 is not an object",
        "DRAIN_TIMEOUT",
    ] {
        assert!(errors.contains(part), "{part} in {errors}");
    }
}

#[test]
fn a_drain_that_cannot_outlast_a_delivery_is_refused() {
    let errors = read(&[("DRAIN_TIMEOUT", "5s"), ("KAFKA_DELIVERY_TIMEOUT", "10s")]).unwrap_err();
    assert!(errors.contains("DRAIN_TIMEOUT"), "{errors}");
    // The intake gets nine tenths of it.
    let close = [("DRAIN_TIMEOUT", "25s"), ("KAFKA_DELIVERY_TIMEOUT", "23s")];
    assert!(read(&close).unwrap_err().contains("DRAIN_TIMEOUT"));
}

#[test]
fn properties_that_would_break_the_promise_cannot_be_passed_through() {
    for (name, value) in [
        ("KAFKA_CLIENT_DELIVERY_REPORT_ONLY_ERROR", "true"),
        ("KAFKA_CLIENT_TEST_MOCK_NUM_BROKERS", "3"),
        ("KAFKA_CLIENT_ENABLE_IDEMPOTENCE", "false"),
    ] {
        assert!(read(&[(name, value)]).unwrap_err().contains(name));
    }
}

#[test]
fn what_the_kafka_client_does_not_take_is_told_before_the_start() {
    let errors = read(&[("KAFKA_CLIENT_NO_SUCH_THING", "1")]).unwrap_err();
    assert!(errors.contains("no.such.thing"), "{errors}");
    let long = [("KAFKA_DELIVERY_TIMEOUT", "10m"), ("DRAIN_TIMEOUT", "15m")];
    assert!(read(&long).is_ok());
    assert!(
        read(&[("HISTORY_TIMEOUT", "0s")])
            .unwrap_err()
            .contains("HISTORY_TIMEOUT")
    );
}

#[test]
fn what_the_kafka_client_could_not_hold_is_refused_by_the_name_that_was_set() {
    for (name, good, bad) in [
        ("KAFKA_LINGER", "15m", "16m"),
        ("INTAKE_MAX_BYTES", "256GiB", "1024GiB"),
        ("INTAKE_MAX_BYTES", "64KiB", "63KiB"),
    ] {
        let roomy = [("KAFKA_DELIVERY_TIMEOUT", "40m"), ("DRAIN_TIMEOUT", "2h")];
        let with = |value| read(&[roomy[0], roomy[1], (name, value)]);
        assert!(with(good).is_ok(), "{name}: {:?}", with(good).err());
        let errors = with(bad).unwrap_err();
        let told = format!("{name}: \"{bad}\" is ");
        assert!(
            errors.contains(&told) && errors.starts_with("1 error "),
            "{errors}"
        );
    }
}

#[test]
fn there_are_always_fewer_purchases_than_connections() {
    let bounds = |vars: &[(&str, &str)]| {
        let intake = read(vars).unwrap().intake;
        (intake.max_purchases, intake.max_connections)
    };
    let (purchases, connections) = ("INTAKE_MAX_PURCHASES", "HTTP_MAX_CONNECTIONS");
    assert_eq!(bounds(&[]), (2_048, 4_096));
    // Who changes one of them alone need not think of the other.
    for (set, follows) in [("100000", 2_048), ("1000", 500), ("3", 1), ("1", 1)] {
        assert_eq!(bounds(&[(connections, set)]).0, follows, "{set}");
    }
    assert_eq!(bounds(&[(purchases, "4095")]), (4_095, 4_096));
    for vars in [
        &[(purchases, "4096")][..],
        &[(purchases, "10"), (connections, "10")],
    ] {
        let errors = read(vars).unwrap_err();
        assert!(
            errors.contains(purchases) && errors.contains(connections),
            "{errors}"
        );
    }
}

#[test]
fn one_address_cannot_serve_customers_and_operators() {
    let errors = read(&[
        ("HTTP_ADDR", "127.0.0.1:8000"),
        ("ADMIN_ADDR", "127.0.0.1:8000"),
    ])
    .unwrap_err();
    assert!(errors.contains("ADMIN_ADDR"), "{errors}");
}

#[test]
fn what_stands_before_the_routes_is_off_and_refused_by_name_where_it_is_wrong() {
    let config = read(&[]).unwrap();
    assert_eq!((config.cors, config.rate_limit), (None, None));
    let errors = read(&[
        ("CORS_ALLOWED_ORIGINS", "shop.example"),
        ("RATE_LIMIT", "5/s"),
        ("RATE_LIMIT_BURST", "0"),
        ("RATE_LIMIT_CLIENTS", "1"),
        ("TRUSTED_PROXY_HEADER", "Forwarded"),
        ("TRUSTED_PROXY_HOPS", "0"),
    ])
    .unwrap_err();
    for name in [
        "CORS_ALLOWED_ORIGINS",
        "RATE_LIMIT",
        "RATE_LIMIT_BURST",
        "RATE_LIMIT_CLIENTS",
        "TRUSTED_PROXY_HEADER",
        "TRUSTED_PROXY_HOPS",
    ] {
        assert!(errors.contains(&format!("{name}: ")), "{name} in {errors}");
    }
}

#[test]
fn a_key_is_opened_with_its_password_and_with_no_other() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys");
    let (certificate, key) = (format!("{dir}/client.pem"), format!("{dir}/client.key"));
    let with = |password: Option<&str>| {
        let mut vars = vec![
            ("KAFKA_SECURITY_PROTOCOL", "SSL"),
            ("KAFKA_SSL_CERTIFICATE_LOCATION", certificate.as_str()),
            ("KAFKA_SSL_KEY_LOCATION", key.as_str()),
        ];
        vars.extend(password.map(|password| ("KAFKA_SSL_KEY_PASSWORD", password)));
        read(&vars).map(drop)
    };
    assert_eq!(with(Some("open-sesame")), Ok(()));
    let wrong = with(Some("close-sesame")).unwrap_err();
    assert!(
        wrong.contains("key") && !wrong.contains("sesame"),
        "{wrong}"
    );
    let without = with(None).unwrap_err();
    assert!(without.contains("key"), "{without}");
}

#[test]
fn every_property_that_the_client_refuses_is_named_whatever_else_is_wrong() {
    let errors = read(&[
        ("KAFKA_CLIENT_FOO_BAR", "hunter2"),
        ("KAFKA_CLIENT_SOCKET_TIMEOUT_MS", "soon"),
        ("KAFKA_TOPIC", "a b"),
        ("KAFKA_LINGER", "10s"),
    ])
    .unwrap_err();
    for name in [
        "KAFKA_CLIENT_FOO_BAR: ",
        "foo.bar",
        "KAFKA_CLIENT_SOCKET_TIMEOUT_MS: ",
        "KAFKA_TOPIC: ",
        "KAFKA_DELIVERY_TIMEOUT: ",
    ] {
        assert!(errors.contains(name), "{name} in {errors}");
    }
    assert!(
        !errors.contains("hunter2") && !errors.contains("KAFKA_…"),
        "{errors}"
    );
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
        ("KAFKA_TOPIC", "a b"),
        ("HTTP_ADDR", "nowhere"),
    ])
    .unwrap_err();
    for name in [
        "KAFKA_SSL_CA_LOCATION: is refused",
        "KAFKA_TOPIC: ",
        "HTTP_ADDR: ",
    ] {
        assert!(errors.contains(name), "{name} in {errors}");
    }
}
