//! A reader on an in-memory partition.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use actors::{
    Addr, BatchLimits, BatchSink, BatchStage, ChildSpec, Children, Credits, Intensity, Strategy,
    SupervisorSpec, System,
};
use purchases::{Cents, Event, ItemName, Purchase, PurchaseId, Timestamp, UserId, Username};

use super::*;
use crate::commit::{Commit, CommitOutlet, Committer};
use crate::flow::{BadRecord, CommitError, Incoming, Origin};
use crate::tally::memory::MemoryTallies;

const SOON: Duration = Duration::from_secs(10);

/// A partition's log, with a client's position.
#[derive(Default)]
struct Log {
    records: Mutex<VecDeque<(u64, bool)>>,
    position: AtomicU64,
    seeks: Mutex<Vec<u64>>,
}

struct Tail(Arc<Log>);

impl PartitionSource for Tail {
    fn poll(&mut self) -> Result<Option<Polled>, String> {
        let position = self.0.position.load(Ordering::SeqCst);
        let next = self
            .0
            .records
            .lock()
            .unwrap()
            .iter()
            .copied()
            .find(|(offset, _)| *offset >= position);
        let Some((offset, good)) = next else {
            return Ok(None);
        };
        self.0.position.store(offset + 1, Ordering::SeqCst);
        let origin = Origin {
            topic: Arc::from("purchases"),
            partition: 0,
            offset: offset as i64,
        };
        if !good {
            let record = BadRecord {
                key: None,
                value: None,
                headers: vec![],
                reason: "bad".into(),
                origin,
            };
            return Ok(Some(Polled::Bad(Box::new(record), 10)));
        }
        let event = Event {
            username: Username::parse("john").unwrap(),
            user_id: UserId::parse("u1").unwrap(),
            item_name: ItemName::parse("Laptop").unwrap(),
            price: Cents::new(1).unwrap(),
            timestamp: Timestamp::from_millis(0).unwrap(),
        };
        let id = PurchaseId::foreign("purchases", 0, offset as i64);
        Ok(Some(Polled::Purchase(
            Box::new(Incoming {
                purchase: Purchase::new(id, event),
                origin,
            }),
            100,
        )))
    }
}

/// What the reader opens: the shared log.
struct Shared(Arc<Log>);

impl OpenPartition for Shared {
    type Source = Tail;

    fn open(&self, _: Arc<dyn Fn() + Send + Sync>) -> Result<Tail, String> {
        Ok(Tail(Arc::clone(&self.0)))
    }

    fn seek(&self, offset: u64) -> Result<(), String> {
        self.0.seeks.lock().unwrap().push(offset);
        self.0.position.store(offset, Ordering::SeqCst);
        Ok(())
    }
}

#[derive(Default)]
struct Committed(Mutex<Vec<(i32, u64)>>);

impl Committer for Committed {
    fn commit(&self, positions: &[(i32, u64)]) -> Result<(), CommitError> {
        self.0.lock().unwrap().extend_from_slice(positions);
        Ok(())
    }
}

/// Stores everything, but fails the offset it is told, once.
struct Sink {
    stored: Mutex<Vec<u64>>,
    fail_once: Mutex<Option<u64>>,
    held: tokio::sync::Semaphore,
}

impl BatchSink<Delivered> for Sink {
    async fn write(&self, batch: Vec<Delivered>) {
        let permit = self.held.acquire().await.unwrap();
        for Delivered { value, receipt } in batch {
            let offset = value.origin.offset as u64;
            let fail = self
                .fail_once
                .lock()
                .unwrap()
                .take_if(|fail| *fail == offset)
                .is_some();
            if fail {
                drop(receipt);
            } else {
                self.stored.lock().unwrap().push(offset);
                receipt.settle(Outcome::Stored, None);
            }
        }
        drop(permit);
    }
}

struct Letters;

impl BatchSink<Rejected> for Letters {
    async fn write(&self, batch: Vec<Rejected>) {
        for rejected in batch {
            rejected.receipt.settle(Outcome::DeadLettered, None);
        }
    }
}

struct Bench {
    _system: System,
    log: Arc<Log>,
    committed: Arc<Committed>,
    sink: Arc<Sink>,
    credits: Credits,
    closing: Arc<AtomicBool>,
    readers: Children,
}

