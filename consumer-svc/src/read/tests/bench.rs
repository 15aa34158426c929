//! Readers on in-memory partitions, with the stages around them.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

pub(super) use actors::{
    Addr, BatchLimits, BatchSink, BatchStage, ChildSpec, Children, Credits, Intensity, Strategy,
    SupervisorSpec, System,
};
use purchases::{Cents, Event, ItemName, Purchase, PurchaseId, Timestamp, UserId, Username};

use super::super::*;
use crate::commit::{Commit, CommitOutlet, Committer, Warrant};
use crate::flow::{BadRecord, CommitError, Incoming, Learnt, Origin, Original, Standing};
use crate::lane::{BadLimits, Lane, Lanes};
use crate::mark::{Mark, Print};
use crate::tally::memory::MemoryTallies;

pub(super) const SOON: Duration = Duration::from_secs(10);

/// A partition's log, with a client's position.
#[derive(Default)]
pub(super) struct Log {
    partition: i32,
    pub(super) records: Mutex<VecDeque<(u64, bool)>>,
    pub(super) position: AtomicU64,
    pub(super) seeks: Mutex<Vec<u64>>,
    /// So many times it is not to be set yet.
    pub(super) unready: AtomicU64,
    /// What comes instead of the next record.
    pub(super) broken: Mutex<Option<SourceError>>,
}

pub(super) struct Tail(Arc<Log>);

impl PartitionSource for Tail {
    fn poll(&mut self) -> Result<Option<Polled>, SourceError> {
        if let Some(broken) = self.0.broken.lock().unwrap().take() {
            return Err(broken);
        }
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
            partition: self.0.partition,
            offset: offset as i64,
        };
        if !good {
            let record = BadRecord {
                came_back: false,
                original: Original::default(),
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
        let id = PurchaseId::foreign("purchases", self.0.partition, offset as i64);
        Ok(Some(Polled::Purchase(
            Box::new(Incoming {
                purchase: Purchase::new(id, event),
                origin,
                came_back: false,
                span: host::span::Span::none(),
            }),
            100,
        )))
    }

    fn mark(&mut self) -> Option<Mark> {
        None
    }
}

/// What the reader opens: the shared log.
pub(super) struct Shared(Arc<Log>);

impl OpenPartition for Shared {
    type Source = Tail;

    fn open(&self, _: Arc<dyn Fn() + Send + Sync>) -> Result<Tail, String> {
        Ok(Tail(Arc::clone(&self.0)))
    }

    fn seek(&self, offset: u64) -> Result<(), SeekError> {
        let less = |left: u64| left.checked_sub(1);
        let unready = &self.0.unready;
        if (unready.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)).is_ok() {
            return Err(SeekError::NotYet("its leader is away".into()));
        }
        self.0.seeks.lock().unwrap().push(offset);
        self.0.position.store(offset, Ordering::SeqCst);
        Ok(())
    }
}

#[derive(Default)]
struct Committed(pub(super) Mutex<Vec<(i32, u64)>>);

impl Committer for Committed {
    fn commit(&self, positions: &[(i32, u64)], _: &Warrant) -> Result<(), CommitError> {
        self.0.lock().unwrap().extend_from_slice(positions);
        Ok(())
    }

    fn standings(&self, _: &[i32]) -> Learnt {
        unreachable!("it is always said where to start")
    }

    async fn print(&self, _: i32, _: u64) -> Result<Option<Print>, String> {
        Ok(None)
    }
}

/// Stores everything, but fails the offset it is told, once, and never comes back from another.
pub(super) struct Sink {
    stored: Mutex<Vec<(i32, u64)>>,
    fail_once: Mutex<Option<u64>>,
    hang_once: Mutex<Option<(i32, u64)>>,
    refused: i32,
    pub(super) held: tokio::sync::Semaphore,
}

impl BatchSink<Delivered> for Sink {
    async fn write(&self, batch: Vec<Delivered>) {
        let permit = self.held.acquire().await.unwrap();
        for Delivered { value, receipt } in batch {
            let (partition, offset) = (value.origin.partition, value.origin.offset as u64);
            let fail = self
                .fail_once
                .lock()
                .unwrap()
                .take_if(|fail| *fail == offset)
                .is_some();
            let hang = self
                .hang_once
                .lock()
                .unwrap()
                .take_if(|hang| *hang == (partition, offset))
                .is_some();
            if hang {
                std::mem::forget(receipt);
            } else if fail || partition < self.refused {
                drop(receipt);
            } else {
                self.stored.lock().unwrap().push((partition, offset));
                receipt.settle(Outcome::Stored, None);
            }
        }
        drop(permit);
    }
}

/// Delivers letters while there is room for them.
pub(super) struct Letters {
    pub(super) open: tokio::sync::Semaphore,
    delivered: Mutex<Vec<u64>>,
}

impl BatchSink<Rejected> for Letters {
    async fn write(&self, batch: Vec<Rejected>) {
        let permit = self.open.acquire().await.unwrap();
        for Rejected { value, receipt, .. } in batch {
            let offset = value.origin().offset as u64;
            self.delivered.lock().unwrap().push(offset);
            receipt.settle(Outcome::DeadLettered, None);
        }
        drop(permit);
    }
}

