//! Buying: what is answered, and what is in the log.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::memory_log::Mode;
use super::shop::Shop;

const JOHN: &str = r#"{"username": " john_doe ", "user_id": "user_123", "unknown": [1]}"#;

#[tokio::test]
async fn a_purchase_is_answered_with_what_is_in_the_log_and_where() {
    let shop = Shop::open(&[]).await;
    let answer = shop.buy_with(JOHN, &[]).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("content-type"), "application/json");
    let body = answer.json();
    let names: HashSet<_> = body
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "success",
        "message",
        "purchase_id",
        "purchase",
        "kafka_partition",
        "kafka_offset",
    ];
    assert_eq!(names, HashSet::from(expected));
    assert_eq!(body["success"], true);

    let record = &shop.broker.records()[0];
    assert_eq!(
        body["purchase"],
        serde_json::from_slice::<Value>(&record.value).unwrap()
    );
    assert_eq!(
        (&body["kafka_partition"], &body["kafka_offset"]),
        (&json!(record.partition), &json!(record.offset))
    );
    assert_eq!(
        body["purchase_id"].as_str().unwrap().as_bytes(),
        record.headers["purchase-id"]
    );
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_record_has_the_user_as_key_five_fields_as_value_and_the_rest_in_headers() {
    let shop = Shop::open(&[]).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = shop
        .buy_with(JOHN, &[("traceparent", trace), ("x-request-id", "req-1")])
        .await;
    assert_eq!(answer.header("x-request-id"), "req-1");

    let record = &shop.broker.records()[0];
    assert_eq!(record.key, "user_123");
    let value: Value = serde_json::from_slice(&record.value).unwrap();
    let fields: HashSet<_> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        fields,
        HashSet::from(["username", "user_id", "item_name", "price", "timestamp"])
    );
    assert_eq!(
        (&value["username"], &value["user_id"]),
        (&json!("john_doe"), &json!("user_123"))
    );
    let header = |name: &str| String::from_utf8(record.headers[name].clone()).unwrap();
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("schema-version"), "1");
    assert_eq!(header("request-id"), "req-1");
    assert_eq!(
        header("traceparent")[..36],
        trace[..36],
        "the client's trace goes on"
    );
    assert_ne!(
        header("traceparent")[36..],
        trace[36..],
        "with a span of ours"
    );
    shop.close().await.unwrap();
}

#[tokio::test]
async fn who_names_no_request_gets_the_name_of_its_trace_and_the_record_says_it_once() {
    let shop = Shop::open(&[]).await;
    let traced = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let cases: [&[(&str, &str)]; 2] = [&[], &[("traceparent", traced)]];
    for (place, headers) in cases.iter().enumerate() {
        let answer = shop.buy_with(JOHN, headers).await;
        let id = answer.header("x-request-id").to_owned();
        let record = &shop.broker.records()[place];
        let trace = std::str::from_utf8(&record.headers["traceparent"]).unwrap();
        let said = record.headers.get("request-id").map(Vec::as_slice);
        match headers.is_empty() {
            true => assert_eq!((id.as_str(), said), (&trace[3..35], None)),
            // Many requests may belong to a trace that the client began.
            false => {
                assert_ne!(id, trace[3..35]);
                assert_eq!(said, Some(id.as_bytes()));
            }
        }
    }
    shop.close().await.unwrap();
}

#[tokio::test]
async fn whose_body_takes_its_time_is_sold_to_like_all_others() {
    // A third of it is how long a purchase may wait to be given to the log.
    let shop = Shop::open(&[("KAFKA_DELIVERY_TIMEOUT", "1500ms")]).await;
    let (first, rest) = JOHN.split_at(10);
    let head = format!(
        "POST /buy HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{first}",
        JOHN.len()
    );
    let mut client = TcpStream::connect(shop.addr).await.unwrap();
    client.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    shop.close().await.unwrap();
}

#[tokio::test]
async fn no_answer_comes_before_the_log_has_the_purchase() {
    let shop = Shop::open(&[]).await;
    shop.broker.set(Mode::Hold);
    let waiting = shop.start_buying("user_1");
    shop.until_held(1).await;
    assert!(!waiting.is_finished());
    shop.broker.release();
    assert_eq!(waiting.await.unwrap().status, 201);
    shop.close().await.unwrap();
}

