//! Every fault of the proxy, against an echo server.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{Fault, Proxy, free_port, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);

/// How long "nothing comes" is watched.
const SILENCE: Duration = Duration::from_millis(150);

async fn echo() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    address
}

async fn proxied() -> (Proxy, TcpStream) {
    let proxy = Proxy::start(free_port(), echo().await).unwrap();
    let stream = TcpStream::connect(proxy.address()).await.unwrap();
    (proxy, stream)
}

async fn ping(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"ping").await?;
    let mut back = [0; 4];
    stream.read_exact(&mut back).await?;
    assert_eq!(&back, b"ping");
    Ok(())
}

#[tokio::test]
async fn without_a_fault_bytes_pass_both_ways_and_the_end_passes_too() {
    let (proxy, mut stream) = proxied().await;
    ping(&mut stream).await.unwrap();
    assert_eq!(proxy.connections(), 1);
    stream.shutdown().await.unwrap();
    assert_eq!(
        stream.read(&mut [0; 1]).await.unwrap(),
        0,
        "the echo server's end comes back"
    );
    wait_until(PATIENCE, async || (proxy.connections() == 0).then_some(()))
        .await
        .expect("closed");
}

#[tokio::test]
async fn latency_delays_each_direction_but_not_one_byte_after_the_other() {
    let (proxy, mut stream) = proxied().await;
    let delay = Duration::from_millis(100);
    proxy.set(Fault::Latency(delay));
    let began = Instant::now();
    ping(&mut stream).await.unwrap();
    assert!(began.elapsed() >= 2 * delay, "{:?}", began.elapsed());
    let began = Instant::now();
    for _ in 0..50 {
        stream.write_all(b"x").await.unwrap();
        tokio::task::yield_now().await;
    }
    stream.read_exact(&mut [0; 50]).await.unwrap();
    assert!(
        began.elapsed() < 50 * delay,
        "the delays overlap: {:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_reset_breaks_open_connections_and_new_ones() {
    let (proxy, mut stream) = proxied().await;
    ping(&mut stream).await.unwrap();
    proxy.set(Fault::Reset);
    let error = stream.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let broken = match TcpStream::connect(proxy.address()).await {
        Ok(mut stream) => ping(&mut stream).await.is_err(),
        Err(_) => true,
    };
    assert!(broken);
    proxy.set(Fault::None);
    ping(&mut TcpStream::connect(proxy.address()).await.unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_black_hole_holds_bytes_back_until_it_ends() {
    let (proxy, mut stream) = proxied().await;
    ping(&mut stream).await.unwrap();
    proxy.set(Fault::Blackhole);
    assert!(
        tokio::time::timeout(SILENCE, ping(&mut stream))
            .await
            .is_err()
    );
    let mut late = TcpStream::connect(proxy.address())
        .await
        .expect("accepted all the same");
    assert!(
        tokio::time::timeout(SILENCE, ping(&mut late))
            .await
            .is_err()
    );
    proxy.set(Fault::None);
    let mut back = [0; 4];
    for stream in [&mut stream, &mut late] {
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut back))
            .await
            .expect("in time")
            .unwrap();
        assert_eq!(&back, b"ping");
    }
}

#[tokio::test]
async fn refusing_looks_like_nobody_listens_and_ends_on_the_same_port() {
    let (proxy, mut stream) = proxied().await;
    ping(&mut stream).await.unwrap();
    proxy.set(Fault::Refuse);
    assert!(stream.read(&mut [0; 1]).await.is_err());
    let refused = async || match TcpStream::connect(proxy.address()).await {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Some(()),
        _ => None,
    };
    wait_until(PATIENCE, refused).await.expect("refused");
    proxy.set(Fault::None);
    let connected = async || TcpStream::connect(proxy.address()).await.ok();
    ping(&mut wait_until(PATIENCE, connected).await.expect("back"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_dropped_proxy_leaves_no_listener_and_no_connection() {
    let (proxy, mut stream) = proxied().await;
    ping(&mut stream).await.unwrap();
    let address = proxy.address();
    drop(proxy);
    assert!(!matches!(stream.read(&mut [0; 1]).await, Ok(1..)));
    assert!(TcpStream::connect(address).await.is_err());
}
