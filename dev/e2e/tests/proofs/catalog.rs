//! The catalog is exchanged in the running service: SIGHUP with a good file, and with a bad one.

use std::path::Path;
use std::time::Duration;

use devstack::process::Signal;
use e2e::ground::Ground;
use e2e::service::Service;
use e2e::shop::Shop;
use e2e::{http, until};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(10);

fn write(path: &Path, text: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, text).expect("the proof's directory takes files");
    std::fs::rename(&next, path).expect("a file can be replaced");
}

fn only(name: &str) -> Value {
    json!([{ "name": name, "price": 12.5, "weight": 3 }])
}

async fn bought(producer: &Service) -> Value {
    let wish = json!({ "username": "Ann", "user_id": "ann" });
    let answer = http::post(producer.http(), "/buy", &wish)
        .await
        .expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["purchase"]["item_name"].clone()
}

async fn reloads(producer: &Service, outcome: &str) -> f64 {
    let label = format!("outcome=\"{outcome}\"");
    producer
        .metric("purchases_catalog_reloads_total", &[&label])
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_exchanges_the_catalog_and_a_bad_file_changes_nothing() {
    let shop = Shop::on(Ground::shared().await).await;
    let file = shop
        .ground
        .dir()
        .join(format!("catalog-{}.json", shop.name));
    write(&file, &only("Before").to_string());
    let plan = shop
        .producer()
        .env("CATALOG_FILE", file.display().to_string());
    let producer = plan.ready().await;
    assert_eq!(bought(&producer).await, "Before");
    let before = producer.get("/items").await;
    assert_eq!(before.json(), json!([{ "name": "Before", "price": 12.5 }]));

    write(
        &file,
        r#"[{"name": "Worse", "price": 0}, {"name": "", "price": 1}]"#,
    );
    producer.signal(Signal::Hup);
    until("the bad file is refused", PATIENCE, async || {
        (reloads(&producer, "kept").await == 1.0).then_some(())
    })
    .await;
    assert_eq!(
        producer.get("/items").await.header("etag"),
        before.header("etag")
    );
    assert_eq!(bought(&producer).await, "Before");
    let log = producer.process().log_lines().read().join("\n");
    for said in [
        &file.display().to_string(),
        "/0/price is not more than 0; /1/name is empty",
    ] {
        assert!(log.contains(said), "{said} in {log}");
    }

    write(&file, &only("After").to_string());
    producer.signal(Signal::Hup);
    until("the good file is taken", PATIENCE, async || {
        (reloads(&producer, "replaced").await == 1.0).then_some(())
    })
    .await;
    let after = producer.get("/items").await;
    assert_eq!(after.json(), json!([{ "name": "After", "price": 12.5 }]));
    assert_ne!(after.header("etag"), before.header("etag"));
    assert_eq!(bought(&producer).await, "After");
    producer.drains(PATIENCE).await;
}
