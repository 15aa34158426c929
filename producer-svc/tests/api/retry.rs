//! Buying again with the same key: one purchase, the first answer, and no key left behind.

use http::HeaderValue;
use producer_svc::flow::BrokerReport;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::memory_log::Mode;
use super::shop::{Answer, Shop};

const KEY: (&str, &str) = ("idempotency-key", "\"key-1\"");

fn body(username: &str, user: &str) -> String {
    format!(r#"{{"username": "{username}", "user_id": "{user}"}}"#)
}

async fn buy(shop: &Shop) -> Answer {
    shop.buy_with(body("john", "user_1"), &[KEY]).await
}

fn is_replayed(answer: &Answer) -> bool {
    answer
        .headers
        .get("idempotency-replayed")
        .is_some_and(|value| value == "true")
}

#[tokio::test]
async fn a_retry_gets_the_first_answer_and_nothing_is_written_again() {
    let shop = Shop::open(&[]).await;
    let first = buy(&shop).await;
    assert_eq!(first.status, 201);
    assert!(!is_replayed(&first));
    // The same key, bare and with the names spelt with other spaces: the same request.
    let again = shop
        .buy_with(body(" john ", "user_1"), &[("idempotency-key", "key-1")])
        .await;
    assert_eq!(again.status, 201);
    assert!(is_replayed(&again));
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("content-type"), first.header("content-type"));
    assert_eq!(shop.broker.records().len(), 1);
    // Another user's key of the same text is another key.
    let other = shop.buy_with(body("john", "user_2"), &[KEY]).await;
    assert_eq!(other.status, 201);
    assert!(!is_replayed(&other));
    shop.close().await.unwrap();
}

