//! Index and validator: made once, whoever starts how often, and left alone where they are others.

use std::time::Duration;

use bson::{Document, doc};
use e2e::ground::Ground;
use e2e::shop::Shop;

const DEADLINE: Duration = Duration::from_secs(30);

/// The first batch of a listing.
async fn listed(shop: &Shop, command: Document) -> Vec<Document> {
    let answer = shop.documents.command(command).await;
    let batch = answer
        .get_document("cursor")
        .and_then(|cursor| cursor.get_array("firstBatch"));
    let batch = batch.expect("a cursor").iter();
    batch
        .map(|each| each.as_document().expect("a document").clone())
        .collect()
}

async fn history_index(shop: &Shop) -> Document {
    let all = listed(shop, doc! { "listIndexes": "purchases" }).await;
    let mut named = all
        .into_iter()
        .filter(|index| index.get_str("name").is_ok_and(|name| name == "history"));
    let index = named.next().expect("it is there");
    index.get_document("key").expect("keys").clone()
}

async fn validator(shop: &Shop) -> Document {
    let command = doc! { "listCollections": 1, "filter": { "name": "purchases" } };
    let collection = listed(shop, command).await.swap_remove(0);
    let options = collection.get_document("options").expect("options");
    options
        .get_document("validator")
        .expect("a validator")
        .clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn index_and_validator_are_made_once_and_refuse_what_is_no_purchase() {
    let shop = Shop::on(Ground::shared().await).await;
    // Two at once, and one later.
    let plans = (shop.consumer(), shop.second_consumer());
    let (one, two) = tokio::join!(plans.0.ready(), plans.1.ready());
    let (index, rules) = (history_index(&shop).await, validator(&shop).await);
    let fields: Vec<_> = index.keys().map(String::as_str).collect();
    assert_eq!(
        fields,
        ["user_id", "timestamp", "_id", "item_name", "price"]
    );
    for service in [&one, &two] {
        assert_eq!(service.metric("purchases_schema_differs", &[]).await, 0.0);
    }
    one.drains(DEADLINE).await;
    let again = shop.consumer().ready().await;
    assert_eq!(
        (history_index(&shop).await, validator(&shop).await),
        (index, rules)
    );
    assert_eq!(again.metric("purchases_schema_differs", &[]).await, 0.0);

    // What the services write passes, as every other proof shows; nothing else does.
    let bad = doc! { "user_id": "u1", "username": "n", "item_name": "i", "price": "9.99" };
    let told = shop
        .documents
        .command(doc! { "insert": "purchases", "documents": [bad] })
        .await;
    let errors = told.get_array("writeErrors").expect("errors");
    let code = errors[0].as_document().expect("an error").get_i32("code");
    assert_eq!(code.ok(), Some(121), "{told}");
    again.drains(DEADLINE).await;
    two.drains(DEADLINE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_of_their_names_are_left_alone_and_loudly_told() {
    let shop = Shop::on(Ground::shared().await).await;
    let index = doc! { "name": "history", "key": { "user_id": 1 } };
    let create = doc! { "create": "purchases", "validator": { "price": { "$gte": 0 } } };
    shop.documents.command(create).await;
    let create = doc! { "createIndexes": "purchases", "indexes": [index] };
    shop.documents.command(create).await;

    let consumer = shop.consumer().ready().await;
    for part in ["part=\"index\"", "part=\"validator\""] {
        let differs = consumer.metric("purchases_schema_differs", &[part]).await;
        assert_eq!(differs, 1.0, "{part}");
    }
    assert_eq!(history_index(&shop).await, doc! { "user_id": 1 });
    assert_eq!(validator(&shop).await, doc! { "price": { "$gte": 0 } });
    let said = shop.log("consumer");
    let loud = said
        .lines()
        .filter(|line| line.contains("ERROR") && line.contains("another form"));
    assert_eq!(loud.count(), 2, "{said}");
    consumer.drains(DEADLINE).await;
}
