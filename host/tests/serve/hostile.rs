//! Requests that two servers in a row might read differently, and garbage between good requests: each
//! is refused and the connection closed, or read in one certain way; never is a part of one request
//! taken for another.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use host::serve::{Limits, Received, Server};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::client::within;
use crate::shapes::{self, get, post};

/// Notes each request as `METHOD path body`; `/unread` answers without reading, and a body that
/// breaks off is noted as `(broken)`.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl tower_service::Service<Request<Received>> for Notes {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Received>) -> Self::Future {
        let notes = self.clone();
        Box::pin(async move {
            let line = format!("{} {}", request.method(), request.uri().path());
            let body = match request.uri().path() {
                "/unread" => "(unread)".to_owned(),
                _ => match request.into_body().collect().await {
                    Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
                    Err(_) => "(broken)".to_owned(),
                },
            };
            notes
                .0
                .lock()
                .expect("nobody panicked")
                .push(format!("{line} {body}"));
            Ok(Response::new(Full::new(Bytes::from_static(b"xxxxx"))))
        })
    }
}

/// What follows every shape on its connection.
const LAST: &str = "GET /last HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";

/// Sends the shape and a good request behind it, and tells what the server answered until it closed,
/// and which requests it saw.
async fn sent(shape: &[u8]) -> (String, Vec<String>) {
    let notes = Notes::default();
    let server = Server::bind(
        "test",
        "127.0.0.1:0".parse().expect("an address"),
        "TEST_ADDR",
        Limits::default(),
    )
    .expect("a free port");
    let (addr, stop) = (server.local_addr(), CancellationToken::new());
    let task = tokio::spawn(server.run(notes.clone(), stop.clone(), Duration::from_secs(5)));
    let mut client = TcpStream::connect(addr).await.expect("it listens");
    let mut text = Vec::new();
    // It may close before it has everything.
    let all = [shape, LAST.as_bytes()].concat();
    let (mut reader, mut writer) = client.split();
    let (written, read) =
        within(async { tokio::join!(writer.write_all(&all), reader.read_to_end(&mut text)) }).await;
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(
        (written.is_ok() && read.is_ok()) || !text.contains(" 200 "),
        "{written:?} {read:?} {text}"
    );
    // Or the server would wait for what else may come.
    drop(client);
    stop.cancel();
    within(task).await.expect("it ends");
    let seen = notes.0.lock().expect("nobody panicked").clone();
    (text, seen)
}

#[tokio::test]
async fn what_has_no_certain_meaning_is_refused_and_the_connection_closed() {
    for shape in shapes::refused() {
        let (text, seen) = sent(&shape).await;
        let shown = String::from_utf8_lossy(&shape);
        assert!(seen.is_empty(), "{shown:?} was seen as {seen:?}");
        assert!(
            text.is_empty()
                || (text.starts_with("HTTP/1.1 400 ") && text.matches("HTTP/1.1").count() == 1),
            "{shown:?}: {text}"
        );
    }
}

#[tokio::test]
async fn what_the_parser_answers_by_itself_is_counted() {
    let (recorder, metrics) = host::metrics::Metrics::detached().expect("a recorder");
    let _recording = metrics::set_default_local_recorder(&recorder);
    let long = format!("x: {}", "a".repeat(40_000));
    for (shape, status) in [(get("no colon"), "400"), (get(&long), "431")] {
        let line = format!("http_heads_refused_total{{server=\"test\",status=\"{status}\"}}");
        let (text, _) = sent(&shape).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        let told = metrics.render();
        assert!(told.contains(&format!("{line} 1")), "{told}");
    }
}

