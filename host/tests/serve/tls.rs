//! TLS on a port: what a client sees, what a hostile one may take, and files that change.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use host::env::Reader;
use host::metrics::Metrics;
use host::serve::{Limits, Server, Tls, tls};
use host::signal::Hangup;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::client::{Routes, Running, closed, get, within};

/// A certificate that signed itself, and its key.
struct Files {
    dir: TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self {
            dir: tempfile::tempdir().expect("it can be had"),
        };
        files.renew();
        files
    }

    fn renew(&self) {
        let key = KeyPair::generate().expect("it can be had");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names)
            .expect("it can be had")
            .self_signed(&key);
        std::fs::write(
            self.certificate(),
            certificate.expect("it can be had").pem(),
        )
        .expect("it can be had");
        std::fs::write(self.key(), key.serialize_pem()).expect("it can be had");
    }

    fn certificate(&self) -> PathBuf {
        self.dir.path().join("server.pem")
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("server.key")
    }

    fn open(&self) -> Tls {
        Tls::open(self.certificate(), self.key()).expect("it can be had")
    }

    /// A client that trusts the present certificate.
    fn connector(&self, protocols: &[&str]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(self.certificate()).expect("it can be had");
        roots.add(certificate).expect("it can be had");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("it can be had")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols
            .iter()
            .map(|one| one.as_bytes().to_vec())
            .collect();
        TlsConnector::from(Arc::new(config))
    }
}

fn serve(tls: &Tls, limits: Limits) -> Running {
    let any = "127.0.0.1:0".parse().expect("it can be had");
    let server = Server::bind("test", any, "TEST_ADDR", limits).expect("it can be had");
    let server = server.tls(Some(tls.clone()));
    let (addr, stop) = (server.local_addr(), CancellationToken::new());
    let routes = Routes::default();
    Running {
        begun: routes.0.subscribe(),
        addr,
        stop: stop.clone(),
        task: tokio::spawn(server.run(routes, stop, Duration::from_secs(5))),
    }
}

async fn connect(server: &Running, by: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.addr)
        .await
        .expect("it can be had");
    by.connect(
        ServerName::try_from("localhost").expect("it can be had"),
        stream,
    )
    .await
}

async fn asked(stream: &mut TlsStream<TcpStream>, path: &str) -> String {
    stream.write_all(&get(path)).await.expect("it can be had");
    let mut text = Vec::new();
    while !text.ends_with(b"xxxxx") {
        text.push(stream.read_u8().await.expect("it can be had"));
    }
    String::from_utf8(text).expect("it can be had")
}

#[tokio::test]
async fn requests_are_answered_over_http_1_1_and_the_close_is_announced() {
    let files = Files::new();
    let mut server = serve(&files.open(), Limits::default());
    let by = files.connector(&["h2", "http/1.1"]);
    let mut client = within(connect(&server, &by)).await.unwrap();
    assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    for _ in 0..10 {
        assert!(
            within(asked(&mut client, "/"))
                .await
                .starts_with("HTTP/1.1 200 OK\r\n")
        );
    }
    client.write_all(&get("/slow/500")).await.unwrap();
    server.has_begun(11).await;
    server.stop.cancel();
    let mut rest = String::new();
    // Without its announcement the end of the stream would be an error here.
    within(client.read_to_string(&mut rest)).await.unwrap();
    assert!(
        rest.contains("connection: close\r\n") && rest.ends_with("xxxxx"),
        "{rest}"
    );
    let report = within(server.task).await.unwrap();
    assert_eq!((report.accepted, report.busy, report.cut), (1, 1, 0));
}

