//! 20,000 purchases from 64 connections: every answer true, every purchase stored once.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use devstack::process::Signal;
use e2e::answer::Accepted;
use e2e::check;
use e2e::ground::Ground;
use e2e::invariants::Invariants;
use e2e::service::Service;
use e2e::shop::Shop;

const PURCHASES: usize = 20_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_purchases_are_answered_truly_and_stored_once() {
    let shop = Shop::on(Ground::shared().await).await;
    let watch = Invariants::watch(&shop).await;
    let (producer, consumer) = shop.open().await;
    let attempts = shop
        .load(PURCHASES)
        .start()
        .finish(Duration::from_secs(120))
        .await;
    let accepted = check::all_accepted(&attempts);
    assert_eq!(accepted.len(), PURCHASES);
    shop.settles(Duration::from_secs(60)).await;

    let (records, documents) = tokio::join!(shop.witness.records(), watch.hold(&consumer));
    assert_eq!(records.len(), PURCHASES, "records in the topic");
    check::answers_are_in_the_topic(&accepted, &records);
    let ids: HashSet<&str> = accepted
        .iter()
        .map(|answer| answer.purchase_id.as_str())
        .collect();
    assert_eq!(ids.len(), PURCHASES, "different ids");
    check::documents_are(&ids, &documents);
    check::documents_come_from_the_topic(&documents, &shop.witness.topic, &records);
    the_history_is_what_was_answered(&producer, &accepted).await;

    // As Ctrl-C in a terminal does it.
    let said = producer
        .drains_on(Signal::Int, Duration::from_secs(25))
        .await;
    assert!(
        said.iter().any(|line| line.contains("drained")),
        "{said:#?}"
    );
    let said = consumer
        .drains_on(Signal::Int, Duration::from_secs(30))
        .await;
    assert!(
        said.iter().any(|line| line.contains("drained")),
        "{said:#?}"
    );
}

/// A customer's history, asked where customers ask: each purchase once, the sums exact to the cent.
async fn the_history_is_what_was_answered(producer: &Service, accepted: &[&Accepted]) {
    let user = &accepted[0].purchase.user_id;
    let bought: HashMap<&str, &Accepted> = accepted
        .iter()
        .filter(|answer| answer.purchase.user_id == *user)
        .map(|answer| (answer.purchase_id.as_str(), *answer))
        .collect();
    let cents = |price: f64| (price * 100.0).round() as i64;
    let spent: i64 = bought
        .values()
        .map(|answer| cents(answer.purchase.price))
        .sum();

    let answer = producer.get(&format!("/getAllUserBuys/{user}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let history = answer.json();
    assert_eq!(history["total_purchases"], bought.len());
    assert_eq!(told_cents(&answer.text(), "total_spent"), spent);
    let average = told_cents(&answer.text(), "average_price");
    let count = i64::try_from(bought.len()).expect("a count fits");
    assert!(
        (average * count - spent).abs() <= count / 2,
        "{average} is not the average"
    );
    let page = history["purchases"].as_array().expect("a page");
    assert_eq!(page.len(), bought.len(), "one page holds 100");
    for shown in page {
        let id = shown["_id"].as_str().expect("an id");
        let answer = bought
            .get(id)
            .unwrap_or_else(|| panic!("{id} was never answered"));
        assert_eq!(shown["item_name"], answer.purchase.item_name.as_str());
        assert_eq!(shown["price"], answer.purchase.price);
        assert_eq!(shown["timestamp"], answer.purchase.timestamp.as_str());
    }
}

/// A sum as it is written in the answer, read without a float in between.
fn told_cents(text: &str, field: &str) -> i64 {
    let (_, rest) = text
        .split_once(&format!("\"{field}\":"))
        .unwrap_or_else(|| panic!("no {field}"));
    let end = rest.find([',', '}']).expect("the number ends");
    let cents = purchases::Cents::parse_decimal(&rest[..end]);
    cents
        .unwrap_or_else(|error| panic!("{field} {}: {error}", &rest[..end]))
        .get()
}