/// What a bench is started with.
pub(super) struct Setup {
    /// Offsets of each partition, and whether they are good.
    pub(super) logs: Vec<Vec<(u64, bool)>>,
    pub(super) start: u64,
    pub(super) credits: usize,
    pub(super) ahead: usize,
    pub(super) bad_run: usize,
    pub(super) stall: Duration,
    pub(super) fail_once: Option<u64>,
    pub(super) hang_once: Option<(i32, u64)>,
    /// Of so many partitions nothing is ever stored.
    pub(super) refused: i32,
    pub(super) hold_writes: bool,
    pub(super) hold_letters: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            logs: Vec::new(),
            start: 0,
            credits: 100,
            ahead: 1_000,
            bad_run: 1_000,
            stall: 60 * SOON,
            fail_once: None,
            hang_once: None,
            refused: 0,
            hold_writes: false,
            hold_letters: false,
        }
    }
}

pub(super) struct Bench {
    pub(super) system: System,
    pub(super) logs: Vec<Arc<Log>>,
    committed: Arc<Committed>,
    pub(super) sink: Arc<Sink>,
    pub(super) letters: Arc<Letters>,
    pub(super) credits: Credits,
    pub(super) lanes: Lanes,
    pub(super) stopped: Arc<Mutex<Option<String>>>,
    pub(super) readers: Children,
}

impl Bench {
    pub(super) async fn start(setup: Setup) -> Self {
        let committed = Arc::new(Committed::default());
        let room = |hold: bool| tokio::sync::Semaphore::new(usize::from(!hold));
        let sink = Arc::new(Sink {
            stored: Mutex::default(),
            fail_once: Mutex::new(setup.fail_once),
            hang_once: Mutex::new(setup.hang_once),
            refused: setup.refused,
            held: room(setup.hold_writes),
        });
        let letters = Arc::new(Letters {
            open: room(setup.hold_letters),
            delivered: Mutex::default(),
        });
        let (commit, write, dead_letter) = (
            Addr::new("commit"),
            Addr::new("write"),
            Addr::new("dead_letter"),
        );
        let (books, shared, box_, readers) = (
            Arc::clone(&committed),
            Arc::clone(&sink),
            Arc::clone(&letters),
            Children::new(),
        );
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
                BatchStage::new(limits, 1, Arc::clone(&box_))
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
                count: setup.credits,
                bytes: 1 << 20,
            },
        );
        let stopped: Arc<Mutex<Option<String>>> = Arc::default();
        let told = Arc::clone(&stopped);
        let bad = BadLimits {
            run: setup.bad_run,
            window: 1_000,
            percent: 100,
        };
        let lanes = Lanes::new(bad, Box::new(move |reason| *told.lock().unwrap() = reason));
        let mut logs = Vec::new();
        for (partition, records) in setup.logs.iter().enumerate() {
            let partition = partition as i32;
            let log = Arc::new(Log {
                partition,
                records: Mutex::new(records.iter().copied().collect()),
                ..Log::default()
            });
            log.position.store(setup.start, Ordering::SeqCst);
            logs.push(Arc::clone(&log));
            let args = ReaderArgs {
                partition,
                standing: Some(Standing {
                    partition,
                    committed: Some(setup.start),
                    first: 0,
                    end: u64::MAX,
                }),
                open: Arc::new(Shared(log)),
                opened_before: Arc::default(),
                lane: lanes.open(partition),
                limits: ReadLimits {
                    records: 4,
                    bytes: 1 << 16,
                    ahead: setup.ahead,
                },
                credits: credits.clone(),
                outlet: Arc::new(CommitOutlet(commit.clone())),
                commit: commit.clone(),
                write: write.clone(),
                dead_letter: dead_letter.clone(),
            };
            let watch = actors::Watch::after(setup.stall).pulse(args.lane.pulse());
            let addr = Addr::new("reader");
            let reader = ChildSpec::stage(partition.to_string(), &addr, move |epoch| {
                PartitionReader::new(args.clone(), epoch)
            });
            readers.start(reader.watch(watch)).await.unwrap();
        }
        Self {
            system,
            logs,
            committed,
            sink,
            letters,
            credits,
            lanes,
            stopped,
            readers,
        }
    }

    pub(super) fn lane(&self, partition: i32) -> Lane {
        self.lanes.get(partition).unwrap()
    }

    pub(super) fn restarts(&self, partition: i32) -> u64 {
        let tree = self.system.handle().tree();
        tree.find(&format!("readers/{partition}")).unwrap().restarts
    }

    pub(super) fn lettered(&self) -> Vec<u64> {
        self.letters.delivered.lock().unwrap().clone()
    }

    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + SOON;
        while !holds(self) {
            assert!(tokio::time::Instant::now() < deadline, "never: {what}");
            tokio::task::yield_now().await;
        }
    }

    /// What was stored of a partition, in the order it was.
    pub(super) fn stored(&self, partition: i32) -> Vec<u64> {
        let stored = self.sink.stored.lock().unwrap();
        let of_it = stored.iter().filter(|(of, _)| *of == partition);
        of_it.map(|(_, offset)| *offset).collect()
    }

    pub(super) fn position(&self, partition: i32) -> Option<u64> {
        let committed = self.committed.0.lock().unwrap();
        let last = committed.iter().rev().find(|(of, _)| *of == partition);
        last.map(|(_, next)| *next)
    }
}