#[tokio::test]
async fn other_protocols_are_turned_away_and_harm_nobody() {
    let files = Files::new();
    let server = serve(&files.open(), Limits::default());
    let mut good = connect(&server, &files.connector(&[])).await.unwrap();
    assert!(connect(&server, &files.connector(&["h2"])).await.is_err());
    let mut plain = TcpStream::connect(server.addr).await.unwrap();
    plain.write_all(&get("/")).await.unwrap();
    let mut text = Vec::new();
    let end = within(plain.read_to_end(&mut text)).await;
    assert!(!text.starts_with(b"HTTP"), "{text:?} {end:?}");
    let stranger = Files::new().connector(&[]);
    assert!(connect(&server, &stranger).await.is_err());
    within(asked(&mut good, "/")).await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_come_is_cut_like_a_head() {
    let (recorder, metrics) = Metrics::detached().unwrap();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let files = Files::new();
    let server = serve(&files.open(), Limits::default());
    let mut silent = TcpStream::connect(server.addr).await.unwrap();
    let begun = Instant::now();
    closed(&mut silent).await;
    assert!(
        (10..=15).contains(&begun.elapsed().as_secs()),
        "{:?}",
        begun.elapsed()
    );
    let text = metrics.render();
    assert!(text.contains("reason=\"header_timeout\"} 1"), "{text}");
    // And none holds up a shutdown.
    let silent = TcpStream::connect(server.addr).await.unwrap();
    server.stop.cancel();
    let report = server.task.await.unwrap();
    assert_eq!((report.accepted, report.cut), (2, 0));
    drop(silent);
}

#[tokio::test]
async fn a_handshake_counts_as_a_connection_and_makes_room() {
    let files = Files::new();
    let limits = Limits {
        connections: 1,
        spared: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = serve(&files.open(), limits);
    let mut silent = TcpStream::connect(server.addr).await.unwrap();
    let mut client = within(connect(&server, &files.connector(&[])))
        .await
        .unwrap();
    within(closed(&mut silent)).await;
    within(asked(&mut client, "/")).await;
}

#[tokio::test]
async fn files_that_are_read_again_count_for_new_connections() {
    let files = Files::new();
    let tls = files.open();
    let server = serve(&tls, Limits::default());
    let old = files.connector(&[]);
    let mut before = connect(&server, &old).await.unwrap();
    files.renew();
    let new = files.connector(&[]);
    assert!(connect(&server, &new).await.is_err(), "not read again yet");
    let hangup = Hangup::default();
    let _renewal = tls.renew_on(hangup.clone());
    hangup.tell();
    let mut after = within(async {
        loop {
            // Read off this thread, so an attempt may be too early.
            if let Ok(stream) = connect(&server, &new).await {
                break stream;
            }
        }
    })
    .await;
    assert!(connect(&server, &old).await.is_err());
    within(asked(&mut before, "/")).await;
    within(asked(&mut after, "/")).await;

    std::fs::write(files.key(), "nothing").unwrap();
    let error = tls.reload().unwrap_err();
    let variables: Vec<_> = error.0.iter().map(|error| error.variable).collect();
    assert_eq!(variables, ["HTTP_TLS_KEY"]);
    within(connect(&server, &new)).await.unwrap();
}

fn configured(certificate: &Path, key: &Path) -> Result<Option<Tls>, String> {
    let text = |path: &Path| path.display().to_string();
    let env = HashMap::from([
        ("HTTP_TLS_CERTIFICATE".to_owned(), text(certificate)),
        ("HTTP_TLS_KEY".to_owned(), text(key)),
    ]);
    let mut reader = Reader::new(&[tls::VARS], &env);
    let tls = Tls::read(&mut reader);
    reader.finish(|| tls).map_err(|errors| errors.to_string())
}

#[test]
fn what_is_wrong_with_the_files_is_said_by_name() {
    let (files, other) = (Files::new(), Files::new());
    let (certificate, key, none) = (files.certificate(), files.key(), PathBuf::new());
    assert!(configured(&certificate, &key).unwrap().is_some());
    assert!(configured(&none, &none).unwrap().is_none());
    let nowhere = files.dir.path().join("nowhere.pem");
    for (certificate, key, words) in [
        (&certificate, &none, ["HTTP_TLS_KEY: ", "is required"]),
        (&none, &key, ["HTTP_TLS_CERTIFICATE: ", "is required"]),
        (&nowhere, &key, ["HTTP_TLS_CERTIFICATE: ", "cannot be read"]),
        (&certificate, &nowhere, ["HTTP_TLS_KEY: ", "cannot be read"]),
        (
            &key,
            &key,
            ["HTTP_TLS_CERTIFICATE: ", "does not hold a certificate"],
        ),
        (
            &certificate,
            &certificate,
            ["HTTP_TLS_KEY: ", "does not hold a private key"],
        ),
        (
            &certificate,
            &other.key(),
            ["HTTP_TLS_KEY: ", "does not go with"],
        ),
        // Each is looked at whatever is wrong with the other.
        (
            &nowhere,
            &nowhere,
            ["HTTP_TLS_CERTIFICATE: ", "HTTP_TLS_KEY: "],
        ),
        (&nowhere, &none, ["cannot be read", "is required"]),
        (&none, &nowhere, ["is required", "cannot be read"]),
    ] {
        let error = configured(certificate, key).unwrap_err();
        assert!(
            words.iter().all(|word| error.contains(word)),
            "{words:?}: {error}"
        );
    }
    let shown = format!("{:?}", files.open());
    assert!(
        shown.contains("server.pem") && !shown.contains("PRIVATE"),
        "{shown}"
    );
}
