//! Panics in a process whose hook is ours: each is told once, by who knows most of it.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::panic::catch_unwind;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use host::serve::{Limits, Received, Server};
use host::telemetry;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// Lines of the log, as they are written.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn panics(&self) -> Vec<Value> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = lines.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty());
        let mut events: Vec<Value> = lines
            .map(|line| serde_json::from_slice(line).expect("a line is JSON"))
            .collect();
        events.retain(|event| event["target"] == "panic");
        events
    }
}

/// Does the work while panics are logged, and says what is in the log then. The hook is the process's: one
/// at a time has it, and asserts nothing meanwhile, as nobody would see it.
fn told<T>(work: impl FnOnce() -> T) -> (T, Vec<Value>) {
    static HOOK: Mutex<()> = Mutex::new(());
    let one = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let log = Log::default();
    let lines = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(move || lines.clone())
        .finish();
    let done = tracing::subscriber::with_default(subscriber, || {
        telemetry::log_panics();
        work()
    });
    drop(std::panic::take_hook());
    drop(one);
    (done, log.panics())
}

/// `/call` panics before there is a future, `/poll` in it; `/caught` catches its panic itself, `/both` one of two.
#[derive(Clone)]
struct Handler;

impl tower_service::Service<Request<Received>> for Handler {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Received>) -> Self::Future {
        let path = request.uri().path().to_owned();
        assert!(path != "/call", "planned in the call");
        Box::pin(async move {
            if path == "/caught" || path == "/both" {
                drop(catch_unwind(|| panic!("planned and caught")));
            }
            assert!(path != "/poll" && path != "/both", "planned in the future");
            Ok(Response::new(Full::new(Bytes::from_static(b"well"))))
        })
    }
}

/// Asks for it under this id, on one thread.
fn asked(path: &str, id: &str) -> io::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let addr = "127.0.0.1:0".parse().map_err(io::Error::other)?;
        let server = Server::bind("test", addr, "TEST_ADDR", Limits::DEFAULT);
        let server = server.map_err(io::Error::other)?;
        let (addr, stop) = (server.local_addr(), CancellationToken::new());
        tokio::spawn(server.run(Handler, stop, Duration::ZERO));
        let mut client = TcpStream::connect(addr).await?;
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: t\r\nx-request-id: {id}\r\nconnection: close\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await?;
        let mut text = String::new();
        let read = client.read_to_string(&mut text);
        tokio::time::timeout(Duration::from_secs(10), read).await??;
        Ok(text)
    })
}

fn is_here(event: &Value) -> bool {
    let place = event["place"].as_str().unwrap_or_default();
    place.contains("tests/panics.rs:")
}

#[test]
fn a_handlers_panic_is_told_once_with_its_request_and_its_place() {
    for (path, words) in [
        ("/call", "planned in the call"),
        ("/poll", "planned in the future"),
    ] {
        let (answer, events) = told(|| asked(path, "panic-1"));
        let answer = answer.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 500 "), "{path}: {answer}");
        let [event] = &events[..] else {
            panic!("{path}: {events:?}");
        };
        assert_eq!(event["request_id"], "panic-1", "{event}");
        assert_eq!(event["server"], "test", "{event}");
        assert_eq!(event["panic"], words, "{event}");
        assert!(is_here(event), "{event}");
    }
}

#[test]
fn a_panic_that_the_handler_itself_catches_is_told_once_too() {
    let (answer, events) = told(|| asked("/caught", "panic-2"));
    let answer = answer.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let [event] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(event["panic"], "planned and caught", "{event}");
    assert!(is_here(event) && event["request_id"].is_null(), "{event}");

    let (answer, events) = told(|| asked("/both", "panic-3"));
    let answer = answer.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    let [caught, event] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(caught["panic"], "planned and caught", "{caught}");
    assert!(caught["request_id"].is_null(), "{caught}");
    assert_eq!(event["request_id"], "panic-3", "{event}");
    assert!(is_here(caught) && is_here(event), "{events:?}");
}

#[test]
fn a_panic_of_nobodys_request_is_told_by_the_hook() {
    let (caught, events) = told(|| catch_unwind(|| panic!("planned {}", "elsewhere")));
    assert!(caught.is_err());
    let [event] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(event["panic"], "planned elsewhere", "{event}");
    assert!(is_here(event), "{event}");
}
