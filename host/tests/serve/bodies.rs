//! Bodies that come slowly, and bodies that nobody reads.

use std::time::Duration;

use host::metrics::Metrics;
use host::serve::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::client::{answer, asked, get, start, within};

fn post(length: usize) -> Vec<u8> {
    format!("POST /read HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n").into_bytes()
}

#[tokio::test(start_paused = true)]
async fn bodies_that_trickle_in_make_room_in_a_full_house() {
    let (recorder, metrics) = Metrics::detached().unwrap();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let limits = Limits {
        connections: 3,
        ..Limits::default()
    };
    let mut server = start(limits, Duration::from_secs(5));
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut client = TcpStream::connect(server.addr).await.unwrap();
        client.write_all(&post(1_000)).await.unwrap();
        slow.push(client);
    }
    server.has_begun(3).await;
    let (mut reading, trickles): (Vec<_>, Vec<_>) =
        slow.into_iter().map(TcpStream::into_split).unzip();
    let _trickling: Vec<_> = trickles
        .into_iter()
        .map(|mut trickle| {
            AbortOnDropHandle::new(tokio::spawn(async move {
                while trickle.write_all(b"x").await.is_ok() {
                    sleep(Duration::from_millis(300)).await;
                }
            }))
        })
        .collect();
    sleep(Duration::from_millis(1_500)).await;
    // Each that comes now and has its request ready is let in for one of them.
    let mut guests = Vec::new();
    for guest in 1..=3 {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(&get("/slow/8000")).await.unwrap();
        server.has_begun(3 + guest).await;
        guests.push(stream);
    }
    for stream in &mut reading {
        let mut rest = Vec::new();
        let end = within(stream.read_to_end(&mut rest)).await;
        assert!(end.is_err() || rest.is_empty(), "{rest:?}");
    }
    for stream in &mut guests {
        answer(stream).await;
    }
    let text = metrics.render();
    assert!(text.contains("reason=\"made_room\"} 3"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_slow_body_is_there_at_last_is_not_sent_away() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let mut server = start(limits, Duration::from_secs(5));
    let mut slow = TcpStream::connect(server.addr).await.unwrap();
    slow.write_all(&post(2)).await.unwrap();
    server.has_begun(1).await;
    sleep(Duration::from_secs(5)).await;
    slow.write_all(b"xx").await.unwrap();
    answer(&mut slow).await;
    // It was silent until a moment ago, and is spared now as any other.
    let begun = Instant::now();
    let mut next = TcpStream::connect(server.addr).await.unwrap();
    asked(&mut next, "/").await;
    assert!(
        begun.elapsed() >= Duration::from_millis(900),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn what_a_client_still_sends_after_its_answer_does_not_reset_the_connection() {
    let server = start(Limits::default(), Duration::from_secs(5));
    let mut client = TcpStream::connect(server.addr).await.unwrap();
    // The answer to `/` waits for no body.
    let head = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 200000\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&[b'x'; 50_000]).await.unwrap();
    let mut text = String::new();
    within(client.read_to_string(&mut text)).await.unwrap();
    assert!(
        text.starts_with("HTTP/1.1 200 ") && text.ends_with("xxxxx"),
        "{text}"
    );
    for _ in 0..15 {
        within(client.write_all(&[b'x'; 10_000])).await.unwrap();
        tokio::task::yield_now().await;
    }
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_client_that_never_stops_sending_is_closed_all_the_same() {
    let server = start(Limits::default(), Duration::from_secs(5));
    let mut client = TcpStream::connect(server.addr).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 100000000\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let begun = Instant::now();
    while client.write_all(b"x").await.is_ok() {
        sleep(Duration::from_millis(50)).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "it goes on");
    }
    assert!(
        begun.elapsed() >= Duration::from_millis(900),
        "{:?}",
        begun.elapsed()
    );
    server.stop.cancel();
    assert_eq!(within(server.task).await.unwrap().open, 0);
}
