//! Answers that are made by the service itself, and its metrics.

use producer_svc::flow::BrokerReport;

use super::memory_log::MemoryBroker;
use super::shop::Shop;

#[tokio::test]
async fn the_index_names_the_service_and_its_endpoints() {
    let shop = Shop::open(&[]).await;
    let index = shop.get("/").await.json();
    assert_eq!(index["service"], "producer-svc");
    assert!(index["version"].is_string() && index["description"].is_string());
    assert!(index["endpoints"]["POST /buy"].is_string());
    shop.close().await.unwrap();
}

#[tokio::test]
async fn the_catalog_is_not_sent_again_to_whom_has_it() {
    let shop = Shop::open(&[]).await;
    let items = shop.get("/items").await;
    let list = items.json();
    assert_eq!(
        (&list[0]["name"], &list[0]["price"]),
        (&"Laptop".into(), &999.99.into())
    );
    assert!(list.as_array().unwrap().len() >= 15);

    let tag = items.header("etag");
    assert!(tag.starts_with('"'), "{tag} is strong");
    let again = shop
        .request("GET", "/items")
        .header("if-none-match", tag)
        .body(Default::default())
        .unwrap();
    let again = shop.send(again).await;
    assert_eq!(
        (
            again.status.as_u16(),
            again.body.len(),
            again.header("etag")
        ),
        (304, 0, tag)
    );
    let stale = shop
        .request("GET", "/items")
        .header("if-none-match", "\"old\"")
        .body(Default::default())
        .unwrap();
    assert_eq!(shop.send(stale).await.status, 200);
    shop.close().await.unwrap();
}

#[tokio::test]
async fn health_tells_what_can_be_reached() {
    let broker = MemoryBroker::default();
    broker.away(true);
    let shop = Shop::open_on(broker, &[]).await;
    let health = shop.get("/health").await;
    assert_eq!(health.status, 503);
    let health = health.json();
    assert_eq!(
        (&health["status"], &health["service"]),
        (&"unhealthy".into(), &"producer-svc".into())
    );
    assert_eq!(health["kafka_connected"], false);
    assert_eq!(health["customer_management_api_reachable"], false);
    assert!(health["timestamp"].as_str().unwrap().ends_with('Z'));

    shop.broker.away(false);
    shop.until("kafka is connected", || async {
        shop.get("/health").await.json()["kafka_connected"] == true
    })
    .await;
    shop.broker.away(true);
    shop.broker
        .report(BrokerReport::Down("1/1 brokers are down".to_owned()));
    shop.until("kafka is lost", || async {
        shop.get("/health").await.json()["kafka_connected"] == false
    })
    .await;
    shop.close().await.unwrap();
}

#[tokio::test]
async fn what_happens_is_counted_by_route_status_and_outcome() {
    let shop = Shop::open(&[]).await;
    shop.buy("user_1").await;
    shop.get("/purchases/user_1").await;
    let text = String::from_utf8(shop.get_admin("/metrics").await.body.to_vec()).unwrap();
    for series in [
        r#"purchases_http_requests_total{route="/buy",status="201"}"#,
        r#"purchases_http_requests_total{route="/purchases/{user_id}",status="503"}"#,
        r#"purchases_http_request_seconds_bucket{route="/buy",le="+Inf"}"#,
        r#"purchases_published_total{outcome="stored"}"#,
        "purchases_delivery_seconds_sum",
        "purchases_http_requests_pending",
        "# HELP purchases_kafka_connected",
    ] {
        assert!(text.contains(series), "{series} in {text}");
    }
    assert!(!text.contains("user_1"), "no label holds a user");
    shop.close().await.unwrap();
}

#[tokio::test]
async fn the_live_tree_is_shown_to_operators() {
    let shop = Shop::open(&[]).await;
    let tree = shop.get_admin("/actors").await.json();
    let children: Vec<_> = tree["children"]
        .as_array()
        .unwrap()
        .iter()
        .map(|child| &child["id"])
        .collect();
    assert_eq!(
        children,
        ["publish", "select", "restock", "history", "intake"]
    );
    shop.close().await.unwrap();
}
