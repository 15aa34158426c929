//! TLS and users: a purchase goes through by every mechanism; who is not let in says why, once,
//! waits without being ready, shows no secret anywhere, and goes on when it is mended.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use devstack::process::Signal;
use devstack::{Listener, Secured};
use e2e::ground::{Ground, create_database_user};
use e2e::http;
use e2e::service::{Plan, Service};
use e2e::shop::Shop;
use e2e::until_text;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const PATIENCE: Duration = Duration::from_secs(60);
/// In no log, no answer and no message.
pub(super) const SECRET: &str = "never-to-be-seen-4711";

/// A service that reaches the broker by this listener.
pub(super) fn by(shop: &Shop, plan: Plan, listener: Listener) -> Plan {
    let secured = shop.ground.secured();
    let plan = plan
        .env(
            "KAFKA_BOOTSTRAP_SERVERS",
            shop.ground.secured_bootstrap_servers(listener),
        )
        .env("KAFKA_SECURITY_PROTOCOL", listener.protocol());
    match listener {
        Listener::Sasl => plan,
        _ => plan.env("KAFKA_SSL_CA_LOCATION", secured.ca().to_string_lossy()),
    }
}

/// The same with a user.
pub(super) fn user(plan: Plan, mechanism: &str, name: &str, password: &str) -> Plan {
    plan.env("KAFKA_SASL_MECHANISM", mechanism)
        .env("KAFKA_SASL_USERNAME", name)
        .env("KAFKA_SASL_PASSWORD", password)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purchase_goes_through_by_every_mechanism() {
    let ways = [
        (Listener::SaslTls, "PLAIN"),
        (Listener::SaslTls, "SCRAM-SHA-256"),
        (Listener::SaslTls, "SCRAM-SHA-512"),
        (Listener::Sasl, "SCRAM-SHA-512"),
        (Listener::Tls, ""),
        (Listener::MutualTls, ""),
    ];
    for (listener, mechanism) in ways {
        let shop = Shop::on(Ground::secured().await).await;
        let with = |plan: Plan| {
            let plan = by(&shop, plan, listener);
            match listener {
                Listener::Tls => plan,
                Listener::MutualTls => {
                    let (certificate, key) = shop.ground.secured().client();
                    plan.env(
                        "KAFKA_SSL_CERTIFICATE_LOCATION",
                        certificate.to_string_lossy(),
                    )
                    .env("KAFKA_SSL_KEY_LOCATION", key.to_string_lossy())
                }
                _ => user(plan, mechanism, Secured::USER, Secured::PASSWORD),
            }
        };
        // The database's user and authority, in its address and, for others, in variables.
        let in_address = with(shop.consumer());
        let consumer = if mechanism == "PLAIN" {
            with_variables(&shop, in_address, Secured::USER, Secured::PASSWORD)
        } else {
            in_address
        };
        let (producer, consumer) = (with(shop.producer()).start(), consumer.start());
        producer.becomes_ready().await;
        consumer.becomes_ready().await;
        let bought = buy(&producer).await;
        assert_eq!(bought, 201, "{listener:?} {mechanism}");
        stored(&shop, &consumer).await;
    }
}

fn with_variables(shop: &Shop, plan: Plan, name: &str, password: &str) -> Plan {
    let address = shop.ground.database().address();
    plan.env(
        "MONGODB_URI",
        format!("mongodb://{address}/?directConnection=true"),
    )
    .env("MONGODB_USERNAME", name)
    .env("MONGODB_PASSWORD", password)
    .env(
        "MONGODB_TLS_CA_FILE",
        shop.ground.secured().ca().to_string_lossy(),
    )
}

async fn buy(producer: &Service) -> u16 {
    let order = serde_json::json!({"username": "secured", "user_id": "secured"});
    let answer = http::post(producer.http(), "/buy", &order).await;
    answer.expect("an answer").status
}

/// The one purchase is in the history.
async fn stored(shop: &Shop, consumer: &Service) {
    until_text(
        "the purchase is in the history",
        PATIENCE,
        async || match consumer.get("/purchases/secured").await {
            answer if answer.status == 200 => Ok(()),
            answer => Err(answer.text()),
        },
    )
    .await;
    assert_eq!(shop.documents.count().await, 1);
}

/// Waits until `/readyz` gives this reason, and tells the whole of it.
async fn waits_because(service: &Service, words: &[&str]) -> String {
    until_text(
        &format!("not ready because {words:?}"),
        PATIENCE,
        async || {
            assert!(
                service.process().is_running(),
                "it ended:\n{}",
                service.process().log_tail(20)
            );
            match http::get(service.admin_addr(), "/readyz").await {
                Ok(answer)
                    if answer.status == 503
                        && words.iter().all(|word| answer.text().contains(word)) =>
                {
                    Ok(answer.text())
                }
                other => Err(format!("{other:?}")),
            }
        },
    )
    .await
}

/// No answer of the service shows the secret.
async fn shows_no_secret(service: &Service) {
    for path in ["/readyz", "/metrics", "/actors", "/livez"] {
        assert!(!service.admin(path).await.text().contains(SECRET), "{path}");
    }
    for path in ["/", "/health"] {
        assert!(!service.get(path).await.text().contains(SECRET), "{path}");
    }
}

/// Neither do its other commands, which write into the same log.
async fn tells_no_secret(plan: &Plan) {
    for command in ["--help", "check-config"] {
        let code = plan.clone().arg(command).start().exit_code(PATIENCE).await;
        assert_eq!(code, 0, "{command}");
    }
    // A password in a variable of a wrong name is a secret all the same.
    let mistaken = plan
        .clone()
        .env("KAFKA_CLIENT_SASL_PASWORD", SECRET)
        .env("HTTP_ADDR", "127.0.0.1:0")
        .env("ADMIN_ADDR", "127.0.0.1:0");
    assert_eq!(mistaken.start().exit_code(PATIENCE).await, 64);
}

/// Lines of warnings and errors with this word.
pub(super) fn complaints(log: &str, word: &str) -> usize {
    let loud = |line: &&str| line.contains(" WARN ") || line.contains("ERROR ");
    log.lines()
        .filter(loud)
        .filter(|line| line.contains(word))
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_kafka_user_waits_and_is_let_in_once_it_is_known() {
    let shop = Shop::on(Ground::secured().await).await;
    let name = format!("{}-latecomer", shop.name);
    let with = |plan| {
        user(
            by(&shop, plan, Listener::SaslTls),
            "SCRAM-SHA-512",
            &name,
            SECRET,
        )
    };
    let (producer_plan, consumer_plan) = (with(shop.producer()), with(shop.consumer()));
    let (producer, consumer) = (producer_plan.start(), consumer_plan.start());
    for service in [&producer, &consumer] {
        let reason = ["not ready: kafka (", "uthentication", "KAFKA_SASL_PASSWORD"];
        waits_because(service, &reason).await;
    }
    assert_eq!(buy(&producer).await, 503);
    for service in [&producer, &consumer] {
        shows_no_secret(service).await;
    }
    shop.ground
        .secured()
        .create_user("SCRAM-SHA-512", &name, SECRET)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    producer.becomes_ready().await;
    consumer.becomes_ready().await;
    assert_eq!(buy(&producer).await, 201);
    stored(&shop, &consumer).await;
    for (plan, name) in [(&producer_plan, "producer"), (&consumer_plan, "consumer")] {
        tells_no_secret(plan).await;
        let log = shop.log(name);
        assert!(!log.contains(SECRET), "{name} shows its password");
        assert_eq!(complaints(&log, "KAFKA_SASL_PASSWORD"), 1, "{name}:\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_of_a_known_user_is_said_by_every_mechanism() {
    let shop = Shop::on(Ground::secured().await).await;
    let with = |plan, listener, mechanism| {
        let plan = user(by(&shop, plan, listener), mechanism, Secured::USER, SECRET);
        plan.start()
    };
    let not_let_in = [
        with(shop.producer(), Listener::SaslTls, "PLAIN"),
        with(shop.consumer(), Listener::Sasl, "SCRAM-SHA-512"),
        with(shop.second_consumer(), Listener::SaslTls, "SCRAM-SHA-256"),
    ];
    for service in &not_let_in {
        let reason = ["kafka (", "uthentication", "KAFKA_SASL_PASSWORD"];
        waits_because(service, &reason).await;
        shows_no_secret(service).await;
    }
    drop(not_let_in);
    assert!(!shop.log("producer").contains(SECRET));
    let plan = with_variables(&shop, shop.consumer(), Secured::USER, SECRET);
    let consumer = plan.start();
    let reason = ["mongodb (", "uthentication", "MONGODB_PASSWORD"];
    waits_because(&consumer, &reason).await;
    shows_no_secret(&consumer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_speaks_tls_or_none_where_we_do_otherwise_is_laid_to_the_protocol() {
    let shop = Shop::on(Ground::secured().await).await;
    let wrong = |plan: Plan, listener, protocol: &str| {
        let address = shop.ground.secured_bootstrap_servers(listener);
        plan.env("KAFKA_BOOTSTRAP_SERVERS", address)
            .env("KAFKA_SECURITY_PROTOCOL", protocol)
            .start()
    };
    // The other service's own tests show it, in less time.
    let plain = wrong(shop.consumer(), Listener::Tls, "PLAINTEXT");
    let secured = wrong(shop.second_consumer(), Listener::Sasl, "SSL");
    waits_because(&plain, &["kafka (", "KAFKA_SECURITY_PROTOCOL (PLAINTEXT)"]).await;
    waits_because(&secured, &["kafka (", "KAFKA_SECURITY_PROTOCOL (SSL)"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strange_authority_is_named_with_its_file() {
    let shop = Shop::on(Ground::secured().await).await;
    let strange = shop.ground.secured().strange_ca();
    let strange = strange.to_string_lossy();
    let with = |plan| by(&shop, plan, Listener::Tls).env("KAFKA_SSL_CA_LOCATION", &strange);
    let (producer, consumer) = (with(shop.producer()).start(), with(shop.consumer()).start());
    for (service, name) in [(&producer, "producer"), (&consumer, "consumer")] {
        let reason = [
            "certificate verify failed",
            "KAFKA_SSL_CA_LOCATION",
            &strange,
        ];
        waits_because(service, &reason).await;
        let log = shop.log(name);
        assert_eq!(
            complaints(&log, "KAFKA_SSL_CA_LOCATION"),
            1,
            "{name}:\n{log}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_database_user_waits_and_is_let_in_once_it_is_known() {
    let shop = Shop::on(Ground::secured().await).await;
    let name = format!("{}-latecomer", shop.name);
    let plan = with_variables(&shop, shop.consumer(), &name, SECRET);
    let strange = shop.ground.secured().strange_ca();
    let distrustful = shop
        .second_consumer()
        .env("MONGODB_TLS_CA_FILE", strange.to_string_lossy());
    let (consumer, distrustful) = (plan.start(), distrustful.start());
    let reason = ["mongodb (", "uthentication", "MONGODB_PASSWORD"];
    waits_because(&consumer, &reason).await;
    waits_because(
        &distrustful,
        &["mongodb (", "certificate", "MONGODB_TLS_CA_FILE"],
    )
    .await;
    drop(distrustful);
    shows_no_secret(&consumer).await;
    let history = consumer.get("/purchases/anybody").await;
    assert_eq!(history.status, 503, "{}", history.text());

    create_database_user(&shop.ground.database_uri(), &name, SECRET).await;
    consumer.becomes_ready().await;
    let producer = shop.producer().ready().await;
    assert_eq!(buy(&producer).await, 201);
    stored(&shop, &consumer).await;
    tells_no_secret(&plan).await;
    let log = shop.log("consumer");
    assert!(!log.contains(SECRET), "the consumer shows its password");
    let told = log.lines().filter(|line| line.contains("MONGODB_PASSWORD"));
    let told = told.filter(|line| line.contains("not reached yet")).count();
    assert_eq!(told, 1, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_services_speak_tls_and_read_their_certificate_again() {
    let shop = Shop::on(Ground::secured().await).await;
    let dir = shop.ground.dir().join(format!("tls-{}", shop.name));
    std::fs::create_dir(&dir).expect("a new directory");
    let files = Secured::issue(dir.clone()).expect("certificates");
    let (certificate, key) = files.server();
    let with = |plan: Plan| {
        plan.env("HTTP_TLS_CERTIFICATE", certificate.to_string_lossy())
            .env("HTTP_TLS_KEY", key.to_string_lossy())
    };
    let producer = with(shop.producer()).ready().await;
    let consumer = with(shop.consumer()).ready().await;
    for service in [&producer, &consumer] {
        let answer = ask(service.http(), &files.ca())
            .await
            .expect("it is trusted");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(
            http::get(service.http(), "/").await.is_err(),
            "not in the clear"
        );
    }
    let old = dir.join("old-ca.pem");
    std::fs::copy(files.ca(), &old).expect("a copy");
    let files = Secured::issue(dir).expect("other certificates");
    for service in [&producer, &consumer] {
        ask(service.http(), &old).await.expect("not read again yet");
        service.signal(Signal::Hup);
        until_text("the new certificate is in use", PATIENCE, async || {
            ask(service.http(), &files.ca())
                .await
                .map_err(|error| error.to_string())
        })
        .await;
    }
}

/// Asks for the front page over TLS, trusting this authority.
async fn ask(addr: SocketAddr, ca: &Path) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(ca).map_err(std::io::Error::other)?;
    roots.add(ca).map_err(std::io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
    let stream = TcpStream::connect(addr).await?;
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
