//! The stage on tallies in memory and a broker that can be slow.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use actors::{ChildSpec, Strategy, SupervisorSpec, System};
use serde_json::Value;

use super::*;
use crate::flow::Standing;
use crate::tally::memory::MemoryTallies;
use crate::tally::tests::sale;

const SOON: Duration = Duration::from_secs(10);

/// Tallies that count how often they are looked at.
#[derive(Default)]
struct Counted {
    tallies: MemoryTallies,
    looks: AtomicUsize,
}

impl TallyStore for Counted {
    async fn load(&self, partition: i32) -> Result<Option<Tally>, TallyError> {
        self.tallies.load(partition).await
    }

    async fn save(&self, partition: i32, tally: &Tally) -> Result<(), TallyError> {
        self.tallies.save(partition, tally).await
    }

    async fn all(&self) -> Result<Vec<(i32, Tally)>, TallyError> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        self.tallies.all().await
    }
}

struct Broker(Mutex<Result<Learnt, String>>);

impl Standings for Broker {
    fn standings(&self) -> Result<Learnt, String> {
        self.0.lock().unwrap().clone()
    }
}

fn standing(partition: i32, committed: Option<u64>, first: u64, end: u64) -> Standing {
    Standing {
        partition,
        committed,
        first,
        end,
    }
}

fn learnt(known: Vec<Standing>) -> Learnt {
    Learnt {
        known,
        ..Learnt::default()
    }
}

struct Bench {
    _system: System,
    board: Board,
    store: Arc<Counted>,
    broker: Arc<Broker>,
}

impl Bench {
    async fn start() -> Self {
        let store = Arc::new(Counted::default());
        let broker = Arc::new(Broker(Mutex::new(Ok(Learnt::default()))));
        let addr = Addr::new("stats");
        let board = Board::new(waker(addr.clone()));
        let (tallies, standings, put_up) = (Arc::clone(&store), Arc::clone(&broker), board.clone());
        let asking = one_question();
        let child = ChildSpec::stage("stats", &addr, move |_| {
            let broker = (Arc::clone(&standings), asking.clone());
            Stats::new(Arc::clone(&tallies), broker, put_up.clone())
        });
        let root = SupervisorSpec::new(Strategy::OneForOne).child(child);
        let system = System::start("test", root).await.unwrap();
        Self {
            _system: system,
            board,
            store,
            broker,
        }
    }

    async fn next(&self) -> Posted {
        let mut watch = self.board.watch();
        self.board.ask();
        tokio::time::timeout(SOON, watch.changed())
            .await
            .unwrap()
            .unwrap();
        watch.borrow_and_update().clone()
    }

    async fn figures(&self) -> Value {
        match self.next().await {
            Posted::Figures(figures, _) => serde_json::from_slice(&figures.json).unwrap(),
            other => panic!("no figures: {other:?}"),
        }
    }
}

/// A tally of the last seconds.
fn tally(from: u64, purchases: u64, buyers: u32) -> Tally {
    let now = Timestamp::from(SystemTime::now()).as_millis();
    let mut tally = Tally::starting_at(from);
    for offset in from..from + purchases {
        let item = if offset % 4 == 0 { "Book" } else { "Laptop" };
        tally.fold(
            offset,
            &sale(offset as u32 % buyers, item, 1_010, now - 2_000),
        );
    }
    tally
}

