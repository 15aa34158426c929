//! As many connections as may be open, and each has sent half of something: of a head, of a body, of a
//! handshake, or nothing more after one. Memory stays bounded, and new customers get in.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use devstack::Secured;
use e2e::ground::Ground;
use e2e::memory::{MIB, resident, unread};
use e2e::open_files;
use e2e::service::Service;
use e2e::shop::Shop;
use e2e::until_text;
use futures_util::future::join_all;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Connections that producer-svc keeps by default.
const CROWD: usize = 4_096;
/// What a service may take in under any load.
const LIMIT: u64 = 100 * MIB;
/// What a service takes without any connection, and what all of them may have sent that is not whole.
const RESTING: u64 = 48 * MIB;
/// What one more connection over TLS may take.
const SECURED: u64 = 20 * 1024;
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection, whatever it speaks.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// What each of the crowd sends, piece by piece, and then keeps silent.
struct Half {
    what: &'static str,
    pieces: Vec<Vec<u8>>,
    spoken: Spoken,
    /// Whether they are so short that all of them may stay.
    stays: bool,
}

/// What the service speaks, and whether the crowd does.
#[derive(Clone, Copy, PartialEq)]
enum Spoken {
    Plain,
    /// The crowd gets no further than the handshake.
    Greeting,
    Tls,
}

impl Half {
    /// One connection, on which as much is sent as is taken.
    async fn send(&self, addr: SocketAddr, tls: &TlsConnector) -> Box<dyn Stream> {
        let mut stream = connect(addr, (self.spoken == Spoken::Tls).then_some(tls)).await;
        for piece in &self.pieces {
            // Whoever took too much learns it here.
            if stream.write_all(piece).await.is_err() {
                break;
            }
        }
        stream
    }
}

async fn connect(addr: SocketAddr, tls: Option<&TlsConnector>) -> Box<dyn Stream> {
    let plain = TcpStream::connect(addr).await.expect("it listens");
    plain.set_nodelay(true).expect("it is open");
    let Some(tls) = tls else {
        return Box::new(plain);
    };
    let name = ServerName::try_from("localhost").expect("a name");
    Box::new(tls.connect(name, plain).await.expect("a handshake"))
}

fn head(rest: &str) -> Vec<u8> {
    let head = "POST /buy HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n";
    format!("{head}{rest}").into_bytes()
}

fn halves() -> [Half; 7] {
    let half = |what, spoken, stays, pieces: &[&[u8]]| Half {
        what,
        pieces: pieces.iter().map(|piece| piece.to_vec()).collect(),
        spoken,
        stays,
    };
    let (start, body) = (head("x-long: "), head("content-length: 16384\r\n\r\n{"));
    let long = [b'a'; 15 * 1024];
    // A greeting of 64 KiB, in records of 16 KiB.
    let greeting = b"\x16\x03\x01\x40\x00\x01\x00\xff\xf0\x03\x03";
    let record = [&[0; 16 * 1024 - 6], &b"\x16\x03\x01\x40\x00"[..]].concat();
    use Spoken::{Greeting, Plain, Tls};
    [
        half("short-heads", Plain, true, &[&start, &long[..3_900]]),
        half("heads", Plain, false, &[&start, &long]),
        half("bodies", Plain, false, &[&body, &long[..100], &long]),
        half("greetings", Greeting, false, &[greeting, &record, &long]),
        half("secured-short-heads", Tls, true, &[&start, &long[..3_000]]),
        half("secured-heads", Tls, false, &[&start, &long]),
        half(
            "secured-silence",
            Tls,
            true,
            &[b"GET /health HTTP/1.1\r\nhost: t\r\n\r\n"],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_half_sent_takes_little_and_keeps_nobody_out() {
    open_files::allow_many();
    let shop = Shop::on(Ground::shared().await).await;
    let dir = shop.ground.dir().join(format!("tls-{}", shop.name));
    std::fs::create_dir(&dir).expect("a new directory");
    let files = Secured::issue(dir).expect("certificates");
    let (certificate, key) = files.server();
    let trusting = trusting(&files.ca());
    for half in halves() {
        let mut plan = shop.another_producer(half.what);
        if half.spoken != Spoken::Plain {
            plan = plan
                .env("HTTP_TLS_CERTIFICATE", certificate.to_string_lossy())
                .env("HTTP_TLS_KEY", key.to_string_lossy());
        }
        is_borne(&plan.ready().await, &half, &trusting).await;
    }
}

/// The crowd comes and stays; what it takes is bounded, and others are sold to meanwhile.
async fn is_borne(producer: &Service, half: &Half, tls: &TlsConnector) {
    let some = (0..64).map(async |_| {
        let mut some = Vec::with_capacity(CROWD / 64);
        for _ in 0..CROWD / 64 {
            some.push(half.send(producer.http(), tls).await);
        }
        some
    });
    let crowd: Vec<_> = join_all(some).await;
    until_text("everything is read", PATIENCE, async || {
        match unread(producer.http()) {
            0 => Ok(()),
            left => Err(format!("{left} bytes are not")),
        }
    })
    .await;
    let customers = "server=\"customers\"";
    let open = producer.metric("http_connections_open", &[customers]).await;
    let labels = [customers, "reason=\"unfinished\""];
    let closed = producer
        .metric("http_connections_closed_total", &labels)
        .await;
    let (what, taken) = (half.what, resident(producer.pid()));
    let secured = half.spoken != Spoken::Plain;
    let limit = match secured {
        false => LIMIT,
        true => RESTING + open as u64 * SECURED,
    };
    assert!(
        taken <= limit,
        "{what}: {} MiB for {open} connections",
        taken / MIB
    );
    assert_eq!(closed == 0.0, half.stays, "{what}: {closed} closed");
    assert!(open >= 256.0, "{what}: {open} open");

    let order = br#"{"username": "new", "user_id": "new"}"#;
    let request = [
        &head(&format!("content-length: {}\r\n\r\n", order.len())),
        &order[..],
    ]
    .concat();
    for _ in 0..20 {
        let mut stream = connect(producer.http(), secured.then_some(tls)).await;
        stream.write_all(&request).await.expect("it reads");
        let mut answer = [0; 12];
        let read = stream.read_exact(&mut answer).await;
        read.expect("a new customer is answered");
        assert_eq!(&answer, b"HTTP/1.1 201", "{what}");
    }
    drop(crowd);
}

fn trusting(ca: &Path) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(ca).expect("a certificate");
    roots.add(ca).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}
