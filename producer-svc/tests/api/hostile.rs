//! Heads that mean ill, at the real routes: each is refused or answered, and none costs a handler.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::shapes;
use super::shop::{PATIENCE, Shop};

const LAST: &[u8] = b"GET /items HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";

/// All that comes back for these bytes and a good request behind them.
async fn sent(shop: &Shop, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(shop.addr).await.unwrap();
    let mut answer = Vec::new();
    let (mut reader, mut writer) = stream.split();
    let all = [bytes, LAST].concat();
    let both = async { tokio::join!(writer.write_all(&all), reader.read_to_end(&mut answer)) };
    // It may close before it has everything, and that may reset the connection.
    drop(
        tokio::time::timeout(PATIENCE, both)
            .await
            .expect("the server closes"),
    );
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn hostile_heads_are_refused_and_cost_no_handler() {
    let shop = Shop::open(&[]).await;
    for shape in shapes::refused() {
        let answer = sent(&shop, &shape).await;
        let shown = String::from_utf8_lossy(&shape);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
            "{shown:?}: {answer}"
        );
    }
    for (shape, status) in shapes::unrouted() {
        let answer = sent(&shop, &shape).await;
        let shown = String::from_utf8_lossy(&shape);
        shapes::is_the_servers_own(&answer, status)
            .unwrap_or_else(|why| panic!("{shown:?}: {why}"));
    }
    for target in [
        "http://a",
        "http://a?x=1",
        "a://b/items",
        "/?",
        "/%",
        "//",
        "/items#x",
        "/\u{fc}",
        "?x",
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
        let answer = sent(&shop, head.as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 ") && !answer.contains("HTTP/1.1 5"),
            "{target}: {answer}"
        );
    }
    let metrics = shop.get_admin("/metrics").await.body;
    let metrics = String::from_utf8_lossy(&metrics);
    assert!(
        metrics.contains(r#"http_handlers_panicked_total{server="customers"} 0"#),
        "{metrics}"
    );
    shop.close().await.unwrap();
}