#[tokio::test]
async fn the_same_key_with_another_content_is_refused_before_and_after_the_answer() {
    let shop = Shop::open(&[]).await;
    shop.broker.set(Mode::Hold);
    let first = shop.start_buying_with(body("john", "user_1"), &[KEY]);
    shop.until_held(1).await;
    for _ in 0..2 {
        let changed = shop.buy_with(body("johnny", "user_1"), &[KEY]).await;
        let problem = changed.assert_problem(422, "idempotency-key-reused");
        assert_eq!(problem["retryable"], false);
        if !first.is_finished() {
            shop.broker.release();
            shop.until("the first is answered", || async { first.is_finished() })
                .await;
        }
    }
    assert_eq!(first.await.unwrap().status, 201);
    assert_eq!(shop.broker.records().len(), 1);
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_retry_while_the_first_is_on_its_way_is_told_to_come_again_and_then_gets_its_answer() {
    let shop = Shop::open(&[("INTAKE_MAX_PURCHASES", "1"), ("INTAKE_MAX_WAIT", "20ms")]).await;
    shop.broker.set(Mode::Hold);
    let first = shop.start_buying_with(body("john", "user_1"), &[KEY]);
    shop.until_held(1).await;
    // There is no credit left either, but a retry needs none.
    let again = buy(&shop).await;
    let problem = again.assert_problem(409, "conflict");
    assert_eq!(problem["retryable"], true);
    assert_eq!(again.header("retry-after"), "1");
    // It may yet end without a record.
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("otherwise the purchase is tried anew"),
        "{detail}"
    );
    shop.broker.release();
    let first = first.await.unwrap();
    let last = buy(&shop).await;
    assert!(is_replayed(&last));
    assert_eq!(last.body, first.body);
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_client_that_hung_up_finds_the_answer_when_it_comes_back() {
    let shop = Shop::open(&[]).await;
    shop.broker.set(Mode::Hold);
    let mut client = TcpStream::connect(shop.addr).await.unwrap();
    let body = body("john", "user_1");
    let request = format!(
        "POST /buy HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\n\
         idempotency-key: key-1\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write_all(request.as_bytes()).await.unwrap();
    shop.until_held(1).await;
    client.shutdown().await.unwrap();
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert!(
        heard.is_empty(),
        "the service dropped the request unanswered"
    );
    buy(&shop).await.assert_problem(409, "conflict");
    shop.broker.release();
    let answer = buy(&shop).await;
    assert_eq!(answer.status, 201);
    assert!(is_replayed(&answer));
    assert_eq!(shop.broker.records().len(), 1);
    shop.close().await.unwrap();
}

#[tokio::test]
async fn a_replay_needs_neither_credit_nor_broker() {
    let shop = Shop::open(&[
        ("INTAKE_MAX_PURCHASES", "1"),
        ("INTAKE_MAX_WAIT", "20ms"),
        ("KAFKA_DELIVERY_TIMEOUT", "1s"),
    ])
    .await;
    let first = buy(&shop).await;
    shop.broker.set(Mode::Hold);
    let waiting = shop.start_buying("user_9");
    shop.until_held(1).await;
    shop.buy("user_8").await.assert_problem(503, "overloaded");
    let again = buy(&shop).await;
    assert!(is_replayed(&again));
    assert_eq!(again.body, first.body);
    shop.broker.release();
    assert_eq!(waiting.await.unwrap().status, 201);

    shop.broker.away(true);
    shop.broker
        .report(BrokerReport::Down("all brokers".to_owned()));
    shop.until("purchases are refused at once", || async {
        let answer = shop.buy("user_8").await;
        answer.status == 503 && answer.json()["type"] == "/problems/kafka-unavailable"
    })
    .await;
    assert_eq!(buy(&shop).await.body, first.body);
    shop.close().await.unwrap();
}

#[tokio::test]
async fn an_unknown_outcome_releases_the_key_and_the_retry_writes_the_same_again() {
    let shop = Shop::open(&[]).await;
    shop.broker.set(Mode::Lose);
    let lost = buy(&shop).await.assert_problem(503, "outcome-unknown");
    // Its content is still known.
    shop.buy_with(body("johnny", "user_1"), &[KEY])
        .await
        .assert_problem(422, "idempotency-key-reused");
    // This one is certainly not stored, and the first may be all the same.
    shop.broker.set(Mode::Refuse);
    let again = buy(&shop).await.assert_problem(503, "outcome-unknown");
    assert_eq!(again["purchase_id"], lost["purchase_id"]);
    shop.broker.set(Mode::Confirm);
    let answer = buy(&shop).await;
    assert_eq!(answer.status, 201);
    assert!(!is_replayed(&answer));
    assert_eq!(answer.json()["purchase_id"], lost["purchase_id"]);
    let (lost, stored) = (shop.broker.lost(), shop.broker.records());
    assert_eq!((lost.len(), stored.len()), (1, 1));
    // Whichever of the two the history shows, it is what the answer said.
    assert_eq!(lost[0].value, stored[0].value);
    assert_eq!(
        lost[0].headers["purchase-id"],
        stored[0].headers["purchase-id"]
    );
    shop.close().await.unwrap();
}

#[tokio::test]
async fn after_an_unknown_outcome_no_refusal_says_that_nothing_is_stored() {
    let shop = Shop::open(&[
        ("INTAKE_MAX_PURCHASES", "1"),
        ("INTAKE_MAX_WAIT", "20ms"),
        ("KAFKA_DELIVERY_TIMEOUT", "1s"),
    ])
    .await;
    shop.broker.set(Mode::Lose);
    let first = buy(&shop).await.assert_problem(503, "outcome-unknown");
    let still_unknown = |answer: Answer| {
        let problem = answer.assert_problem(503, "outcome-unknown");
        assert_eq!(problem["purchase_id"], first["purchase_id"]);
        assert_eq!(problem["retryable"], true);
        assert_eq!(answer.header("retry-after"), "1");
    };
    // There is no credit.
    shop.broker.set(Mode::Hold);
    let other = shop.start_buying("user_9");
    shop.until_held(1).await;
    still_unknown(buy(&shop).await);
    let refused = shop.buy_with(body("john", "user_8"), &[KEY]).await;
    of_this_attempt(&refused.assert_problem(503, "overloaded"));
    shop.broker.release();
    assert_eq!(other.await.unwrap().status, 201);
    // There is no broker.
    shop.broker.away(true);
    let down = BrokerReport::Down("all brokers".to_owned());
    shop.broker.report(down);
    shop.until("purchases are refused at once", || async {
        shop.buy("user_8").await.status == 503
    })
    .await;
    still_unknown(buy(&shop).await);
    let refused = shop.buy_with(body("john", "user_8"), &[KEY]).await;
    of_this_attempt(&refused.assert_problem(503, "kafka-unavailable"));
    shop.close().await.unwrap();
}

/// Another replica may have tried before, so nothing is said about the purchase.
fn of_this_attempt(problem: &Value) {
    let detail = problem["detail"].as_str().unwrap();
    let own = detail.contains("This attempt stored nothing.") || detail.contains("not begun");
    assert!(own && detail.contains("An earlier one"), "{detail}");
}

#[tokio::test]
async fn what_was_certainly_not_stored_leaves_the_key_free() {
    let shop = Shop::open(&[]).await;
    shop.broker.set(Mode::Refuse);
    of_this_attempt(&buy(&shop).await.assert_problem(503, "kafka-unavailable"));
    shop.broker.set(Mode::Confirm);
    let changed = shop.buy_with(body("johnny", "user_1"), &[KEY]).await;
    assert_eq!(changed.status, 201, "nothing was bought under it");
    shop.close().await.unwrap();
}

#[tokio::test]
async fn what_is_forgotten_is_bought_under_the_same_id_again() {
    let shop = Shop::open(&[("IDEMPOTENCY_MAX_KEYS", "1")]).await;
    let first = buy(&shop).await.json();
    shop.buy_with(body("john", "user_2"), &[KEY]).await;
    let again = buy(&shop).await;
    assert!(!is_replayed(&again));
    let again = again.json();
    for same in ["/purchase_id", "/purchase/item_name", "/purchase/price"] {
        assert_eq!(again.pointer(same), first.pointer(same));
    }
    shop.close().await.unwrap();
}

#[tokio::test]
async fn what_is_no_key_is_refused_and_says_why() {
    let shop = Shop::open(&[]).await;
    let (long, longest) = ("k".repeat(65), "k".repeat(64));
    for (key, why) in [
        ("", "empty"),
        ("\"\"", "empty"),
        ("a b", "A-Z"),
        ("\"a", "A-Z"),
        ("a\"", "A-Z"),
        ("a, b", "A-Z"),
        ("\"a\"; x=1", "A-Z"),
        (&long, "64"),
    ] {
        let answer = shop
            .buy_with(body("john", "user_1"), &[("idempotency-key", key)])
            .await;
        let problem = answer.assert_problem(400, "malformed");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("Idempotency-Key") && detail.contains(why),
            "{key}: {detail}"
        );
        assert_eq!(problem["retryable"], false);
    }
    let mut unreadable = shop.buy_request(body("john", "user_1"), &[]);
    let bytes = HeaderValue::from_bytes(b"schl\xfcssel").unwrap();
    unreadable.headers_mut().insert("idempotency-key", bytes);
    shop.send(unreadable).await.assert_problem(400, "malformed");
    let two = [("idempotency-key", "one"), ("idempotency-key", "two")];
    let two = shop.buy_with(body("john", "user_1"), &two).await;
    let problem = two.assert_problem(400, "malformed");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("more than one"), "{detail}");
    let longest = shop
        .buy_with(body("john", "user_1"), &[("idempotency-key", &longest)])
        .await;
    assert_eq!(longest.status, 201);
    assert_eq!(shop.broker.records().len(), 1);
    shop.close().await.unwrap();
}

#[tokio::test]
async fn an_answer_without_an_offset_is_replayed_without_one() {
    let shop = Shop::open(&[]).await;
    shop.broker.set(Mode::Resent);
    let first = buy(&shop).await;
    assert_eq!(first.json()["kafka_offset"], Value::Null);
    assert_eq!(buy(&shop).await.body, first.body);
    shop.close().await.unwrap();
}
