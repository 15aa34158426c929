//! What the database refuses reaches the dead letters as it stood in the log, and comes back from
//! there, however often, as one purchase.

use std::collections::HashSet;
use std::time::Duration;

use e2e::check;
use e2e::ground::Ground;
use e2e::invariants::Invariants;
use e2e::records::{bytes, good_for};
use e2e::shop::Shop;
use e2e::topic::NewRecord;
use purchases::PurchaseId;
use serde_json::Value;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a command to its end; tells its exit code and the lines it printed.
async fn run(shop: &Shop, arguments: &[&str]) -> (i32, Vec<String>) {
    let service = shop.command(arguments).start();
    let code = service.exit_code(PATIENCE).await;
    (code, service.process().log_lines().read())
}

pub(crate) async fn json(shop: &Shop, arguments: &[&str]) -> Vec<Value> {
    let (code, lines) = run(shop, arguments).await;
    assert_eq!(code, 0, "{arguments:?}: {lines:#?}");
    let objects = lines.iter().filter(|line| line.starts_with('{'));
    objects
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_database_refuses_is_lettered_whole_and_comes_back_as_one_purchase() {
    let shop = Shop::on(Ground::shared().await).await;
    let watch = Invariants::watch(&shop).await;
    // Somebody else's index: a duplicate on it is no purchase that is known already.
    shop.documents.make_unique("username").await;
    let first = good_for(0, "u1");
    let second = NewRecord {
        key: None,
        // Not as we would write it: what is lettered is not made again of what was understood.
        value: bytes(
            r#" {"timestamp": "2026-01-31T19:00:00.123+01:00", "price": 1e2, "more": [1, {}],
                "item_name": "Pen", "user_id": "u2", "username": " Ann "} "#,
        ),
        headers: vec![
            ("trace".to_owned(), bytes("t-1")),
            ("empty".to_owned(), None),
            ("trace".to_owned(), bytes("t-2")),
        ],
        ..good_for(0, "u2")
    };
    let never = NewRecord {
        value: bytes("\u{1b}[2Jnot JSON"),
        ..good_for(0, "u3")
    };
    let mut records = vec![first, second.clone(), never];
    records.extend((0..5).map(|_| {
        NewRecord {
            value: good_for(0, "u1")
                .value
                .map(|value| String::from_utf8_lossy(&value).replace("Ann", "Bob").into()),
            ..good_for(1, "u1")
        }
    }));
    let written = shop.witness.write(records).await;
    let consumer = shop.consumer().ready().await;
    shop.settles(PATIENCE).await;
    let documents = shop.documents.all().await;
    assert_eq!(documents.len(), 2, "one Ann and one Bob: {documents:#?}");

    let letters = shop.witness.records_of(&shop.dead_letters()).await;
    assert_eq!(letters.len(), 6, "{letters:#?}");
    let at = written[1].1.to_string();
    let of_second = |letter: &&e2e::topic::Record| {
        letter.header("dlq-partition") == Some("0") && letter.header("dlq-offset") == Some(&at)
    };
    let letter = letters.iter().find(of_second).expect("its letter");
    assert_eq!((&letter.key, &letter.value), (&second.key, &second.value));
    assert_eq!(letter.headers[..3], second.headers[..]);
    let reason = letter.header("dlq-reason").unwrap_or_default();
    assert!(
        reason.contains("11000") && reason.contains("one_username"),
        "{reason}"
    );

    // As an operator sees it.
    let listed = json(&shop, &["dlq", "list", "--json"]).await;
    assert_eq!(listed.len(), 6, "{listed:#?}");
    let of_second =
        |one: &&Value| one["origin"]["partition"] == 0 && one["origin"]["offset"] == written[1].1;
    let offset = listed.iter().find(of_second).expect("it is listed")["offset"].clone();
    let name = format!("0/{offset}");
    let shown = &json(&shop, &["dlq", "show", &name, "--json"]).await[0];
    assert_eq!(
        (&shown["key"], &shown["state"]),
        (&Value::Null, &"open".into())
    );
    let value = second.value.as_deref().map(String::from_utf8_lossy);
    assert_eq!(shown["value"].as_str(), value.as_deref());
    let (code, text) = run(&shop, &["dlq", "list"]).await;
    let printed = text.join("\n");
    assert!(code == 0 && !printed.contains('\u{1b}'), "{printed}");
    let (code, said) = run(&shop, &["dlq", "show", "0/999"]).await;
    assert_eq!(code, 69, "{said:?}");

    // The reason is gone; the letter goes back, at first in words only.
    shop.documents.make_common("username").await;
    json(&shop, &["dlq", "replay", &name, "--dry-run", "--json"]).await;
    assert_eq!(shop.witness.ends().await[&0], 3);
    for _ in 0..2 {
        let done = json(&shop, &["dlq", "replay", &name, "--json"]).await;
        assert_eq!(done[0]["done"], "sent back");
    }
    shop.settles(PATIENCE).await;
    let id = PurchaseId::foreign(&shop.witness.topic, 0, written[1].1).to_string();
    let documents = shop.documents.all().await;
    let found: Vec<_> = documents.iter().filter(|one| one.id == id).collect();
    assert_eq!((documents.len(), found.len()), (3, 1), "{documents:#?}");
    assert_eq!(found[0].event.price, 100.0);
    let back = &shop.witness.records().await;
    let back = back.iter().filter(|record| record.partition == 0).nth(3);
    let back = back.expect("it went back");
    assert_eq!((&back.key, &back.value), (&second.key, &second.value));
    assert_eq!(back.headers[..3], second.headers[..]);
    assert_eq!(
        back.header("replay-of"),
        Some(&*format!("{}/0/{at}", shop.witness.topic))
    );

    // The rest: the duplicates of Bob go back in one go, the poison is put aside.
    json(&shop, &["dlq", "drop", "0/0-5", "--dry-run"]).await;
    let poison = listed
        .iter()
        .find(|one| one["origin"]["partition"] == 0 && one["origin"]["offset"] == written[2].1);
    let poison = format!("0/{}", poison.expect("it is listed")["offset"]);
    let aside = json(&shop, &["dlq", "drop", &poison, "--json"]).await;
    assert_eq!(aside[0]["origin"]["offset"], written[2].1, "{aside:#?}");
    let back = json(&shop, &["dlq", "replay", "--all", "--json"]).await;
    assert_eq!(back.len(), 4, "{back:#?}");
    shop.settles(PATIENCE).await;
    assert_eq!(json(&shop, &["dlq", "list", "--json"]).await.len(), 0);
    let all = json(&shop, &["dlq", "list", "--all", "--json"]).await;
    let states = |state: &str| all.iter().filter(|one| one["state"] == state).count();
    assert_eq!((states("replayed"), states("dropped")), (5, 1), "{all:#?}");

    let documents = watch.hold(&consumer).await;
    let expected: Vec<String> = written
        .iter()
        .filter(|place| **place != written[2])
        .map(|(partition, offset)| {
            PurchaseId::foreign(&shop.witness.topic, *partition, *offset).to_string()
        })
        .collect();
    let expected: HashSet<&str> = expected.iter().map(String::as_str).collect();
    check::documents_are(&expected, &documents);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dlq_command_explains_itself_and_refuses_what_it_does_not_understand() {
    let shop = Shop::without_topics(Ground::shared().await).await;
    let (code, text) = run(&shop, &["dlq", "--help"]).await;
    assert!(
        code == 0 && text.join("\n").contains("Usage: consumer-svc dlq"),
        "{text:?}"
    );
    let (code, text) = run(&shop, &["--help"]).await;
    assert!(code == 0 && text.join("\n").contains("  dlq "), "{text:?}");
    for line in [&["dlq"][..], &["dlq", "replay"], &["dlq", "drop", "all"]] {
        let (code, text) = run(&shop, line).await;
        assert!(
            code == 64 && text.join("\n").contains("WHICH"),
            "{line:?}: {text:?}"
        );
    }
    let (code, text) = run(&shop, &["dlq", "list"]).await;
    let text = text.join("\n");
    assert!(code == 69 && text.contains("KAFKA_DLQ_TOPIC"), "{text}");
}