#[tokio::test]
async fn the_whole_shop_is_put_together_from_every_partition() {
    let bench = Bench::start().await;
    bench.store.save(0, &tally(0, 40, 10)).await.unwrap();
    bench.store.save(2, &tally(5, 60, 20)).await.unwrap();
    let known = vec![
        standing(0, Some(40), 0, 42),
        standing(1, None, 3, 8),
        standing(2, Some(60), 0, 65),
    ];
    *bench.broker.0.lock().unwrap() = Ok(learnt(known));
    let figures = bench.figures().await;
    assert_eq!(figures["total_purchases"], 100);
    assert_eq!(figures["total_revenue"].to_string(), "1010.0");
    assert_eq!(figures["active_buyers"]["estimate"], 20);
    let sum = |name: &str| {
        let steps = figures[name]["purchases"].as_array().unwrap();
        let sum: u64 = steps.iter().map(|count| count.as_u64().unwrap()).sum();
        (steps.len(), sum)
    };
    assert_eq!(sum("last_two_minutes"), (120, 100));
    assert_eq!(sum("last_hour"), (60, 100));
    assert_eq!(figures["per_minute"]["purchases"], 100);
    assert_eq!(figures["per_second"]["purchases"], 10.0);
    assert_eq!(figures["best_sellers"][0]["item_name"], "Laptop");
    assert_eq!(figures["best_sellers"][1]["purchases"], 25);
    // The partition that nobody has committed yet counts from what is kept of it.
    assert_eq!(figures["backlog"], 2 + 5 + 5);
    let partitions = figures["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), 3);
    assert_eq!(partitions[1]["upto"], Value::Null);
    assert_eq!(
        (&partitions[2]["counted_from"], &partitions[2]["upto"]),
        (&Value::from(5), &Value::from(65))
    );
}

#[tokio::test]
async fn without_the_broker_the_backlog_is_unknown_and_not_zero() {
    let bench = Bench::start().await;
    bench.store.save(0, &tally(0, 3, 3)).await.unwrap();
    *bench.broker.0.lock().unwrap() = Err("all brokers down".into());
    let figures = bench.figures().await;
    assert_eq!(
        (&figures["backlog"], &figures["total_purchases"]),
        (&Value::Null, &Value::from(3))
    );
}

#[tokio::test]
async fn one_partition_whose_leader_is_away_makes_its_own_lag_unknown_and_the_sum_and_no_other() {
    let bench = Bench::start().await;
    let learnt = Learnt {
        // Nothing was ever counted of the other.
        unknown: [(1, "its leader is away".to_owned())].into(),
        ..learnt(vec![standing(0, Some(40), 0, 42)])
    };
    *bench.broker.0.lock().unwrap() = Ok(learnt);
    let figures = bench.figures().await;
    assert_eq!(figures["backlog"], Value::Null);
    assert_eq!(figures["partitions"][0]["lag"], 2);
    assert_eq!(figures["partitions"][1]["partition"], 1);
    assert_eq!(figures["partitions"][1]["lag"], Value::Null);
}

#[tokio::test]
async fn without_the_database_there_are_no_figures() {
    let bench = Bench::start().await;
    bench.store.tallies.set_down(true);
    assert!(matches!(bench.next().await, Posted::Unavailable(_)));
    bench.store.tallies.set_down(false);
    bench.figures().await;
}

#[tokio::test]
async fn many_who_ask_at_once_cost_one_look() {
    let bench = Bench::start().await;
    let mut watch = bench.board.watch();
    for _ in 0..1_000 {
        bench.board.ask();
    }
    watch.changed().await.unwrap();
    assert_eq!(bench.store.looks.load(Ordering::SeqCst), 1);
}

/// Figures come once a second while somebody watches, and stop when nobody does.
#[tokio::test(start_paused = true)]
async fn nobody_who_looks_means_no_look_at_the_database() {
    let bench = Bench::start().await;
    let mut watch = bench.board.watch();
    bench.board.ask();
    let began = Instant::now();
    let mut last = i64::MIN;
    for _ in 0..3 {
        watch.changed().await.unwrap();
        let Posted::Figures(figures, _) = watch.borrow_and_update().clone() else {
            panic!("no figures");
        };
        assert!(figures.id > last, "ids rise");
        last = figures.id;
    }
    assert_eq!(began.elapsed().as_secs(), 2);
    assert_eq!(bench.store.looks.load(Ordering::SeqCst), 3);
    drop(watch);
    tokio::time::sleep(EVERY * 20).await;
    assert!(bench.store.looks.load(Ordering::SeqCst) <= 4);
}
