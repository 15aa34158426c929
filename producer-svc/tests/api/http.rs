//! HTTP as people expect it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::shop::{PATIENCE, Shop};

/// Sends raw bytes and returns all that comes back until the server closes.
pub(crate) async fn raw(shop: &Shop, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(shop.addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // A reset after the answer is as good as a close.
    drop(read.expect("the server closes"));
    String::from_utf8_lossy(&answer).into_owned()
}

/// A purchase without a declared length.
fn in_chunks(path: &str, body: &str, size: usize) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    )
    .into_bytes();
    for chunk in body.as_bytes().chunks(size) {
        request.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        request.extend(chunk.iter().chain(b"\r\n"));
    }
    request.extend(b"0\r\n\r\n");
    request
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whatever_length_it_declares() {
    let shop = Shop::open(&[]).await;
    let large = format!(
        r#"{{"username": "a", "user_id": "u", "x": "{}"}}"#,
        "x".repeat(16 * 1024)
    );
    shop.buy_with(large.clone(), &[])
        .await
        .assert_problem(413, "too-large");

    let answer = raw(&shop, &in_chunks("/buy", &large, 1000)).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    shop.close().await.unwrap();
}

#[tokio::test]
async fn the_refusal_of_a_body_much_too_large_is_read_to_its_end() {
    let shop = Shop::open(&[]).await;
    let stream = TcpStream::connect(shop.addr).await.unwrap();
    let (mut reading, mut sending) = stream.into_split();
    let large = 5 << 20;
    let head = format!(
        "POST /buy HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {large}\r\n\r\n"
    );
    let _sending = AbortOnDropHandle::new(tokio::spawn(async move {
        sending.write_all(head.as_bytes()).await?;
        sending.write_all(&vec![b' '; large]).await
    }));
    let mut answer = String::new();
    let read = tokio::time::timeout(PATIENCE, reading.read_to_string(&mut answer)).await;
    read.unwrap().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    let length = format!("content-length: {}", body.len());
    assert!(head.lines().any(|line| line == length), "{answer}");
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_body_in_pieces_is_put_together() {
    let shop = Shop::open(&[]).await;
    let answer = raw(
        &shop,
        &in_chunks("/api/buy", r#"{"username": "john", "user_id": "u1"}"#, 5),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert_eq!(shop.broker.records()[0].key, "u1");
    shop.close().await.unwrap();
}

#[tokio::test]
async fn every_path_is_also_below_api_and_only_once() {
    let shop = Shop::open(&[]).await;
    for path in ["/", "/items"] {
        assert_eq!(
            shop.get(path).await.body,
            shop.get(&format!("/api{path}")).await.body
        );
    }
    assert_eq!(shop.get("/api").await.status, 200);
    shop.get("/api/api/items")
        .await
        .assert_problem(404, "not-found");
    shop.get("/apix/items")
        .await
        .assert_problem(404, "not-found");
    shop.close().await.unwrap();
}

#[tokio::test]
async fn an_unknown_path_is_404_for_every_method() {
    let shop = Shop::open(&[]).await;
    for path in [
        "/nothing",
        "/buy/more",
        "/purchases",
        "/purchases/a/b",
        "/items/1",
        "/stats/other",
    ] {
        shop.get(path).await.assert_problem(404, "not-found");
    }
    let post = shop.request("POST", "/nothing").body("{}".into()).unwrap();
    shop.send(post).await.assert_problem(404, "not-found");
    shop.close().await.unwrap();
}

#[tokio::test]
async fn another_method_is_405_and_says_which_are_allowed() {
    let shop = Shop::open(&[]).await;
    let buy = shop.get("/buy").await;
    buy.assert_problem(405, "method-not-allowed");
    assert_eq!(buy.header("allow"), "POST, OPTIONS");
    for path in [
        "/",
        "/items",
        "/health",
        "/stats",
        "/stats/stream",
        "/purchases/u1",
        "/getAllUserBuys/u1",
    ] {
        let delete = shop
            .request("DELETE", path)
            .body(Default::default())
            .unwrap();
        let answer = shop.send(delete).await;
        answer.assert_problem(405, "method-not-allowed");
        assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS");
        let options = shop
            .send(
                shop.request("OPTIONS", path)
                    .body(Default::default())
                    .unwrap(),
            )
            .await;
        assert_eq!(
            (options.status.as_u16(), options.header("allow")),
            (204, "GET, HEAD, OPTIONS")
        );
    }
    shop.close().await.unwrap();
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let shop = Shop::open(&[]).await;
    let (get, head) = (
        shop.get("/items").await,
        shop.send(
            shop.request("HEAD", "/items")
                .body(Default::default())
                .unwrap(),
        )
        .await,
    );
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), get.body.len().to_string());
    assert_eq!(head.header("etag"), get.header("etag"));
    assert!(head.body.is_empty());
    shop.close().await.unwrap();
}

#[tokio::test]
async fn every_answer_has_a_request_id_the_clients_if_it_is_harmless() {
    let shop = Shop::open(&[]).await;
    let asked = |id: &str| {
        shop.request("GET", "/items")
            .header("x-request-id", id)
            .body(Default::default())
            .unwrap()
    };
    assert_eq!(
        shop.send(asked("abc-1")).await.header("x-request-id"),
        "abc-1"
    );
    let first = shop
        .send(asked("a b"))
        .await
        .header("x-request-id")
        .to_owned();
    let second = shop.get("/nothing").await.header("x-request-id").to_owned();
    assert!(
        first != "a b" && first != second && first.len() >= 16,
        "{first} {second}"
    );
    shop.close().await.unwrap();
}

#[tokio::test]
async fn no_answer_names_the_server_software() {
    let shop = Shop::open(&[]).await;
    let answer = raw(
        &shop,
        b"GET /items HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await
    .to_lowercase();
    assert!(
        !answer.contains("\r\nserver:") && !answer.contains("hyper") && !answer.contains("warp"),
        "{answer}"
    );
    shop.close().await.unwrap();
}