#[tokio::test]
async fn the_same_key_of_the_same_user_is_the_same_purchase_on_every_replica() {
    let (one, other) = (Shop::open(&[]).await, Shop::open(&[]).await);
    let key = (
        "idempotency-key",
        "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"",
    );
    let bare = ("idempotency-key", "8e03978e-40d5-43dd-bc93-6894a57f9324");
    let first = one.buy_with(JOHN, &[key]).await.json();
    let second = other.buy_with(JOHN, &[bare]).await.json();
    assert_eq!(first["purchase_id"], second["purchase_id"]);
    for field in ["item_name", "price", "user_id", "username"] {
        assert_eq!(first["purchase"][field], second["purchase"][field]);
    }
    let stranger = one
        .buy_with(r#"{"username": "john_doe", "user_id": "user_124"}"#, &[key])
        .await
        .json();
    assert_ne!(
        first["purchase_id"], stranger["purchase_id"],
        "another user's same key is another purchase"
    );
    one.close().await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test]
async fn without_a_key_every_purchase_is_another_one() {
    let shop = Shop::open(&[]).await;
    let mut ids = HashSet::new();
    for _ in 0..50 {
        assert!(ids.insert(shop.buy("user_1").await.json()["purchase_id"].to_string()));
    }
    shop.close().await.unwrap();
}

#[tokio::test]
async fn every_item_bought_is_from_the_catalog_at_its_price() {
    let shop = Shop::open(&[]).await;
    let items = shop.get("/items").await.json();
    for n in 0..40 {
        let purchase = shop.buy(&format!("user_{n}")).await.json()["purchase"].clone();
        let item = json!({"name": purchase["item_name"], "price": purchase["price"]});
        assert!(
            items.as_array().unwrap().contains(&item),
            "{item} in {items}"
        );
    }
    shop.close().await.unwrap();
}

#[tokio::test]
async fn every_invalid_field_is_told_at_once() {
    let shop = Shop::open(&[]).await;
    let answer = shop
        .buy_with(r#"{"username": 7, "user_id": "a\u202eb"}"#, &[])
        .await;
    let problem = answer.assert_problem(422, "validation");
    let pointers: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| &error["pointer"])
        .collect();
    assert_eq!(pointers, ["/username", "/user_id"]);
    assert_eq!(problem["retryable"], false);
    assert!(shop.broker.records().is_empty());
    shop.close().await.unwrap();
}

#[tokio::test]
async fn what_is_no_request_is_refused_by_its_kind() {
    let shop = Shop::open(&[]).await;
    shop.buy_with("{", &[])
        .await
        .assert_problem(400, "malformed");
    shop.buy_with("", &[])
        .await
        .assert_problem(400, "malformed");
    shop.buy_with("[]", &[])
        .await
        .assert_problem(422, "validation");
    shop.buy_with(JOHN, &[("idempotency-key", "a b")])
        .await
        .assert_problem(400, "malformed");
    shop.buy_with(JOHN, &[("idempotency-key", "ä")])
        .await
        .assert_problem(400, "malformed");
    let untyped = shop.request("POST", "/buy").body(JOHN.into()).unwrap();
    shop.send(untyped)
        .await
        .assert_problem(415, "unsupported-media-type");
    let typed = shop
        .request("POST", "/buy")
        .header("content-type", "text/plain")
        .body(JOHN.into())
        .unwrap();
    shop.send(typed)
        .await
        .assert_problem(415, "unsupported-media-type");
    assert!(shop.broker.records().is_empty());
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_name_is_counted_in_characters() {
    let shop = Shop::open(&[]).await;
    let body = |n: usize| json!({"username": "ß".repeat(n), "user_id": "user_1"}).to_string();
    assert_eq!(shop.buy_with(body(100), &[]).await.status, 201);
    shop.buy_with(body(101), &[])
        .await
        .assert_problem(422, "validation");
    shop.close().await.unwrap();
}
