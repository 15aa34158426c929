//! What stands between a client and consumer-svc: its answers alone get through, and nobody holds them for long.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use host::serve::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::task::AbortOnDropHandle;

use super::history::{as_json, response, shop_on, upstream, upstream_with};
use super::http::raw;
use super::shop::PATIENCE;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test]
async fn what_is_no_answer_of_consumer_svc_becomes_a_problem_of_our_own() {
    let upstream = upstream(|_, asked, _| {
        let status: u16 = asked
            .trim_matches(|c: char| !c.is_ascii_digit())
            .parse()
            .unwrap_or(200);
        let kind = if status == 200 {
            JSON
        } else {
            [("content-type", "text/html")]
        };
        response(status, &kind, "<h1>nginx</h1>".to_owned())
    })
    .await;
    let shop = shop_on(&upstream, &[("HISTORY_MAX_REQUESTS", "1")]).await;
    let document = shop.get("/openapi.json").await.json();
    for (status, told, kind) in [
        (431, 502, "bad-gateway"),
        (400, 502, "bad-gateway"),
        (404, 502, "bad-gateway"),
        (302, 502, "bad-gateway"),
        (502, 503, "history-unavailable"),
        (503, 503, "history-unavailable"),
    ] {
        let answer = shop.get(&format!("/purchases/{status}")).await;
        let problem = answer.assert_problem(told, kind);
        assert_eq!(problem["retryable"], told == 503);
        assert!(!problem.to_string().contains("nginx"), "{problem}");
        let described =
            &document["paths"]["/purchases/{user_id}"]["get"]["responses"][told.to_string()];
        assert!(described.is_object(), "{told} is not described");
    }
    let request = shop
        .request("HEAD", "/purchases/431")
        .body(Default::default());
    assert_eq!(shop.send(request.unwrap()).await.status, 502);
    // The one credit came back each time.
    assert_eq!(shop.get("/purchases/200").await.status, 200);
    shop.close().await.unwrap();
}

#[tokio::test]
async fn what_says_without_end_that_it_is_there_is_not_listened_to() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let upstream = upstream(move |_, _, _| {
        let sent = Arc::clone(&counted);
        let endless = stream::repeat(Bytes::from(vec![b' '; 64 * 1024])).map(move |chunk| {
            sent.fetch_add(chunk.len(), Ordering::Relaxed);
            Ok::<_, Infallible>(chunk)
        });
        as_json(warp::reply::stream(endless))
    })
    .await;
    let shop = shop_on(&upstream, &[]).await;
    shop.until("it was asked", || async {
        sent.load(Ordering::Relaxed) > 0
    })
    .await;
    // As long as it might have been read.
    let before = sent.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let more = sent.load(Ordering::Relaxed) - before;
    // What the system's buffers took, of each of a few questions.
    assert!(more < 64 << 20, "{more} bytes");
    let health = shop.get("/health").await;
    assert_eq!(health.status, 503);
    assert_eq!(health.json()["customer_management_api_reachable"], false);
    shop.close().await.unwrap();
}

#[tokio::test]
async fn the_longest_head_that_is_taken_is_also_taken_behind_us() {
    let upstream = upstream_with(Limits::BEHIND, |_, _, headers| {
        let tags = headers.get_all("if-none-match").iter().count();
        response(200, &JSON, format!("{tags} {}", headers.len()))
    })
    .await;
    let shop = shop_on(&upstream, &[]).await;
    let fixed = "GET /purchases/u?x= HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntraceparent: \
                 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    let state = format!("tracestate: v={}\r\n\r\n", "a".repeat(500));
    for longest in [16_300, 16_383] {
        let long = "a".repeat(longest - fixed.len() - state.len());
        let head = fixed.replace("?x=", &format!("?x={long}")) + &state;
        assert_eq!(head.len(), longest);
        let answer = raw(&shop, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{longest}: {answer}");
    }
    // Ninety-nine lines, as many as are taken beside one more, are one line behind us.
    let lines: String = (0..98)
        .map(|n| format!("if-none-match: \"{n}\"\r\n"))
        .collect();
    let head = format!("GET /purchases/u HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{lines}\r\n");
    let answer = raw(&shop, head.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("\r\n1 "),
        "{answer}"
    );
    shop.close().await.unwrap();
}

#[tokio::test]
async fn who_takes_an_answer_slowly_holds_its_credit_for_so_long_only() {
    let upstream = upstream(|_, asked, _| {
        if asked.contains("/short") {
            return response(200, &JSON, "all of it".to_owned());
        }
        let piece = Bytes::from(vec![b'x'; 64 * 1024]);
        let endless = stream::repeat(piece).map(Ok::<_, Infallible>);
        as_json(warp::reply::stream(endless))
    })
    .await;
    let vars = [
        ("HISTORY_ANSWER_TIMEOUT", "300ms"),
        ("HISTORY_MAX_REQUESTS", "1"),
        ("INTAKE_MAX_WAIT", "1ms"),
    ];
    let shop = shop_on(&upstream, &vars).await;
    let mut slow = tokio::net::TcpStream::connect(shop.addr).await.unwrap();
    let request = b"GET /purchases/u HTTP/1.1\r\nhost: a\r\n\r\n";
    slow.write_all(request).await.unwrap();
    let mut piece = vec![0; 64 * 1024];
    slow.read_exact(&mut piece).await.unwrap();
    shop.get("/purchases/short")
        .await
        .assert_problem(503, "overloaded");
    let taking = AbortOnDropHandle::new(tokio::spawn(async move {
        let mut every = tokio::time::interval(Duration::from_millis(5));
        while slow.read(&mut piece).await.is_ok_and(|read| read > 0) {
            every.tick().await;
        }
    }));
    shop.until("the credit is back", || async {
        shop.get("/purchases/short").await.status == 200
    })
    .await;
    // It was cut.
    tokio::time::timeout(PATIENCE, taking)
        .await
        .unwrap()
        .unwrap();
    shop.close().await.unwrap();
}
