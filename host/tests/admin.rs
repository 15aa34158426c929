//! The admin port as an operator and Prometheus see it.

#![expect(clippy::disallowed_macros, reason = "any metric will do here")]

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use host::admin::{Admin, LIMITS};
use host::levels::Levels;
use host::metrics::Metrics;
use host::readiness::Readiness;
use host::serve::Server;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

fn server() -> Server {
    Server::bind(
        "admin",
        "127.0.0.1:0".parse().expect("an address"),
        "ADMIN_ADDR",
        LIMITS,
    )
    .expect("a free port")
}

async fn ask(addr: std::net::SocketAddr, method: &str, path: &str) -> (u16, String, String) {
    tell(addr, method, path, "").await
}

async fn tell(
    addr: std::net::SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, String, String) {
    let mut stream = tokio::net::TcpStream::connect(addr)
        .await
        .expect("the port is open");
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream
        .write_all(request.as_bytes())
        .await
        .expect("the server reads");
    let mut text = String::new();
    stream
        .read_to_string(&mut text)
        .await
        .expect("a whole answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    (
        head[9..12].parse().expect("a status"),
        head.to_lowercase(),
        body.to_owned(),
    )
}

/// The problem has the id that the header has.
#[track_caller]
fn assert_names_itself(head: &str, body: &str) {
    let id = head
        .lines()
        .find_map(|line| line.strip_prefix("x-request-id: "));
    let problem: serde_json::Value = serde_json::from_str(body).expect("a problem");
    assert!(id.is_some_and(|id| id.len() == 32), "{head}");
    assert_eq!(problem["request_id"].as_str(), id);
}

#[tokio::test]
async fn probes_follow_the_latches_and_the_shutdown() {
    let shutdown = CancellationToken::new();
    let readiness = Readiness::new(shutdown.clone());
    let (broker, database) = (readiness.latch("broker"), readiness.latch("database"));
    let (_recorder, metrics) = Metrics::detached().unwrap();
    let server = server();
    let addr = server.local_addr();
    let _admin = Admin::new(
        readiness.clone(),
        metrics,
        Levels::detached(),
        || serde_json::json!({"id": "root"}),
    )
    .spawn(server);

    let (status, _, body) = ask(addr, "GET", "/readyz").await;
    assert_eq!(
        (status, body.as_str()),
        (503, "not ready: broker, database\n")
    );
    broker.meet();
    broker.waits("of no interest any more");
    assert_eq!(ask(addr, "GET", "/readyz").await.2, "not ready: database\n");
    database.waits("no answer");
    assert_eq!(
        ask(addr, "GET", "/readyz").await.2,
        "not ready: database (no answer)\n"
    );
    database.meet();
    assert_eq!(ask(addr, "GET", "/readyz").await.0, 200);
    assert!(readiness.ready() && broker.is_met());
    database.reopen();
    assert_eq!(ask(addr, "GET", "/readyz").await.0, 503);
    assert_eq!(
        ask(addr, "GET", "/livez").await.0,
        200,
        "liveness never looks at a dependency"
    );
    database.meet();
    shutdown.cancel();
    let (status, _, body) = ask(addr, "GET", "/readyz").await;
    assert_eq!((status, body.as_str()), (503, "not ready: shutting down\n"));
    assert_eq!(
        ask(addr, "GET", "/livez").await.0,
        200,
        "the port stays open while the service drains"
    );
    let (status, head, body) = ask(addr, "GET", "/actors").await;
    assert_eq!((status, body.as_str()), (200, "{\"id\":\"root\"}"));
    assert!(head.contains("content-type: application/json"), "{head}");
}

#[tokio::test]
async fn only_get_and_head_of_known_paths_are_answered() {
    let (_recorder, metrics) = Metrics::detached().unwrap();
    let server = server();
    let addr = server.local_addr();
    let admin = Admin::new(
        Readiness::new(CancellationToken::new()),
        metrics,
        Levels::detached(),
        || serde_json::Value::Null,
    )
    .spawn(server);
    for path in ["/", "/metrics/", "/livez2", "/metricsx"] {
        let (status, head, body) = ask(addr, "GET", path).await;
        assert_eq!(status, 404, "{path}");
        assert!(
            head.contains("application/problem+json") && body.contains("/problems/not-found"),
            "{head} {body}"
        );
        assert_names_itself(&head, &body);
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let (status, head, body) = ask(addr, method, "/metrics").await;
        assert_eq!(status, 405, "{method}");
        assert!(head.contains("allow: get, head"), "{head}");
        assert_names_itself(&head, &body);
    }
    let (status, head, body) = ask(addr, "HEAD", "/readyz").await;
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("content-length: 6"), "{head}");
    assert_eq!(ask(addr, "GET", "/readyz?verbose").await.0, 200);
    drop(admin);
    let gone = async { while tokio::net::TcpStream::connect(addr).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("a dropped handle closes the port");
}

