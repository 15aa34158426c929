//! The ready-made batching stage.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::testkit::{Callback, Fault, Faults, Settlements, until};
use actors::{
    Addr, BatchLimits, BatchMsg, BatchSink, BatchStage, ChildSpec, Cost, Credits, Delivery, Epoch,
    Outcome, Position, Receipt, Strategy, System,
};

use crate::support::{SECOND, eager};

const LIMITS: BatchLimits = BatchLimits {
    count: 3,
    bytes: 100,
    age: Duration::from_millis(20),
};

/// Stores after a second, unless a fault is planned.
#[derive(Clone, Default)]
struct Store {
    batches: Arc<Mutex<Vec<Vec<u64>>>>,
    faults: Faults,
    writing: Arc<Mutex<(usize, usize)>>,
}

impl BatchSink<Delivery<u64>> for Store {
    async fn write(&self, batch: Vec<Delivery<u64>>) {
        {
            let mut writing = self.writing.lock().unwrap();
            writing.0 += 1;
            writing.1 = writing.1.max(writing.0);
        }
        tokio::time::sleep(SECOND).await;
        let fate = self.faults.point(Callback::Named("write")).await;
        self.writing.lock().unwrap().0 -= 1;
        let outcome = if fate.is_ok() {
            Outcome::Stored
        } else {
            Outcome::Failed
        };
        self.batches
            .lock()
            .unwrap()
            .push(batch.iter().map(|delivery| delivery.value).collect());
        Receipt::settle_all(
            batch
                .into_iter()
                .map(|delivery| (delivery.receipt, outcome, None)),
        );
    }
}

struct Bench {
    system: System,
    addr: Addr<BatchMsg<Delivery<u64>>>,
    store: Store,
    book: Settlements,
    credits: Credits,
    epoch: Epoch,
}

impl Bench {
    async fn new(faults: Faults) -> Self {
        let store = Store {
            faults,
            ..Store::default()
        };
        let (addr, sink) = (Addr::new("write"), Arc::new(store.clone()));
        let child = ChildSpec::stage("write", &addr, move |_| {
            BatchStage::new(LIMITS, 2, Arc::clone(&sink))
        });
        let system = System::start("t", eager(Strategy::OneForOne).child(child))
            .await
            .unwrap();
        let credits = Credits::new(
            "write",
            Cost {
                count: 100,
                bytes: 1000,
            },
        );
        Self {
            system,
            addr,
            store,
            book: Settlements::new(),
            credits,
            epoch: Epoch::next(),
        }
    }

    fn push(&self, seqs: impl IntoIterator<Item = u64>) {
        let seqs: Vec<u64> = seqs.into_iter().collect();
        let cost = Cost {
            count: seqs.len(),
            bytes: seqs.len(),
        };
        let permit = self.credits.try_take(cost).unwrap();
        let positions = seqs.iter().map(|&seq| Position {
            lane: 0,
            epoch: self.epoch,
            seq,
        });
        let receipts = self.book.receipts(positions, Some(permit));
        let delivery = |(value, receipt)| (Delivery { value, receipt }, 1);
        let pushed = seqs.into_iter().zip(receipts).map(delivery).collect();
        self.addr.send(BatchMsg::Push(pushed)).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn batches_close_by_count_and_by_age_and_by_flush() {
    let bench = Bench::new(Faults::new()).await;
    bench.push(0..4);
    until("both are written", || bench.book.open() == 0).await;
    bench.push(4..5);
    bench.addr.send(BatchMsg::Flush).unwrap();
    bench.push(5..6);
    until("all are written", || bench.book.open() == 0).await;
    let batches = bench.store.batches.lock().unwrap().clone();
    assert_eq!(batches, [vec![0, 1, 2], vec![3], vec![4], vec![5]]);
    assert_eq!(bench.credits.in_use(), Cost::default());
}

#[tokio::test(start_paused = true)]
async fn no_more_batches_are_written_at_once_than_allowed_and_a_drain_writes_all() {
    let bench = Bench::new(Faults::new()).await;
    bench.push(0..20);
    let report = bench.system.drain(60 * SECOND).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(bench.store.writing.lock().unwrap().1, 2);
    assert_eq!(report.took, 4 * SECOND, "seven batches, two at a time");
    bench.book.assert_each_once();
    assert_eq!(bench.book.with(Outcome::Stored).len(), 20);
    assert_eq!(bench.credits.in_use(), Cost::default());
}

#[tokio::test(start_paused = true)]
async fn a_panicking_sink_fails_its_stage_and_every_receipt_is_settled() {
    let bench = Bench::new(Faults::new().at(Callback::Named("write"), 2, Fault::Panic)).await;
    bench.push(0..20);
    until("it is restarted", || {
        bench.system.handle().tree().children[0].restarts == 1
    })
    .await;
    until("every receipt is settled", || bench.book.open() == 0).await;
    assert_eq!(bench.credits.in_use(), Cost::default());
    bench.book.assert_each_once();
    assert!(!bench.book.with(Outcome::Failed).is_empty());
    bench.push(20..21);
    until("it is written", || {
        bench.book.with(Outcome::Stored).contains(&20)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn while_every_writer_is_busy_age_does_not_cut_batches_small() {
    let bench = Bench::new(Faults::default()).await;
    bench.push(1..=6);
    for late in [7, 8] {
        tokio::time::sleep(LIMITS.age * 3).await;
        bench.push([late]);
    }
    let report = bench.system.drain(SECOND * 10).await;
    assert!(report.is_clean(), "{report:?}");
    let mut batches = bench.store.batches.lock().unwrap().clone();
    batches.sort();
    assert_eq!(batches, [vec![1, 2, 3], vec![4, 5, 6], vec![7, 8]]);
}
