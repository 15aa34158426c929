//! More than it can take: what is accepted stays as much and as quick as before, the rest is refused
//! soon, and nobody takes the others' turns.
//!
//! The capacity is the log's: one report every 40 ms, which no machine is too slow for. How long anything
//! takes is compared with an answer of the same moment that waits for nobody.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::memory_log::Mode;
use super::shop::Shop;

/// Purchases under way at once.
const CREDITS: usize = 10;
const TICK: Duration = Duration::from_millis(40);

/// One connection, spoken to byte by byte, because a client library would not pipeline.
struct Line(TcpStream);

fn request(user: usize) -> Vec<u8> {
    let body = format!(r#"{{"username": "john", "user_id": "user_{user}"}}"#);
    let length = body.len();
    format!(
        "POST /buy HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Status and headers of the next answer; its body is read and dropped.
async fn answer(from: &mut (impl AsyncReadExt + Unpin)) -> (u16, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(from.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap();
    let length = length.split("\r\n").next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    from.read_exact(&mut body).await.unwrap();
    (head[9..12].parse().unwrap(), head)
}

impl Line {
    async fn open(shop: &Shop) -> Self {
        Self(TcpStream::connect(shop.addr).await.unwrap())
    }
}

/// What one phase of load met.
#[derive(Debug, Default)]
struct Met {
    accepted: Vec<Duration>,
    refused: Vec<Duration>,
}

impl Met {
    fn p99(mut times: Vec<Duration>) -> Duration {
        times.sort_unstable();
        times[times.len() * 99 / 100]
    }
}

/// Buys over so many connections, each again as soon as it is answered.
async fn load(shop: &Shop, connections: usize, during: Duration) -> Met {
    let until = Instant::now() + during;
    let mut customers = JoinSet::new();
    for user in 0..connections {
        let mut line = BufReader::new(Line::open(shop).await.0);
        customers.spawn(async move {
            let mut met = Met::default();
            while Instant::now() < until {
                let since = Instant::now();
                line.write_all(&request(user)).await.unwrap();
                match answer(&mut line).await {
                    (201, _) => met.accepted.push(since.elapsed()),
                    (503, head) => {
                        assert!(head.contains("retry-after: "), "{head}");
                        met.refused.push(since.elapsed());
                    }
                    (_, head) => panic!("{head}"),
                }
            }
            met
        });
    }
    let each = customers.join_all().await;
    each.into_iter().fold(Met::default(), |mut all, one| {
        all.accepted.extend(one.accepted);
        all.refused.extend(one.refused);
        all
    })
}

/// How long answers take meanwhile that need no credit and no log: what the machine adds to everything.
async fn answers_at_once(shop: &Shop, during: Duration) -> Vec<Duration> {
    let until = Instant::now() + during;
    let mut line = BufReader::new(Line::open(shop).await.0);
    let (mut pace, mut times) = (tokio::time::interval(TICK), Vec::new());
    while Instant::now() < until {
        pace.tick().await;
        let since = Instant::now();
        let asked = line.write_all(b"GET /buy HTTP/1.1\r\nhost: shop\r\n\r\n");
        asked.await.unwrap();
        assert_eq!(answer(&mut line).await.0, 405);
        times.push(since.elapsed());
    }
    times
}

/// A shop whose log reports one purchase a tick, in the order of their coming.
async fn slow_shop(max_wait: &str, tick: Duration) -> (Shop, tokio::task::JoinHandle<usize>) {
    let credits = CREDITS.to_string();
    let shop = Shop::open(&[
        ("INTAKE_MAX_PURCHASES", &credits),
        ("INTAKE_MAX_WAIT", max_wait),
    ])
    .await;
    shop.broker.set(Mode::Hold);
    let broker = shop.broker.clone();
    let shutdown = shop.shutdown.clone();
    let log = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(tick);
        let mut most = 0;
        while !shutdown.is_cancelled() {
            ticks.tick().await;
            most = most.max(broker.held());
            broker.release_first();
        }
        broker.release();
        most
    });
    (shop, log)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_ten_times_its_capacity_it_sells_as_much_and_as_quickly_as_at_its_peak() {
    let (shop, log) = slow_shop("50ms", TICK).await;
    let during = Duration::from_secs(2);
    let peak = load(&shop, CREDITS + 2, during).await;
    // Not so many that two share a lane, and one waits for the other besides.
    let (flood, at_once) = tokio::join!(load(&shop, 60, during), answers_at_once(&shop, during));
    let offered = flood.accepted.len() + flood.refused.len();
    let counts = format!(
        "peak {}, flood {} of {offered}",
        peak.accepted.len(),
        flood.accepted.len()
    );
    assert!(offered >= 10 * peak.accepted.len(), "no flood: {counts}");
    assert!(
        flood.accepted.len() * 10 >= peak.accepted.len() * 8,
        "{counts}"
    );
    // 50 ms for a credit, and a tick for each purchase before it; the timer, the log and both ways may
    // each be as late as an answer that waits for nobody.
    let (at_once, wait) = (Met::p99(at_once), Duration::from_millis(50));
    let (accepted, refused) = (Met::p99(flood.accepted), Met::p99(flood.refused));
    let told = format!(
        "accepted within {accepted:?}, refused within {refused:?}, others {at_once:?}: {counts}"
    );
    let late = TICK + 4 * at_once;
    assert!(accepted < wait + TICK * CREDITS as u32 + late, "{told}");
    assert!(refused < wait + late, "{told}");
    shop.shutdown.cancel();
    let most = log.await.unwrap();
    assert!(most <= CREDITS, "{most} under way at once");
    shop.ended().await.unwrap();
}

/// As it is without a word about purchases: a log that confirms nothing must not fill all connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nothing_is_confirmed_there_is_an_answer_for_everybody() {
    const CONNECTIONS: usize = 20;
    // Long before a delivery is given up.
    const SOON: Duration = Duration::from_secs(5);
    let connections = CONNECTIONS.to_string();
    let shop = Shop::open(&[("HTTP_MAX_CONNECTIONS", &connections)]).await;
    shop.broker.set(Mode::Hold);
    let mut buyers = JoinSet::new();
    // Room is left for who asks below.
    for user in 0..CONNECTIONS - 4 {
        let mut line = BufReader::new(Line::open(&shop).await.0);
        buyers.spawn(async move {
            line.write_all(&request(user)).await.unwrap();
            let (status, head) = answer(&mut line).await;
            (status, head, line)
        });
    }
    let mut refused = Vec::new();
    while refused.len() < CONNECTIONS / 2 - 4 {
        let (status, head, line) = tokio::time::timeout(SOON, buyers.join_next())
            .await
            .expect("those that are too many are told so")
            .unwrap()
            .unwrap();
        assert_eq!(status, 503, "{head}");
        refused.push(line);
    }
    let since = Instant::now();
    assert_eq!(shop.get("/items").await.status, 200);
    assert!(
        since.elapsed() < Duration::from_secs(1),
        "{:?}",
        since.elapsed()
    );
    shop.until_held(CONNECTIONS / 2).await;
    shop.broker.release();
    while let Some(bought) = buyers.join_next().await {
        assert_eq!(bought.unwrap().0, 201);
    }
    drop(refused);
    shop.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_sends_without_waiting_gets_its_turn_and_no_more() {
    const POLITE: usize = 30;
    let (shop, log) = slow_shop("10s", TICK / 4).await;
    // Thousands of requests at once, on one connection.
    let (reader, mut writer) = tokio::io::split(Line::open(&shop).await.0);
    let flood: Vec<u8> = request(POLITE).repeat(5_000);
    let writing = tokio::spawn(async move { writer.write_all(&flood).await });
    let greedy = tokio::spawn(served(reader));
    let polite = load(&shop, POLITE, Duration::from_secs(4)).await;
    greedy.abort();
    writing.abort();
    let bought = |user: usize| {
        let name = format!("user_{user}");
        let records = shop.broker.records();
        records.iter().filter(|record| record.key == name).count()
    };
    let shares: Vec<usize> = (0..POLITE).map(bought).collect();
    let (least, greedy) = (shares.iter().min().unwrap(), bought(POLITE));
    assert!(polite.refused.is_empty());
    assert!(
        greedy <= 2 * least && *least > 0,
        "the greedy one bought {greedy}, the others {shares:?}"
    );
    shop.shutdown.cancel();
    log.await.unwrap();
    shop.ended().await.unwrap();
}

/// Takes answers for as long as they come.
async fn served(reader: ReadHalf<TcpStream>) {
    let mut reader = BufReader::new(reader);
    loop {
        assert_eq!(answer(&mut reader).await.0, 201);
    }
}