#[tokio::test]
async fn the_log_filter_is_shown_changed_and_kept_when_the_new_one_is_wrong() {
    let (_recorder, metrics) = Metrics::detached().unwrap();
    let (server, levels) = (server(), Levels::detached());
    let addr = server.local_addr();
    let readiness = Readiness::new(CancellationToken::new());
    let _admin = Admin::new(readiness, metrics, levels.clone(), || {
        serde_json::Value::Null
    })
    .spawn(server);
    let (status, head, body) = ask(addr, "GET", "/log-level").await;
    assert_eq!((status, body.as_str()), (200, "{\"filter\":\"info\"}\n"));
    assert!(head.contains("content-type: application/json"), "{head}");

    let (status, _, body) = tell(addr, "PUT", "/log-level", "warn,actors=debug\n").await;
    assert_eq!(status, 200, "{body}");
    let shown: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(shown["filter"], levels.current());
    assert!(levels.current().contains("actors=debug"), "{levels:?}");
    assert!(shown.get("returns_to").is_none(), "{body}");

    let long = "a".repeat(5000);
    for (path, text, status, wants) in [
        ("/log-level", "debgu", 422, "\\\"debgu\\\""),
        ("/log-level", "actors=loud", 422, "loud"),
        ("/log-level", " \n", 422, "empty"),
        ("/log-level?for=10", "debug", 422, "/for"),
        ("/log-level?for=25h", "debug", 422, "/for"),
        ("/log-level?fro=10m", "debug", 422, "/fro"),
        ("/log-level", &long, 413, "4096"),
    ] {
        let answer = tell(addr, "PUT", path, text).await;
        assert_eq!(answer.0, status, "{path} {text}: {answer:?}");
        assert!(answer.1.contains("application/problem+json"), "{answer:?}");
        assert!(answer.2.contains(wants), "{path} {text}: {answer:?}");
        assert_names_itself(&answer.1, &answer.2);
        assert!(levels.current().contains("actors=debug"), "{levels:?}");
    }
    let (status, head, _) = tell(addr, "POST", "/log-level", "debug").await;
    assert_eq!(status, 405);
    assert!(head.contains("allow: get, head, put"), "{head}");

    let (_, _, body) = tell(addr, "PUT", "/log-level?for=10m", "trace").await;
    let shown: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(shown["filter"], "trace");
    assert!(shown["returns_to"].as_str().unwrap().contains("actors"));
    assert!((590..=600).contains(&shown["returns_in_seconds"].as_u64().unwrap()));
}

#[tokio::test]
async fn readiness_can_be_waited_for() {
    let readiness = Readiness::new(CancellationToken::new());
    let latch = readiness.latch("broker");
    let waiting = tokio::spawn({
        let readiness = readiness.clone();
        async move { readiness.all_met().await }
    });
    assert!(!readiness.ready());
    latch.meet();
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .expect("in time")
        .expect("no panic");
    assert!(readiness.ready());
}

/// This test has the only process-wide recorder of this file.
#[tokio::test]
async fn prometheus_accepts_what_is_shown() {
    let metrics = Metrics::install().expect("the first recorder");
    assert!(Metrics::install().is_err(), "a second recorder is refused");
    describe_counter!("test_events_total", "Events.");
    describe_gauge!("test_depth", "Depth.");
    describe_histogram!("test_write_seconds", "Duration of a write.");
    describe_histogram!("test_batch_bytes", "Size of a batch.");
    describe_histogram!("test_batch_records", "Records in a batch.");
    counter!("test_events_total", "kind" => "a \"quoted\" \\ one\nwith a line").increment(3);
    for name in [
        "test_write_seconds",
        "test_batch_bytes",
        "test_batch_records",
    ] {
        histogram!(name).record(0.5);
    }
    let server = server();
    let addr = server.local_addr();
    let _admin = Admin::new(
        Readiness::new(CancellationToken::new()),
        metrics,
        Levels::detached(),
        || serde_json::Value::Null,
    )
    .refresh(|| gauge!("test_depth").set(7.0))
    .spawn(server);
    let (status, head, text) = ask(addr, "GET", "/metrics").await;
    assert_eq!(status, 200);
    assert!(
        head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{head}"
    );
    for name in [
        "test_write_seconds",
        "test_batch_bytes",
        "test_batch_records",
    ] {
        assert!(
            text.contains(&format!("# TYPE {name} histogram")),
            "{name} is no histogram:\n{text}"
        );
        assert!(
            text.contains(&format!("{name}_bucket{{le=\"+Inf\"}} 1")),
            "{text}"
        );
    }
    assert!(
        text.contains("http_connections_open{server=\"admin\"} "),
        "{text}"
    );
    assert!(text.contains("process_resident_memory_bytes "), "{text}");
    assert!(
        text.contains("\ntest_depth 7\n"),
        "measured just now: {text}"
    );
    let help = text
        .lines()
        .filter(|line| line.starts_with("# HELP"))
        .count();
    let types = text
        .lines()
        .filter(|line| line.starts_with("# TYPE"))
        .count();
    assert_eq!(help, types, "every metric has a help text:\n{text}");

    // The tool's own opinion, where the tool is; the checks above hold without it.
    let tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    match tool {
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
        Ok(mut tool) => {
            tool.stdin
                .take()
                .expect("piped")
                .write_all(text.as_bytes())
                .expect("promtool reads");
            let verdict = tool.wait_with_output().expect("promtool ends");
            assert!(
                verdict.status.success(),
                "{}\n{text}",
                String::from_utf8_lossy(&verdict.stderr)
            );
        }
    }
}
