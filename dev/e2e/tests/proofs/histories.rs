//! Histories, asked of the real database: ranges and pages are exact, and who has one is not sent it again.

use std::time::Duration;

use ::http::Request;
use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, doc};
use e2e::ground::Ground;
use e2e::http::{Answer, Connection};
use e2e::service::Service;
use e2e::shop::Shop;
use http_body_util::Full;
use serde_json::Value;

/// Milliseconds of 2026-01-01T00:00:00Z.
pub(crate) const BEGIN: i64 = 1_767_225_600_000;
/// Milliseconds.
pub(crate) const MINUTE: i64 = 60_000;
/// For a drain.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A document as consumer-svc writes it; `number` tells it apart within its user.
pub(crate) fn purchase(user: &str, number: u32, at: i64) -> Document {
    let mut id = [0; 12];
    for (place, byte) in id.iter_mut().zip(user.bytes().rev().cycle().take(8)) {
        *place = byte;
    }
    id[8..].copy_from_slice(&number.to_be_bytes());
    doc! {
        "_id": ObjectId::from_bytes(id),
        "username": format!("{user} at {number}"),
        "user_id": user,
        "item_name": format!("item {}", number % 3),
        "price": 0.1,
        "timestamp": DateTime::from_millis(at),
        "created_at": DateTime::from_millis(at),
        "origin": { "topic": "t", "partition": 0, "offset": i64::from(number) },
    }
}

