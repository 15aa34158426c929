//! What is for sale: from a file, and from another one without a restart.

use serde_json::{Value, json};

use super::memory_log::Mode;
use super::shop::Shop;

/// A file of this test's own.
struct File(tempfile::NamedTempFile);

impl File {
    fn new(catalog: Value) -> Self {
        let file = Self(tempfile::NamedTempFile::new().unwrap());
        file.write(&catalog.to_string());
        file
    }

    /// Replaced as mounted configuration is: by another file in its place.
    fn write(&self, text: &str) {
        let next = self.0.path().with_extension("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(&next, self.0.path()).unwrap();
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }
}

fn only(name: &str) -> Value {
    json!([{"name": name, "price": 0.05}])
}

async fn tag(shop: &Shop) -> String {
    shop.get("/items").await.header("etag").to_owned()
}

#[tokio::test]
async fn a_catalog_file_replaces_the_built_in_one() {
    let file = File::new(only("Only This"));
    let shop = Shop::open(&[("CATALOG_FILE", file.path())]).await;
    let purchase = shop.buy("user_1").await.json()["purchase"].clone();
    assert_eq!(
        (&purchase["item_name"], &purchase["price"]),
        (&json!("Only This"), &json!(0.05))
    );
    assert_eq!(shop.get("/items").await.json(), only("Only This"));
    shop.close().await.unwrap();
}

#[tokio::test]
async fn another_catalog_is_taken_over_and_a_bad_one_is_not() {
    let file = File::new(only("Before"));
    let shop = Shop::open(&[("CATALOG_FILE", file.path())]).await;
    let before = tag(&shop).await;
    for bad in ["[]", "nonsense", r#"[{"name": "Worse", "price": 0}]"#] {
        file.write(bad);
        shop.hangup.tell();
        // Read in their order: the good one is last.
        file.write(bad);
    }
    file.write(&only("After").to_string());
    shop.hangup.tell();
    shop.until("the new catalog is shown", || async {
        tag(&shop).await != before
    })
    .await;
    assert_eq!(shop.get("/items").await.json(), only("After"));
    assert_eq!(
        shop.buy("user_1").await.json()["purchase"]["item_name"],
        "After"
    );
    shop.close().await.unwrap();
}

#[tokio::test]
async fn what_a_lost_try_chose_is_bought_from_the_new_catalog_too() {
    const KEY: &[(&str, &str)] = &[("idempotency-key", "key-1")];
    const BODY: &str = r#"{"username": "john", "user_id": "user_1"}"#;
    let file = File::new(only("Before"));
    let shop = Shop::open(&[("CATALOG_FILE", file.path())]).await;
    shop.broker.set(Mode::Lose);
    shop.buy_with(BODY, KEY)
        .await
        .assert_problem(503, "outcome-unknown");
    file.write(&only("After").to_string());
    shop.hangup.tell();
    shop.until("the new catalog is shown", || async {
        shop.get("/items").await.json() == only("After")
    })
    .await;
    shop.broker.set(Mode::Confirm);
    // The first record may be in the log: the answer must be true of both.
    let answer = shop.buy_with(BODY, KEY).await.json();
    assert_eq!(answer["purchase"]["item_name"], "Before");
    assert_eq!(shop.broker.lost()[0].value, shop.broker.records()[0].value);
    assert_eq!(
        shop.buy("user_1").await.json()["purchase"]["item_name"],
        "After"
    );
    shop.close().await.unwrap();
}

#[tokio::test]
async fn without_a_file_there_is_nothing_to_read_again_and_the_drain_is_not_held_up() {
    let shop = Shop::open(&[]).await;
    let before = tag(&shop).await;
    shop.hangup.tell();
    assert_eq!(shop.buy("user_1").await.status, 201);
    assert_eq!(tag(&shop).await, before);
    shop.close().await.unwrap();
}
