//! Ten times more than it can take, on the real broker: it sells as much as at its peak and as
//! quickly, in bounded memory; the rest is refused soon, and nothing of it is in the topic.
//!
//! The capacity is made small by configuration, so that the flood does not have to be large.

use std::time::Duration;

use e2e::answer::{self, Accepted};
use e2e::check;
use e2e::ground::Ground;
use e2e::http::Connection;
use e2e::load::Load;
use e2e::memory::{MIB, resident};
use e2e::service::Service;
use e2e::shop::Shop;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Purchases under way at once; they wait for company for as long as `LINGER`, so about a hundred
/// and fifty are sold a second.
const CREDITS: usize = 16;
const LINGER: Duration = Duration::from_millis(100);
const MAX_WAIT: Duration = Duration::from_millis(50);
const PHASE: Duration = Duration::from_millis(2_500);
/// Of the promise about memory under any load.
const MEMORY: u64 = 100 * MIB;

#[derive(Default)]
struct Met {
    accepted: Vec<Accepted>,
    took: Vec<Duration>,
    refused: usize,
}

/// Buys over so many connections, each again at once, whatever the answer asks for.
async fn flood(load: &Load, connections: usize) -> Met {
    let until = Instant::now() + PHASE;
    let mut customers = JoinSet::new();
    for number in 0..connections {
        let order = load.order(number);
        let mut connection = Connection::open(load.addr).await.expect("it listens");
        customers.spawn(async move {
            let mut met = Met::default();
            while Instant::now() < until {
                let since = Instant::now();
                let answer = connection.send(order.request()).await.expect("an answer");
                match answer::read(&answer) {
                    Ok(accepted) => {
                        met.took.push(since.elapsed());
                        met.accepted.push(accepted);
                    }
                    Err(refused) => {
                        let told = (refused.status, refused.retryable, refused.retry_after);
                        assert_eq!(told, (503, true, Some(1)), "{refused:?}");
                        assert_eq!(refused.kind, "/problems/overloaded");
                        met.refused += 1;
                    }
                }
            }
            met
        });
    }
    let each = customers.join_all().await;
    each.into_iter().fold(Met::default(), |mut all, one| {
        all.accepted.extend(one.accepted);
        all.took.extend(one.took);
        all.refused += one.refused;
        all
    })
}

/// Credits for purchases: how many are taken, of how many.
async fn credits(producer: &Service) -> (f64, f64) {
    let labels = ["credits=\"purchases\"", "unit=\"records\""];
    tokio::join!(
        producer.metric("credits_in_use", &labels),
        producer.metric("credits_limit", &labels)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_costs_neither_sales_nor_time_nor_memory() {
    let shop = Shop::on(Ground::shared().await).await;
    let plan = [
        ("INTAKE_MAX_PURCHASES", CREDITS.to_string()),
        ("INTAKE_MAX_WAIT", format!("{}ms", MAX_WAIT.as_millis())),
        ("KAFKA_LINGER", format!("{}ms", LINGER.as_millis())),
    ];
    let plan = plan
        .into_iter()
        .fold(shop.producer(), |plan, (name, value)| plan.env(name, value));
    let producer = plan.ready().await;
    let load = shop.load(0);

    let peak = flood(&load, CREDITS).await;
    assert_eq!(
        peak.refused, 0,
        "at its peak nobody has to wait for a credit"
    );
    let flooded = flood(&load, 8 * CREDITS).await;
    let (sold, offered) = (
        flooded.accepted.len(),
        flooded.accepted.len() + flooded.refused,
    );
    let counts = format!("peak {}, flood {sold} of {offered}", peak.accepted.len());
    assert!(offered >= 10 * peak.accepted.len(), "no flood: {counts}");
    assert!(sold * 10 >= peak.accepted.len() * 8, "{counts}");

    let mut took = flooded.took;
    took.sort_unstable();
    let p99 = took[took.len() * 99 / 100];
    // One wait for a credit, one for company, and the broker on a busy machine.
    let bound = MAX_WAIT + 2 * LINGER + Duration::from_millis(500);
    assert!(p99 < bound, "accepted within {p99:?}: {counts}");
    let memory = resident(producer.pid());
    assert!(memory < MEMORY, "{} MiB: {counts}", memory / MIB);
    assert_eq!(
        credits(&producer).await,
        (0.0, CREDITS as f64),
        "every credit is back"
    );

    let accepted: Vec<&Accepted> = peak.accepted.iter().chain(&flooded.accepted).collect();
    let records = shop.witness.records().await;
    check::answers_are_in_the_topic(&accepted, &records);
    assert_eq!(
        records.len(),
        accepted.len(),
        "what was refused is not there"
    );
    producer.drains(Duration::from_secs(10)).await;
}