/// Every page from this one on: the numbers of the purchases, and each page's totals.
async fn walk(service: &Service, path: &str, query: &str) -> (Vec<String>, Vec<(u64, String)>) {
    let (mut names, mut totals, mut next) = (Vec::new(), Vec::new(), query.to_owned());
    loop {
        let answer = service.get(&format!("{path}{next}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let history = answer.json();
        for purchase in history["purchases"].as_array().expect("a page") {
            names.push(text(&purchase["username"]));
        }
        let count = history["total_purchases"].as_u64().expect("a count");
        totals.push((count, history["total_spent"].to_string()));
        let link = answer.header("link").to_owned();
        match link.split_once('>') {
            Some((target, _)) => next = target[1..].to_owned(),
            None => {
                assert_eq!(history["next_cursor"], Value::Null);
                return (names, totals);
            }
        }
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_of_the_largest_purchases_add_up_to_the_cent() {
    let shop = Shop::on(Ground::shared().await).await;
    let (producer, consumer) = shop.open().await;
    let user = shop.name.as_str();
    let paths = [(&consumer, "/purchases"), (&producer, "/getAllUserBuys")];
    let yacht = |number: u32| {
        let mut yacht = purchase(user, number, BEGIN);
        yacht.extend(doc! { "item_name": "Yacht", "price": 9_999_999_999_999.99 });
        yacht
    };
    let nine: Vec<_> = (0..9).map(yacht).collect();
    for (more, total) in [
        (nine, "89999999999999.91"),
        (vec![yacht(9)], "99999999999999.9"),
    ] {
        shop.documents.add(&more).await;
        for (service, path) in paths {
            let answer = service.get(&format!("{path}/{user}")).await;
            let told = format!("\"total_spent\":{total},");
            assert!(answer.text().contains(&told), "{}", answer.text());
        }
    }
    consumer.drains(DEADLINE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_is_walked_to_its_end_and_its_totals_are_exact() {
    let shop = Shop::on(Ground::shared().await).await;
    let (producer, consumer) = shop.open().await;
    // One a minute for ten hours, and three in the same millisecond at the edge of a page.
    let user = shop.name.as_str();
    let at = |number: u32| match number {
        100..103 => BEGIN + 100 * MINUTE,
        number => BEGIN + i64::from(number) * MINUTE,
    };
    let documents: Vec<_> = (0..600)
        .map(|number| purchase(user, number, at(number)))
        .collect();
    shop.documents.add(&documents).await;
    shop.documents.add(&[purchase("another", 1, BEGIN)]).await;
    let newest_first = |range: std::ops::Range<u32>| {
        let names = range.rev().map(|number| format!("{user} at {number}"));
        names.collect::<Vec<_>>()
    };

    // 100 to 102 share a moment: since is in, and so are all three.
    let since = "2026-01-01T02:40:00%2B01:00&until=2026-01-01T05:00:00Z";
    let query = format!("?limit=99&since={since}");
    for (service, path) in [(&consumer, "/purchases"), (&producer, "/getAllUserBuys")] {
        let path = format!("{path}/{user}");
        let (names, totals) = walk(service, &path, &query).await;
        assert_eq!(names, newest_first(100..300));
        // Ten cents, 200 times: a sum of floats would be 20.000000000000018.
        assert_eq!(totals, vec![(200, "20.0".to_owned()); 3]);
        let (names, totals) = walk(service, &path, "?limit=250").await;
        assert_eq!(names, newest_first(0..600));
        assert_eq!(totals, vec![(600, "60.0".to_owned()); 3]);
        for (query, range) in [
            ("?limit=1000&since=2026-01-01T09:00:00Z", 540..600),
            ("?limit=1000&until=2026-01-01T01:00:00Z", 0..60),
            // Half-open: what begins where another ends shares nothing with it.
            ("?limit=1000&until=2026-01-01T01:40:00Z", 0..100),
        ] {
            assert_eq!(
                walk(service, &path, query).await.0,
                newest_first(range),
                "{query}"
            );
        }
        let empty = service
            .get(&format!("{path}?since=2027-01-01T00:00:00Z"))
            .await;
        let empty = (empty.status, empty.json());
        assert_eq!(
            (empty.0, &empty.1["total_purchases"]),
            (200, &0.into()),
            "{}",
            empty.1
        );
        assert_eq!(empty.1["username"], newest_first(599..600)[0]);
        let wrong = service
            .get(&format!("{path}?since=now&until=1&limit=0&cursor=x"))
            .await;
        assert_eq!(wrong.status, 422);
        let wrong = wrong.json();
        let pointers = wrong["errors"].as_array().expect("errors").iter();
        let pointers: Vec<_> = pointers.map(|error| text(&error["pointer"])).collect();
        assert_eq!(pointers, ["/limit", "/cursor", "/since", "/until"]);
        who_has_it_is_not_sent_it_again(service, &format!("{path}?limit=7")).await;
        let unknown = service
            .get("/purchases/nobody?since=2026-01-01T00:00:00Z")
            .await;
        assert_eq!(unknown.status, 404);
    }
    producer.drains(DEADLINE).await;
    consumer.drains(DEADLINE).await;
}

async fn who_has_it_is_not_sent_it_again(service: &Service, path: &str) {
    for (path, cached) in [(path, "private, no-cache"), ("/stats", "no-cache")] {
        // Statistics of another moment are others.
        let mut again = None;
        for _ in 0..5 {
            let first = service.get(path).await;
            assert_eq!((first.status, first.header("cache-control")), (200, cached));
            let tag = first.header("etag").to_owned();
            let (get, head) = (
                ask_with(service, "GET", path, &tag).await,
                ask_with(service, "HEAD", path, &tag).await,
            );
            if (get.status, head.status) == (304, 304) {
                assert_eq!((get.header("etag"), head.header("etag")), (&*tag, &*tag));
                again = Some(get);
                break;
            }
        }
        let again = again.unwrap_or_else(|| panic!("{path} is always sent again"));
        assert!(again.body.is_empty() && again.header("content-type").is_empty());
        assert_eq!(
            ask_with(service, "GET", path, "\"other\"").await.status,
            200
        );
    }
}

async fn ask_with(service: &Service, method: &str, path: &str, tag: &str) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("if-none-match", tag);
    let request = request.body(Full::default()).expect("a request");
    let mut connection = Connection::open(service.http()).await.expect("it listens");
    connection.send(request).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_stay_as_they_are_while_purchases_arrive_between_them() {
    let shop = Shop::on(Ground::shared().await).await;
    let consumer = shop.consumer().ready().await;
    let user = shop.name.as_str();
    // Seven share each moment, so that every page ends within one.
    let at = |number: u32| BEGIN + i64::from(number / 7) * MINUTE;
    let before: Vec<_> = (1_000..1_100)
        .map(|number| purchase(user, number, at(number)))
        .collect();
    shop.documents.add(&before).await;
    let (mut seen, mut arrived) = (Vec::new(), 1_100);
    let mut next = "?limit=9".to_owned();
    let path = format!("/purchases/{user}");
    loop {
        let answer = consumer.get(&format!("{path}{next}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let history = answer.json();
        assert_eq!(
            history["total_purchases"],
            arrived - 1_000,
            "totals are of now"
        );
        let page = history["purchases"].as_array().expect("a page");
        seen.extend(page.iter().map(|purchase| text(&purchase["username"])));
        let Some((target, _)) = answer.header("link").split_once('>') else {
            break;
        };
        next = target[1..].to_owned();
        // Newer ones, and one of the moment of the page's beginning that sorts before what was read.
        let newer = (arrived..arrived + 5).map(|number| purchase(user, number, at(number)));
        let mut more: Vec<_> = newer.collect();
        let first = page[0]["timestamp"].as_str().expect("a moment").to_owned();
        let moment = DateTime::parse_rfc3339_str(first).expect("a moment");
        more.push(purchase(user, arrived + 5, moment.timestamp_millis()));
        shop.documents.add(&more).await;
        arrived += 6;
    }
    let all: Vec<String> = (1_000..1_100)
        .rev()
        .map(|number| format!("{user} at {number}"))
        .collect();
    assert_eq!(
        seen, all,
        "nothing twice, nothing passed over, nothing new in between"
    );
    consumer.drains(DEADLINE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_is_no_purchase_is_named_and_its_history_neither_shortened_nor_put_off() {
    let shop = Shop::on(Ground::shared().await).await;
    // Before there is a validator; another writer's.
    let odd = |user: &str, field: &str, value: Option<Bson>| {
        let mut document = purchase(user, 1, BEGIN);
        document.remove(field);
        document.extend(value.map(|value| (field.to_owned(), value)));
        document
    };
    let users = ["text", "priceless", "nameless", "undated"];
    let documents = vec![
        odd("text", "price", Some("9.99".into())),
        odd("priceless", "price", None),
        odd("nameless", "item_name", Some(5.into())),
        odd("undated", "timestamp", Some("yesterday".into())),
        purchase("good", 1, BEGIN),
    ];
    let sound = users.map(|user| purchase(user, 2, BEGIN));
    shop.documents
        .add(&[documents, sound.to_vec()].concat())
        .await;
    let consumer = shop.consumer().ready().await;
    for user in users {
        // The first page of one is sound, its totals are not.
        let answer = consumer.get(&format!("/purchases/{user}?limit=1")).await;
        let problem = answer.json();
        let told = (answer.status, &problem["retryable"]);
        assert_eq!(told, (500, &Value::Bool(false)), "{user}: {problem}");
        assert!(answer.header("retry-after").is_empty());
        let id = purchase(user, 1, BEGIN)
            .get_object_id("_id")
            .expect("an id")
            .to_hex();
        assert!(!problem.to_string().contains(&id), "{problem}");
        let log = shop.log("consumer");
        let named = |line: &&str| line.contains("ERROR") && line.contains(&id);
        assert!(log.lines().any(|line| named(&line)), "{user}: {log}");
    }
    assert_eq!(consumer.get("/purchases/good").await.status, 200);
    consumer.drains(DEADLINE).await;
}
