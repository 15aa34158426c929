//! A shutdown: what was begun is finished, what cannot end is cut.

use std::time::Duration;

use host::serve::{Limits, ServeReport, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::{Routes, answer, asked, closed, get, start, within};

#[tokio::test]
async fn what_was_begun_is_finished_and_says_that_it_closes() {
    let mut server = start(Limits::default(), Duration::from_secs(5));
    let mut busy = TcpStream::connect(server.addr).await.unwrap();
    let mut idle = TcpStream::connect(server.addr).await.unwrap();
    asked(&mut busy, "/").await;
    asked(&mut idle, "/").await;
    busy.write_all(&get("/slow/1500")).await.unwrap();
    server.has_begun(3).await;
    server.stop.cancel();
    let begun = Instant::now();
    within(closed(&mut idle)).await;
    assert!(
        begun.elapsed() < Duration::from_millis(1_400),
        "an idle connection is closed after its linger"
    );
    let answer = within(answer(&mut busy)).await;
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    within(closed(&mut busy)).await;
    let report = within(server.task).await.unwrap();
    assert_eq!(
        report,
        ServeReport {
            accepted: 2,
            open: 2,
            busy: 1,
            untaken: 0,
            cut: 0
        }
    );
    assert!(
        TcpStream::connect(server.addr).await.is_err(),
        "the port is free again"
    );
}

#[tokio::test]
async fn a_request_that_races_the_shutdown_still_gets_its_answer() {
    let server = start(
        Limits {
            linger: Duration::from_secs(2),
            ..Limits::default()
        },
        Duration::from_secs(5),
    );
    let mut used = TcpStream::connect(server.addr).await.unwrap();
    asked(&mut used, "/").await;
    let mut unused = TcpStream::connect(server.addr).await.unwrap();
    server.stop.cancel();
    tokio::task::yield_now().await;
    for client in [&mut used, &mut unused] {
        let answer = within(asked(client, "/")).await;
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        within(closed(client)).await;
    }
    assert_eq!(within(server.task).await.unwrap().cut, 0);
}

#[tokio::test]
async fn connections_in_the_kernels_queue_are_served_before_the_port_closes() {
    let server = Server::bind(
        "test",
        "127.0.0.1:0".parse().unwrap(),
        "TEST_ADDR",
        Limits::default(),
    )
    .unwrap();
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = TcpStream::connect(server.local_addr()).await.unwrap();
        client.write_all(&get("/slow/50")).await.unwrap();
        clients.push(client);
    }
    let stop = CancellationToken::new();
    stop.cancel();
    let run = tokio::spawn(server.run(Routes::default(), stop, Duration::from_secs(5)));
    for client in &mut clients {
        assert!(
            within(answer(client))
                .await
                .contains("connection: close\r\n")
        );
    }
    assert_eq!(within(run).await.unwrap().accepted, 20);
}

#[tokio::test]
async fn the_deadline_cuts_what_does_not_end() {
    let mut server = start(Limits::default(), Duration::from_millis(300));
    let mut client = TcpStream::connect(server.addr).await.unwrap();
    client.write_all(&get("/slow/3600000")).await.unwrap();
    server.has_begun(1).await;
    server.stop.cancel();
    let begun = Instant::now();
    let report = within(server.task).await.unwrap();
    assert_eq!((report.busy, report.cut), (1, 1));
    assert!(
        begun.elapsed() >= Duration::from_millis(300) && begun.elapsed() < Duration::from_secs(3)
    );
    within(closed(&mut client)).await;
}

#[tokio::test]
async fn half_a_head_and_an_answer_that_nobody_takes_do_not_keep_a_drain_up() {
    let mut server = start(Limits::default(), Duration::from_secs(8));
    let mut half = TcpStream::connect(server.addr).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();
    let mut again = TcpStream::connect(server.addr).await.unwrap();
    asked(&mut again, "/").await;
    again.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();
    let mut deaf = TcpStream::connect(server.addr).await.unwrap();
    deaf.write_all(&get("/big")).await.unwrap();
    server.has_begun(2).await;
    server.stop.cancel();
    let begun = Instant::now();
    within(closed(&mut half)).await;
    within(closed(&mut again)).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "half a head: {took:?}");
    // It had its chance, and what it was told was decided before.
    let report = within(server.task).await.unwrap();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(4), "an untaken answer: {took:?}");
    assert!(took > Duration::from_millis(1_500), "{took:?}");
    assert_eq!((report.untaken, report.cut), (1, 0));
}

