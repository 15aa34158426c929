//! Stopping: what was accepted is answered, nothing else is begun.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::log_lines::LogLines;
use super::memory_log::Mode;
use super::shop::Shop;

#[tokio::test]
async fn accepted_purchases_are_answered_before_the_end() {
    let shop = Shop::open(&[]).await;
    shop.broker.set(Mode::Hold);
    let waiting: Vec<_> = (0..20)
        .map(|n| shop.start_buying(&format!("user_{n}")))
        .collect();
    shop.until_held(20).await;
    shop.shutdown.cancel();
    shop.until("it is not ready", || async {
        shop.get_admin("/readyz").await.status == 503
    })
    .await;
    shop.until("the port is closed", || async {
        TcpStream::connect(shop.addr).await.is_err()
    })
    .await;
    assert!(waiting.iter().all(|answer| !answer.is_finished()));
    shop.broker.release();
    for answer in waiting {
        let answer = answer.await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.header("connection")),
            (201, "close")
        );
    }
    let records = shop.broker.clone();
    shop.ended().await.unwrap();
    assert_eq!(records.records().len(), 20);
}

#[tokio::test]
async fn what_is_too_large_together_goes_in_smaller_requests_to_the_end() {
    let shop = Shop::open(&[]).await;
    shop.broker.set(Mode::Hold);
    let waiting: Vec<_> = (0..20).map(|_| shop.start_buying("user_1")).collect();
    shop.until("all are under way", || async {
        let tree = shop.get_admin("/actors").await.json();
        let children = tree["children"].as_array().unwrap().iter();
        let mut accounts = children.flat_map(|child| child["credits"].as_array().unwrap());
        accounts.any(|account| account["name"] == "purchases" && account["in_use"]["count"] == 20)
    })
    .await;
    // Nobody waits for an answer, so that the records alone are what keeps the service from ending.
    for customer in &waiting {
        customer.abort();
    }
    let broker = shop.broker.clone();
    let ended = tokio::spawn(shop.close());
    while !ended.is_finished() {
        broker.release_up_to(3);
        tokio::task::yield_now().await;
    }
    ended.await.unwrap().unwrap();
    assert_eq!(broker.records().len(), 20);
}

#[tokio::test]
async fn half_a_purchase_holds_no_drain_up_and_is_told_why_it_was_not_sold() {
    let shop = Shop::open(&[]).await;
    let mut client = TcpStream::connect(shop.addr).await.unwrap();
    let head = "POST /buy HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
    client.write_all(head.as_bytes()).await.unwrap();
    let began = std::time::Instant::now();
    let ended = tokio::spawn(shop.close());
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("did not arrive in time"), "{answer}");
    assert!(
        answer.contains("\"retryable\":true") && answer.contains("retry-after: 1\r\n"),
        "{answer}"
    );
    ended.await.unwrap().unwrap();
    assert!(
        began.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn an_idle_service_stops_at_once() {
    let shop = Shop::open(&[]).await;
    shop.get("/items").await;
    let began = std::time::Instant::now();
    shop.close().await.unwrap();
    assert!(
        began.elapsed() < std::time::Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn what_overruns_the_deadline_is_given_up_and_said_so() {
    let vars = [("DRAIN_TIMEOUT", "1s"), ("KAFKA_DELIVERY_TIMEOUT", "300ms")];
    let shop = Shop::open(&vars).await;
    shop.broker.set(Mode::Stuck);
    let waiting = shop.start_buying("user_1");
    shop.until_held(1).await;
    let (lines, _listening) = LogLines::listen();
    let failure = shop.close().await.unwrap_err();
    assert_eq!(failure.code(), host::exit::Code::Overran);
    assert!(failure.to_string().contains("DRAIN_TIMEOUT"), "{failure}");
    // Whoever ends the process says why; here is what else there is to say.
    assert_eq!(lines.with("DRAIN_TIMEOUT").len(), 0);
    let facts = lines.with("the drain was not whole");
    assert!(
        facts.len() == 1 && facts[0].contains("intake=") && facts[0].contains("took="),
        "{facts:?}"
    );
    assert!(
        waiting.await.is_err(),
        "its connection was cut, it got no false answer"
    );
}
