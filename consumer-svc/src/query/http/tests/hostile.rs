//! Heads that mean ill, at the real routes: each is refused or answered, and none costs a handler.

use host::metrics::Metrics;
use host::serve::{Limits, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const LAST: &[u8] = b"GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";

/// All that comes back for these bytes and a good request behind them.
async fn sent(addr: std::net::SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let mut answer = Vec::new();
    let (mut reader, mut writer) = stream.split();
    let all = [bytes, LAST].concat();
    let both = async { tokio::join!(writer.write_all(&all), reader.read_to_end(&mut answer)) };
    // It may close before it has everything, and that may reset the connection.
    let within = tokio::time::timeout(Duration::from_secs(10), both).await;
    drop(within.expect("the server closes"));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn hostile_heads_are_refused_and_cost_no_handler() {
    let (recorder, metrics) = Metrics::detached().unwrap();
    let _recording = ::metrics::set_default_local_recorder(&recorder);
    let addr = "127.0.0.1:0".parse().unwrap();
    let server = Server::bind("query", addr, "HTTP_ADDR", Limits::default()).unwrap();
    let (addr, stop) = (server.local_addr(), CancellationToken::new());
    let routes = warp::service(all_routes(&api(Ok(0))));
    let serving = tokio::spawn(server.run(routes, stop.clone(), Duration::from_secs(5)));
    for shape in shapes::refused() {
        let answer = sent(addr, &shape).await;
        let shown = String::from_utf8_lossy(&shape);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
            "{shown:?}: {answer}"
        );
    }
    for (shape, status) in shapes::unrouted() {
        let answer = sent(addr, &shape).await;
        let shown = String::from_utf8_lossy(&shape);
        shapes::is_the_servers_own(&answer, status)
            .unwrap_or_else(|why| panic!("{shown:?}: {why}"));
    }
    for target in [
        "http://a",
        "http://a?x=1",
        "a://b/health",
        "/?",
        "/%",
        "//",
        "/health#x",
        "/\u{fc}",
        "?x",
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
        let answer = sent(addr, head.as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 ") && !answer.contains("HTTP/1.1 500 "),
            "{target}: {answer}"
        );
    }
    let told = metrics.render();
    assert!(
        told.contains(r#"http_handlers_panicked_total{server="query"} 0"#),
        "{told}"
    );
    stop.cancel();
    serving.await.unwrap();
}
