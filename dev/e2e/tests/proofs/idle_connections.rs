//! More connections than may be open, and none of them says a word any more: memory stays bounded,
//! new customers get in, and a shutdown is not held up.

use std::net::SocketAddr;
use std::time::Duration;

use e2e::ground::Ground;
use e2e::http;
use e2e::memory::{MIB, resident};
use e2e::open_files;
use e2e::shop::Shop;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Connections that come.
const CROWD: usize = 10_000;
/// Connections that producer-svc keeps by default.
const KEPT: f64 = 4_096.0;
/// What a service may take in under any load.
const LIMIT: u64 = 100 * MIB;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_take_little_and_make_room() {
    open_files::allow_many();
    let shop = Shop::on(Ground::shared().await).await;
    let producer = shop.producer().ready().await;

    let many = (0..50).map(|_| regulars(producer.http(), CROWD / 50));
    let crowd: Vec<Vec<TcpStream>> = join_all(many).await;
    assert_eq!(crowd.iter().map(Vec::len).sum::<usize>(), CROWD);
    let open = "server=\"customers\"";
    let standing = producer.metric("http_connections_open", &[open]).await;
    assert!(
        (KEPT * 0.9..=KEPT).contains(&standing),
        "{standing} are open"
    );
    let taken = resident(producer.pid());
    assert!(taken <= LIMIT, "{} MiB for idle connections", taken / MIB);

    for customer in 0..50 {
        let order = serde_json::json!({"username": "new", "user_id": format!("new-{customer}")});
        let answer = http::post(producer.http(), "/buy", &order).await;
        let answer = answer.expect("a new customer gets in");
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.header("server"), "", "no banner");
    }
    let reason = "reason=\"made_room\"";
    let gone = producer
        .metric("http_connections_closed_total", &[open, reason])
        .await;
    assert!(gone >= CROWD as f64 - KEPT, "{gone} made room");
    let taken = resident(producer.pid());
    assert!(taken <= LIMIT, "{} MiB after all that", taken / MIB);
    producer.drains(Duration::from_secs(20)).await;
}

/// Connections that asked once and then stay.
async fn regulars(addr: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(addr).await.expect("it listens");
        let asked = stream
            .write_all(b"GET /health HTTP/1.1\r\nhost: t\r\n\r\n")
            .await;
        asked.expect("it reads");
        let mut answer = [0; 2048];
        let read = stream.read(&mut answer).await.expect("it answers");
        assert!(answer[..read].starts_with(b"HTTP/1.1 "), "{read}");
        connections.push(stream);
    }
    connections
}
