//! What a client may take: connections, time, memory.

use std::time::Duration;

use host::metrics::Metrics;
use host::serve::{Limits, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::client::{answer, asked, closed, get, start, within};

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let server = start(Limits::default(), Duration::from_secs(5));
    let mut client = TcpStream::connect(server.addr).await.unwrap();
    for _ in 0..100 {
        let answer = within(asked(&mut client, "/")).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && !answer.contains("connection: close"),
            "{answer}"
        );
    }
    drop(client);
    server.stop.cancel();
    let report = within(server.task).await.unwrap();
    assert_eq!((report.accepted, report.cut), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_no_request_is_closed_after_the_header_limit() {
    let (recorder, metrics) = Metrics::detached().unwrap();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let server = start(Limits::default(), Duration::ZERO);
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
    assert!(
        text.contains("http_connections_open{server=\"test\"} 0"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_in_is_closed_after_the_header_limit() {
    let server = start(Limits::default(), Duration::ZERO);
    let mut client = TcpStream::connect(server.addr).await.unwrap();
    asked(&mut client, "/").await;
    sleep(Duration::from_secs(30)).await;
    let begun = Instant::now();
    let head = get("/").into_iter().cycle();
    for byte in head.filter(|byte| *byte != b'\n') {
        if client.write_all(&[byte]).await.is_err() {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    assert!(
        (10..=17).contains(&begun.elapsed().as_secs()),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_outlives_a_proxys_keep_alive() {
    let server = start(Limits::default(), Duration::ZERO);
    let mut client = TcpStream::connect(server.addr).await.unwrap();
    for _ in 0..3 {
        asked(&mut client, "/").await;
        sleep(Duration::from_secs(60)).await;
    }
    asked(&mut client, "/").await;
    let begun = Instant::now();
    closed(&mut client).await;
    assert!(
        (75..=80).contains(&begun.elapsed().as_secs()),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_not_mistaken_for_a_slow_client() {
    let server = start(Limits::default(), Duration::ZERO);
    let mut client = TcpStream::connect(server.addr).await.unwrap();
    asked(&mut client, "/slow/300000").await;
    asked(&mut client, "/").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_answer_is_closed() {
    let (recorder, metrics) = Metrics::detached().unwrap();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let server = start(Limits::default(), Duration::ZERO);
    let mut client = TcpStream::connect(server.addr).await.unwrap();
    client.write_all(&get("/big")).await.unwrap();
    let begun = Instant::now();
    while !metrics.render().contains("reason=\"write_timeout\"} 1") {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{}",
            metrics.render()
        );
        sleep(Duration::from_secs(1)).await;
    }
    assert!(
        begun.elapsed() >= Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn beyond_the_cap_a_connection_waits_until_another_ends() {
    let server = start(
        Limits {
            connections: 2,
            ..Limits::default()
        },
        Duration::from_secs(5),
    );
    let mut first = TcpStream::connect(server.addr).await.unwrap();
    let mut second = TcpStream::connect(server.addr).await.unwrap();
    asked(&mut first, "/").await;
    asked(&mut second, "/").await;
    let mut third = TcpStream::connect(server.addr).await.unwrap();
    third.write_all(&get("/")).await.unwrap();
    // The two are still served while the third waits.
    let mut byte = [0];
    let early = timeout(Duration::from_millis(200), third.read(&mut byte)).await;
    assert!(early.is_err(), "the third was served beyond the cap");
    asked(&mut second, "/").await;
    drop(first);
    within(answer(&mut third)).await;
}

#[tokio::test(start_paused = true)]
async fn in_a_full_house_the_longest_silent_connection_makes_room() {
    let (recorder, metrics) = Metrics::detached().unwrap();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let server = start(limits, Duration::from_secs(5));
    let mut first = TcpStream::connect(server.addr).await.unwrap();
    let mut second = TcpStream::connect(server.addr).await.unwrap();
    asked(&mut first, "/").await;
    sleep(Duration::from_millis(500)).await;
    asked(&mut second, "/").await;
    sleep(Duration::from_millis(700)).await;
    let mut third = TcpStream::connect(server.addr).await.unwrap();
    within(asked(&mut third, "/")).await;
    within(closed(&mut first)).await;
    within(asked(&mut second, "/")).await;
    let text = metrics.render();
    assert!(text.contains("reason=\"made_room\"} 1"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_in_makes_room_and_a_request_in_hand_does_not() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let mut server = start(limits, Duration::from_secs(5));
    let mut busy = TcpStream::connect(server.addr).await.unwrap();
    busy.write_all(&get("/slow/8000")).await.unwrap();
    server.has_begun(1).await;
    let mut slow = TcpStream::connect(server.addr).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    sleep(Duration::from_millis(1_500)).await;
    let mut third = TcpStream::connect(server.addr).await.unwrap();
    third.write_all(&get("/slow/9000")).await.unwrap();
    server.has_begun(2).await;
    within(closed(&mut slow)).await;
    // Two requests in hand: who comes now waits for the first of them to end.
    let mut fourth = TcpStream::connect(server.addr).await.unwrap();
    fourth.write_all(&get("/")).await.unwrap();
    let begun = Instant::now();
    answer(&mut busy).await;
    answer(&mut fourth).await;
    assert!(
        begun.elapsed() >= Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    answer(&mut third).await;
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_variable() {
    let first = Server::bind(
        "test",
        "127.0.0.1:0".parse().unwrap(),
        "TEST_ADDR",
        Limits::default(),
    )
    .unwrap();
    let addr = first.local_addr();
    let error = Server::bind("test", addr, "TEST_ADDR", Limits::default()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&format!("cannot listen on {addr}: ")) && text.contains("set TEST_ADDR to"),
        "{text}"
    );
    let failure = host::exit::Failure::from(error);
    assert_eq!((failure.code() as u8, failure.to_string()), (69, text));
}

#[tokio::test]
async fn a_head_beyond_the_buffer_is_refused() {
    let server = start(
        Limits {
            buffer: 8192,
            ..Limits::default()
        },
        Duration::from_secs(5),
    );
    let mut client = TcpStream::connect(server.addr).await.unwrap();
    let head = format!(
        "GET / HTTP/1.1\r\nhost: test\r\nx: {}\r\n\r\n",
        "y".repeat(20_000)
    );
    let mut text = String::new();
    // The refusal may come before all is sent; the rest is thrown away.
    client.write_all(head.as_bytes()).await.unwrap();
    within(client.read_to_string(&mut text)).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_harms_nobody_else() {
    let server = start(Limits::default(), Duration::from_secs(5));
    let mut good = TcpStream::connect(server.addr).await.unwrap();
    for garbage in [
        "\0\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\r\n\r\n",
    ] {
        let mut bad = TcpStream::connect(server.addr).await.unwrap();
        bad.write_all(garbage.as_bytes()).await.unwrap();
        let mut text = String::new();
        let end = within(bad.read_to_string(&mut text)).await;
        assert!(
            text.is_empty() || text.starts_with("HTTP/1.1 400 "),
            "{garbage:?}: {text} {end:?}"
        );
        asked(&mut good, "/").await;
    }
}

#[tokio::test]
async fn a_panic_is_a_500_and_costs_one_connection() {
    let (recorder, metrics) = host::metrics::Metrics::detached().expect("a recorder");
    let _recording = metrics::set_default_local_recorder(&recorder);
    let server = start(Limits::default(), Duration::from_secs(5));
    let (mut bad, mut good) = (
        TcpStream::connect(server.addr).await.unwrap(),
        TcpStream::connect(server.addr).await.unwrap(),
    );
    asked(&mut good, "/").await;
    let request = b"GET /panic HTTP/1.1\r\nhost: t\r\nx-request-id: theirs-1\r\n\r\n";
    bad.write_all(request).await.unwrap();
    let mut text = String::new();
    within(bad.read_to_string(&mut text)).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 500 "), "{text}");
    for part in [
        "content-type: application/problem+json",
        "x-request-id: theirs-1",
        "connection: close",
        "\"request_id\":\"theirs-1\"",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("panics"), "{text}");
    asked(&mut good, "/").await;
    let told = metrics.render();
    assert!(
        told.contains("http_handlers_panicked_total{server=\"test\"} 1"),
        "{told}"
    );
    server.stop.cancel();
    drop(good);
    assert_eq!(within(server.task).await.unwrap().accepted, 2);
}