#[tokio::test]
async fn what_is_odd_but_certain_is_read_in_one_way() {
    let last = "GET /last ".to_owned();
    let inner = "GET /smuggled HTTP/1.1\r\nhost: t\r\n\r\n";
    let length = |path: &str| {
        let length = inner.len();
        format!("{path} HTTP/1.1\r\nhost: t\r\ncontent-length: {length}\r\n\r\n{inner}")
            .into_bytes()
    };
    let shapes: Vec<(Vec<u8>, String)> = vec![
        // The encoding counts, as the standard has it.
        (
            post(
                "content-length: 4\r\ntransfer-encoding: chunked",
                "0\r\n\r\n",
            ),
            "POST /a ".into(),
        ),
        (
            post(
                "transfer-encoding: chunked\r\ncontent-length: 999",
                "1\r\nx\r\n0\r\n\r\n",
            ),
            "POST /a x".into(),
        ),
        (
            post("content-length: 4\r\ncontent-length: 4", "body"),
            "POST /a body".into(),
        ),
        (
            post(
                "transfer-encoding: chunked",
                "5;a=b;c=\"d\"\r\nhello\r\n0;e\r\nx: y\r\n\r\n",
            ),
            "POST /a hello".into(),
        ),
        (
            post("Transfer-Encoding: CHUNKED", "00005\r\nhello\r\n0\r\n\r\n"),
            "POST /a hello".into(),
        ),
        (b"GET /a HTTP/1.1\nhost: t\n\n".to_vec(), "GET /a ".into()),
        (
            b"\r\n\r\nGET /a HTTP/1.1\r\nhost: t\r\n\r\n".to_vec(),
            "GET /a ".into(),
        ),
        (length("GET /a"), format!("GET /a {inner}")),
        (length("POST /a"), format!("POST /a {inner}")),
        // Not read by the service, and still not taken for a request.
        (length("POST /unread"), "POST /unread (unread)".into()),
    ];
    for (shape, first) in shapes {
        let (text, seen) = sent(&shape).await;
        let shown = String::from_utf8_lossy(&shape);
        // A length beside an encoding, or a body that nobody read, may also end the connection.
        assert!(
            seen == [first.clone(), last.clone()] || seen == [first],
            "{shown:?} was seen as {seen:?}"
        );
        let answers = text.matches("HTTP/1.1 200 OK").count();
        assert_eq!(answers, seen.len(), "{shown:?}: {text}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_its_own_rules_ends_the_connection() {
    for body in [
        "5;a\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
    ] {
        let (text, seen) = sent(&post("transfer-encoding: chunked", body)).await;
        assert!(
            seen.iter().all(|seen| seen == "POST /a (broken)"),
            "{body:?} was seen as {seen:?}"
        );
        assert!(text.matches("HTTP/1.1").count() <= 1, "{body:?}: {text}");
    }
}

#[tokio::test]
async fn garbage_behind_a_good_request_costs_only_what_follows() {
    let good = "GET /a HTTP/1.1\r\nhost: t\r\n\r\n";
    for garbage in [
        "\0\0\0\0\r\n\r\n",
        "!!\r\n\r\n",
        "GET\r\n\r\n",
        "{\"username\": 1}\r\n\r\n",
    ] {
        let (text, seen) = sent(format!("{good}{garbage}").as_bytes()).await;
        assert_eq!(seen, ["GET /a "], "{garbage:?}: {text}");
        assert!(text.starts_with("HTTP/1.1 200 "), "{garbage:?}: {text}");
        assert!(!text.contains("/last"), "{text}");
    }
}

#[tokio::test]
async fn too_many_and_too_large_headers_are_refused() {
    let many: String = (0..101).map(|n| format!("x-{n}: y\r\n")).collect();
    let large = format!("x: {}", "y".repeat(50_000));
    for headers in [many.trim_end(), &large] {
        let (text, seen) = sent(&get(headers)).await;
        assert!(seen.is_empty(), "{seen:?}");
        assert!(
            text.is_empty() || text.starts_with("HTTP/1.1 431 "),
            "{text}"
        );
    }
}

#[tokio::test]
async fn no_answer_tells_what_serves_it() {
    for shape in [get("x: y"), get("no colon")] {
        let (text, _) = sent(&shape).await;
        let banner = text.to_lowercase().lines().any(|line| {
            ["server:", "x-powered-by:", "via:"]
                .iter()
                .any(|name| line.starts_with(name))
        });
        assert!(!banner, "{text}");
    }
}

#[tokio::test]
async fn what_no_route_is_asked_for_gets_an_answer_of_the_servers_own() {
    let (recorder, metrics) = host::metrics::Metrics::detached().expect("a recorder");
    let _recording = metrics::set_default_local_recorder(&recorder);
    for (shape, status) in shapes::unrouted() {
        let (text, seen) = sent(&shape).await;
        let shown = String::from_utf8_lossy(&shape);
        let last: &[String] = if status == 204 {
            &["GET /last ".to_owned()]
        } else {
            &[]
        };
        assert_eq!(seen, last, "{shown:?}: {text}");
        shapes::is_the_servers_own(&text, status).unwrap_or_else(|why| panic!("{shown:?}: {why}"));
    }
    let told = metrics.render();
    let count = |status| {
        shapes::unrouted()
            .iter()
            .filter(|shape| shape.1 == status)
            .count()
    };
    for status in [204, 400] {
        let line = format!(
            "http_requests_unrouted_total{{server=\"test\",status=\"{status}\"}} {}",
            count(status)
        );
        assert!(told.contains(&line), "{line} in {told}");
    }
}

#[tokio::test]
async fn hosts_that_are_none_of_our_business_are_let_through() {
    for shape in [
        &b"GET /a HTTP/1.0\r\n\r\n"[..],
        b"GET /a HTTP/1.1\r\nhost:\r\n\r\n",
        b"GET /a HTTP/1.1\r\nhost: [::1]:80\r\n\r\n",
        b"GET http://a/a HTTP/1.1\r\nhost: b\r\n\r\n",
        b"CONNECT /a HTTP/1.1\r\nhost: b\r\n\r\n",
    ] {
        let (text, seen) = sent(shape).await;
        let shown = String::from_utf8_lossy(shape);
        assert!(text.starts_with("HTTP/1."), "{shown:?}: {text}");
        assert!(seen[0].contains(" /a "), "{shown:?}: {seen:?}");
    }
}