#[tokio::test]
async fn half_a_body_is_given_up_in_a_drain_however_it_trickles_in() {
    let mut server = start(Limits::default(), Duration::from_secs(8));
    let half = b"POST /read HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n\r\nx";
    let mut silent = TcpStream::connect(server.addr).await.unwrap();
    silent.write_all(half).await.unwrap();
    let mut trickling = TcpStream::connect(server.addr).await.unwrap();
    trickling.write_all(half).await.unwrap();
    server.has_begun(2).await;
    server.stop.cancel();
    let begun = Instant::now();
    let trickle = tokio::spawn(async move {
        let (mut from, mut to) = trickling.split();
        let send = async {
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                if to.write_all(b"x").await.is_err() {
                    return;
                }
            }
        };
        let mut answer = String::new();
        tokio::select! {
            () = send => {}
            read = from.read_to_string(&mut answer) => drop(read),
        }
        answer
    });
    let said = within(answer(&mut silent)).await;
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    let said = within(trickle).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    let report = within(server.task).await.unwrap();
    let took = begun.elapsed();
    assert!(
        took > Duration::from_millis(1_900) && took < Duration::from_secs(4),
        "{took:?}"
    );
    assert_eq!(report.cut, 0);
}

#[tokio::test]
async fn the_other_half_of_a_body_is_still_taken_in_a_drain() {
    let mut server = start(Limits::default(), Duration::from_secs(5));
    let mut half = TcpStream::connect(server.addr).await.unwrap();
    let head = b"POST /read HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nx";
    half.write_all(head).await.unwrap();
    server.has_begun(1).await;
    server.stop.cancel();
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    half.write_all(b"x").await.unwrap();
    let answer = within(answer(&mut half)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(within(server.task).await.unwrap().cut, 0);
}

#[tokio::test]
async fn who_takes_a_byte_now_and_then_keeps_no_drain_up() {
    let mut server = start(Limits::default(), Duration::from_secs(8));
    let mut slow = TcpStream::connect(server.addr).await.unwrap();
    slow.write_all(&get("/big")).await.unwrap();
    server.has_begun(1).await;
    server.stop.cancel();
    let begun = Instant::now();
    let mut some = vec![0; 256 * 1024];
    // Each time more than the kernel waits for before it lets the server write again.
    while !server.task.is_finished() {
        assert!(begun.elapsed() < Duration::from_secs(4), "it goes on");
        drop(slow.read(&mut some).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(begun.elapsed() > Duration::from_millis(1_500));
    assert_eq!(within(server.task).await.unwrap().cut, 0);
}

#[tokio::test]
async fn who_takes_all_that_there_is_is_not_blamed_for_what_comes_late() {
    let mut server = start(Limits::default(), Duration::from_secs(8));
    let mut client = TcpStream::connect(server.addr).await.unwrap();
    client.write_all(&get("/pieces")).await.unwrap();
    server.has_begun(1).await;
    server.stop.cancel();
    let begun = Instant::now();
    let mut all = Vec::new();
    within(client.read_to_end(&mut all)).await.unwrap();
    assert!(begun.elapsed() > Duration::from_millis(2_500));
    assert!(all.len() > (8 << 20) + 5, "it came whole: {}", all.len());
    assert_eq!(within(server.task).await.unwrap().cut, 0);
}

#[tokio::test]
async fn the_other_half_of_a_head_is_still_taken_in_a_drain() {
    let server = start(Limits::default(), Duration::from_secs(5));
    let mut half = TcpStream::connect(server.addr).await.unwrap();
    let request = get("/");
    let (first, rest) = request.split_at(10);
    half.write_all(first).await.unwrap();
    server.stop.cancel();
    tokio::time::sleep(Duration::from_millis(300)).await;
    half.write_all(rest).await.unwrap();
    let answer = within(answer(&mut half)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(within(server.task).await.unwrap().cut, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_a_drain_loses_no_answer() {
    let mut server = start(Limits::default(), Duration::from_secs(5));
    let clients: Vec<_> = (0..32)
        .map(|_| {
            let addr = server.addr;
            tokio::spawn(async move {
                let (mut stream, mut answers) = (TcpStream::connect(addr).await.unwrap(), 0);
                loop {
                    // Every request that could be sent has its answer, the last one too.
                    let text = asked(&mut stream, "/").await;
                    answers += 1;
                    if text.contains("connection: close") {
                        return answers;
                    }
                }
            })
        })
        .collect();
    server.has_begun(2_000).await;
    server.stop.cancel();
    for client in clients {
        assert!(within(client).await.expect("no client met a reset") > 1);
    }
    assert_eq!(within(server.task).await.unwrap().cut, 0);
}
