//! Those who ask for what consumer-svc has: what one of them may take, and what is left when it goes.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::history::{as_json, shop_on, upstream};
use super::shop::{PATIENCE, Shop};

#[tokio::test]
async fn one_client_cannot_take_all_streams_and_requests() {
    let upstream = upstream(|_, _, _| {
        let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b": hello\n\n"))]);
        as_json(warp::reply::stream(first.chain(stream::pending())))
    })
    .await;
    let vars = [
        ("HISTORY_MAX_STREAMS", "4"),
        ("HISTORY_MAX_REQUESTS_PER_CLIENT", "2"),
        ("TRUSTED_PROXY_HEADER", "X-Forwarded-For"),
    ];
    let shop = shop_on(&upstream, &vars).await;
    let http: Client<_, http_body_util::Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let ask = async |path: &str, client: &str| {
        let request = http::Request::get(format!("http://{}{path}", shop.addr))
            .header("x-forwarded-for", client)
            .body(http_body_util::Empty::new())
            .unwrap();
        http.request(request).await.unwrap()
    };
    for path in ["/stats/stream", "/purchases/u1"] {
        let mut held = vec![
            ask(path, "192.0.2.1").await,
            ask(path, "192.0.2.1").await,
            ask(path, "192.0.2.2").await,
        ];
        assert!(held.iter().all(|answer| answer.status() == 200));
        let refused = ask(path, "192.0.2.1").await;
        assert_eq!((refused.status().as_u16(), path), (429, path));
        assert_eq!(refused.headers()["retry-after"], "1");
        let body = refused.into_body().collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["type"], "/problems/too-many-requests");
        let about = problem["detail"].as_str().unwrap();
        assert_eq!(
            about.contains("live streams"),
            path == "/stats/stream",
            "{about}"
        );
        // Who hangs up may come again.
        drop(held.remove(0));
        shop.until("its share is back", || async {
            ask(path, "192.0.2.1").await.status() == 200
        })
        .await;
    }
    shop.shutdown.cancel();
}

#[tokio::test]
async fn a_question_whose_asker_left_is_taken_back() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let vars = [
        ("CUSTOMER_MANAGEMENT_API_URL", url.as_str()),
        ("HISTORY_TIMEOUT", "1h"),
        ("HISTORY_MAX_REQUESTS", "1"),
    ];
    let shop = Shop::open(&vars).await;
    let asked = async || {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            let read = connection.read(&mut head).await.unwrap();
            // Probes ask, too; they are left without an answer.
            if head[..read].starts_with(b"GET /purchases/") {
                return connection;
            }
        }
    };
    let ask = async || {
        let mut client = TcpStream::connect(shop.addr).await.unwrap();
        let request = b"GET /purchases/u1 HTTP/1.1\r\nhost: shop\r\n\r\n";
        client.write_all(request).await.unwrap();
        client
    };
    let whole = tokio::time::timeout(PATIENCE, async {
        let client = ask().await;
        let mut question = asked().await;
        drop(client);
        let ended = question.read(&mut [0; 16]).await;
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
        // The only credit is back.
        let _client = ask().await;
        asked().await
    });
    assert!(whole.await.is_ok());
    shop.close().await.unwrap();
}