impl Bench {
    async fn start(
        records: &[(u64, bool)],
        start: u64,
        credits: usize,
        fail_once: Option<u64>,
        hold: bool,
    ) -> Self {
        let log = Arc::new(Log {
            records: Mutex::new(records.iter().copied().collect()),
            ..Log::default()
        });
        log.position.store(start, Ordering::SeqCst);
        let committed = Arc::new(Committed::default());
        let held = tokio::sync::Semaphore::new(usize::from(!hold));
        let sink = Arc::new(Sink {
            stored: Mutex::default(),
            fail_once: Mutex::new(fail_once),
            held,
        });
        let (commit, write, dead_letter) = (
            Addr::new("commit"),
            Addr::new("write"),
            Addr::new("dead_letter"),
        );
        let (books, shared, readers) = (Arc::clone(&committed), Arc::clone(&sink), Children::new());
        let tallies = Arc::new(MemoryTallies::default());
        let limits = BatchLimits {
            count: 10,
            bytes: 1 << 20,
            age: Duration::from_millis(1),
        };
        let root = SupervisorSpec::new(Strategy::RestForOne)
            .child(ChildSpec::stage("commit", &commit, move |_| {
                Commit::new(
                    Arc::clone(&books),
                    Arc::clone(&tallies),
                    Duration::from_millis(2),
                )
            }))
            .child(ChildSpec::stage("dead_letter", &dead_letter, move |_| {
                BatchStage::new(limits, 1, Arc::new(Letters))
            }))
            .child(ChildSpec::stage("write", &write, move |_| {
                BatchStage::new(limits, 1, Arc::clone(&shared))
            }))
            .child(ChildSpec::supervisor(
                "readers",
                SupervisorSpec::dynamic(&readers).intensity(Intensity {
                    restarts: 5,
                    within: SOON,
                }),
            ));
        let system = System::start("test", root).await.unwrap();
        let credits = Credits::new(
            "in flight",
            Cost {
                count: credits,
                bytes: 1 << 20,
            },
        );
        let closing = Arc::new(AtomicBool::new(false));
        let args = ReaderArgs {
            partition: 0,
            start,
            open: Arc::new(Shared(Arc::clone(&log))),
            opened_before: Arc::default(),
            closing: Arc::clone(&closing),
            limits: ReadLimits {
                records: 4,
                bytes: 1 << 16,
            },
            credits: credits.clone(),
            outlet: Arc::new(CommitOutlet(commit.clone())),
            commit,
            write,
            dead_letter,
        };
        let reader = ChildSpec::stage("0", &Addr::new("reader"), move |epoch| {
            PartitionReader::new(args.clone(), epoch)
        });
        readers.start(reader).await.unwrap();
        Self {
            _system: system,
            log,
            committed,
            sink,
            credits,
            closing,
            readers,
        }
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + SOON;
        while !holds(self) {
            assert!(tokio::time::Instant::now() < deadline, "never: {what}");
            tokio::task::yield_now().await;
        }
    }

    fn stored(&self) -> Vec<u64> {
        self.sink.stored.lock().unwrap().clone()
    }

    fn position(&self) -> Option<u64> {
        self.committed
            .0
            .lock()
            .unwrap()
            .last()
            .map(|(_, next)| *next)
    }
}

fn good(offsets: std::ops::Range<u64>) -> Vec<(u64, bool)> {
    offsets.map(|offset| (offset, true)).collect()
}

#[tokio::test]
async fn everything_read_is_stored_once_and_committed() {
    let bench = Bench::start(&good(5..30), 5, 100, None, false).await;
    bench
        .until("all committed", |bench| bench.position() == Some(30))
        .await;
    assert_eq!(bench.stored(), (5..30).collect::<Vec<_>>());
    assert_eq!(bench.log.seeks.lock().unwrap().len(), 0);
    bench
        .until("credits back", |bench| bench.credits.in_use().count == 0)
        .await;
}

#[tokio::test]
async fn a_bad_record_between_good_ones_blocks_nothing() {
    let bench = Bench::start(&[(0, true), (1, false), (2, true)], 0, 100, None, false).await;
    bench
        .until("all committed", |bench| bench.position() == Some(3))
        .await;
    assert_eq!(bench.stored(), vec![0, 2]);
}

#[tokio::test]
async fn a_failed_record_is_read_again_from_what_is_settled() {
    let bench = Bench::start(&good(0..12), 0, 100, Some(6), false).await;
    bench
        .until("all committed", |bench| bench.position() == Some(12))
        .await;
    let stored = bench.stored();
    assert!((0..12).all(|offset| stored.contains(&offset)), "{stored:?}");
    let seeks = bench.log.seeks.lock().unwrap().clone();
    assert!(seeks.len() == 1 && seeks[0] <= 6, "{seeks:?}");
}

#[tokio::test]
async fn without_credits_nothing_more_is_read() {
    let bench = Bench::start(&good(0..100), 0, 8, None, true).await;
    bench
        .until("credits used up", |bench| bench.credits.in_use().count > 4)
        .await;
    for _ in 0..200 {
        tokio::task::yield_now().await;
        assert!(
            bench.log.position.load(Ordering::SeqCst) <= 8,
            "read beyond its credits"
        );
    }
    bench.sink.held.add_permits(1);
    bench
        .until("all committed", |bench| bench.position() == Some(100))
        .await;
}

#[tokio::test]
async fn a_closing_reader_takes_nothing_more() {
    let bench = Bench::start(&good(0..100), 0, 8, None, true).await;
    bench
        .until("credits used up", |bench| bench.credits.in_use().count > 4)
        .await;
    bench.closing.store(true, Ordering::SeqCst);
    let stopped = bench.readers.stop("0", SOON).await;
    assert!(stopped.is_ok(), "{stopped:?}");
    assert!(bench.log.position.load(Ordering::SeqCst) <= 8);
}
