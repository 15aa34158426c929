//! How long an answer takes beside the answers to others: a user with 100,000 purchases slows nobody's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ::http::Request;
use e2e::ground::Ground;
use e2e::http::Connection;
use e2e::service::Service;
use e2e::shop::Shop;
use e2e::until;
use http_body_util::Full;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::histories::{BEGIN, DEADLINE, purchase, text};

/// Purchases of a user that a shop sees once in its life.
const HEAVY: u32 = 100_000;
/// `QUERY_TIMEOUT`, and what the machine may take beside it.
const ANSWER: Duration = Duration::from_secs(5);
const SLACK: Duration = Duration::from_secs(2);
/// Of one that is long, and not that long.
const MIDDLE: u32 = 10_000;
/// Who asks for a heavy history at the same time, each for another range of it, so that nothing is shared.
const PUSHERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_a_hundred_thousand_purchases_slows_nobody_elses_answer() {
    let shop = Shop::on(Ground::shared().await).await;
    let consumer = shop.consumer().ready().await;
    for (user, purchases) in [
        ("heavy", HEAVY),
        ("other", HEAVY),
        ("middle", MIDDLE),
        ("light", 20),
    ] {
        let one = |number| purchase(user, number, BEGIN + i64::from(number) * 100);
        shop.documents
            .add(&(0..purchases).map(one).collect::<Vec<_>>())
            .await;
    }
    let began = Instant::now();
    let counted = consumer.get("/purchases/heavy").await.json();
    let first = began.elapsed();
    assert_eq!(counted["total_purchases"], HEAVY);
    // Ten cents each, and not a float's error.
    assert_eq!(counted["total_spent"].to_string(), "10000.0");
    pages_do_not_add_up_again(&consumer, &counted, first).await;

    asked(&consumer, "/purchases/light", 50).await;
    asked(&consumer, "/purchases/middle", 1).await;
    let alone = [
        asked(&consumer, "/purchases/light", 200).await,
        asked(&consumer, "/purchases/middle", 9).await,
    ];
    let rush = Arc::new(Rush::default());
    let mut pushers = JoinSet::new();
    for (user, pusher) in ["heavy", "other"]
        .into_iter()
        .flat_map(|user| (1..=PUSHERS).map(move |pusher| (user, pusher)))
    {
        pushers.spawn(push(consumer.http(), user, pusher, Arc::clone(&rush)));
    }
    until("all of them push", DEADLINE, async || {
        (rush.answers.load(Ordering::Relaxed) > 0).then_some(())
    })
    .await;
    let (mut light, mut middle) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        middle.extend(asked(&consumer, "/purchases/middle", 1).await);
        light.extend(asked(&consumer, "/purchases/light", 20).await);
    }
    rush.over.store(true, Ordering::Relaxed);
    let heavies = Spread::of(pushers.join_all().await.concat());
    let [alone_light, alone_middle] = alone.map(Spread::of);
    // They share a database of a few cores with the heavy ones, and nothing else.
    for (user, alone, beside, times) in [
        ("light", alone_light, Spread::of(light), 3.0),
        ("middle", alone_middle, Spread::of(middle), 6.0),
    ] {
        let ratio = beside.median.as_secs_f64() / alone.median.as_secs_f64();
        let told = format!(
            "{user} alone {alone:?}, beside {PUSHERS} readers of each of two histories of {HEAVY} {beside:?}: \
             {ratio:.1} times; theirs {heavies:?}"
        );
        println!("{told}");
        assert!(ratio <= times, "{told}");
        if user == "light" {
            assert!(beside.p95 < heavies.median / 20, "{told}");
        }
    }
    consumer.drains(DEADLINE).await;
}

/// Those who ask for heavy histories.
#[derive(Default)]
struct Rush {
    answers: AtomicUsize,
    over: AtomicBool,
}

/// Asks for a heavy history until it is told to stop; tells how long the answers took.
async fn push(
    addr: SocketAddr,
    user: &'static str,
    pusher: usize,
    rush: Arc<Rush>,
) -> Vec<Duration> {
    let path = format!("/purchases/{user}?since=2026-01-01T00:00:00.00{pusher}Z");
    let mut took = Vec::new();
    while !rush.over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let answer = e2e::http::get(addr, &path).await.expect("an answer");
        // Who asks for more than the database has time for is told to come back, and nobody else.
        assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
        rush.answers.fetch_add(1, Ordering::Relaxed);
        if answer.status != 200 {
            assert_eq!(answer.header("retry-after"), "1");
        }
        // Where the machine is slow, none of them may be answered in time, but each waited.
        took.push(began.elapsed());
        assert!(
            began.elapsed() < ANSWER + SLACK,
            "{:?}: one deadline",
            began.elapsed()
        );
    }
    took
}

/// Every further page has the totals beside it without their being added up again.
async fn pages_do_not_add_up_again(consumer: &Service, counted: &Value, first: Duration) {
    let mut paging = Vec::new();
    let mut cursor = text(&counted["next_cursor"]);
    for limit in 1..=7 {
        let (path, began) = (
            format!("/purchases/heavy?limit={limit}&cursor={cursor}"),
            Instant::now(),
        );
        let page = consumer.get(&path).await.json();
        paging.push(began.elapsed());
        assert_eq!(page["total_spent"], counted["total_spent"]);
        cursor = text(&page["next_cursor"]);
    }
    let paging = Spread::of(paging);
    let told = format!("the first page of {HEAVY} purchases took {first:?}, the next {paging:?}");
    println!("{told}");
    let remembered = &["what=\"totals\"", "read=\"remembered\""][..];
    let remembered = consumer
        .metric("purchases_history_reads_total", remembered)
        .await;
    // What is remembered for seconds may be forgotten once on a slow machine.
    assert!(remembered >= 4.0, "{remembered} of 7: {told}");
}

#[derive(Debug)]
struct Spread {
    median: Duration,
    p95: Duration,
}

impl Spread {
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort();
        let asked = took.len();
        Self {
            median: took[asked / 2],
            p95: took[asked * 95 / 100],
        }
    }
}

/// Asks one after the other, on one connection, and tells how long each answer took.
async fn asked(service: &Service, path: &str, times: usize) -> Vec<Duration> {
    let mut connection = Connection::open(service.http()).await.expect("it listens");
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let request = Request::get(path).body(Full::default()).expect("a request");
        let began = Instant::now();
        let answer = connection.send(request).await.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        took.push(began.elapsed());
    }
    took
}
