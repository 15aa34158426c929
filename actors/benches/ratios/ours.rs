//! The hops with everything: supervised stages, and a receipt for every message; a credit for every
//! message too, or for every batch.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actors::{
    Addr, ChildSpec, Cost, Credits, Cx, Delivery, Epoch, Failure, Origin, Outcome, Outlet,
    Position, Receipt, Settle, Settled, Stage, Strategy, SupervisorSpec, System,
};
use tokio::sync::oneshot;

use crate::BATCH;

/// Room enough that nobody waits for nothing, small enough that memory stays flat.
pub(crate) const ROOM: usize = 10_000;

pub(crate) struct Done {
    left: AtomicU64,
    done: Mutex<Option<oneshot::Sender<()>>>,
}

impl Done {
    pub(crate) fn after(count: u64) -> (Arc<Self>, oneshot::Receiver<()>) {
        let (done, finished) = oneshot::channel();
        (
            Arc::new(Self {
                left: AtomicU64::new(count),
                done: Mutex::new(Some(done)),
            }),
            finished,
        )
    }

    fn count(&self, count: u64) {
        if self.left.fetch_sub(count, Ordering::Relaxed) == count {
            self.done.lock().unwrap().take().unwrap().send(()).unwrap();
        }
    }
}

impl Settle<()> for Done {
    fn settled(&self, batch: Vec<Settled<()>>) {
        assert!(
            batch
                .iter()
                .all(|settled| settled.outcome == Outcome::Stored)
        );
        let count = batch.len() as u64;
        self.count(count);
    }

    fn settled_one(&self, settled: Settled<()>) {
        assert_eq!(settled.outcome, Outcome::Stored);
        self.count(1);
    }
}

struct Forward(Addr<Delivery<u64>>);

impl Stage for Forward {
    type Msg = Delivery<u64>;

    async fn handle(
        &mut self,
        msg: Delivery<u64>,
        _: &mut Cx<Delivery<u64>>,
    ) -> Result<(), Failure> {
        self.0.send(msg)?;
        Ok(())
    }
}

struct Last;

impl Stage for Last {
    type Msg = Delivery<u64>;

    async fn handle(
        &mut self,
        msg: Delivery<u64>,
        _: &mut Cx<Delivery<u64>>,
    ) -> Result<(), Failure> {
        msg.receipt.settle(Outcome::Stored, None);
        Ok(())
    }
}

pub(crate) async fn single(messages: u64) -> Duration {
    let [first, second, last] = ["first", "second", "last"].map(Addr::new);
    let (to_last, to_second) = (last.clone(), second.clone());
    let spec = SupervisorSpec::new(Strategy::RestForOne)
        .child(ChildSpec::stage("last", &last, |_| Last))
        .child(ChildSpec::stage("second", &second, move |_| {
            Forward(to_last.clone())
        }))
        .child(ChildSpec::stage("first", &first, move |_| {
            Forward(to_second.clone())
        }));
    let system = System::start("bench", spec).await.unwrap();
    let credits = Credits::new(
        "bench",
        Cost {
            count: ROOM,
            bytes: ROOM * 8,
        },
    );
    let (done, finished) = Done::after(messages);
    let outlet: Outlet<()> = done;
    let epoch = Epoch::next();
    let began = Instant::now();
    tokio::spawn(async move {
        let cost = Cost { count: 1, bytes: 8 };
        for seq in 0..messages {
            let permit = credits.take(cost, Duration::MAX).await.unwrap();
            let position = Position {
                lane: 0,
                epoch,
                seq,
            };
            let receipt = Receipt::new(position, Arc::clone(&outlet), Some(permit));
            let value = seq;
            first.send(Delivery { value, receipt }).unwrap();
            if seq % BATCH as u64 == BATCH as u64 - 1 {
                tokio::task::yield_now().await;
            }
        }
    });
    finished.await.unwrap();
    let took = began.elapsed();
    assert!(system.drain(Duration::from_secs(5)).await.is_clean());
    took
}

type Batch = Vec<Delivery<u64>>;

pub(crate) struct ForwardBatch(pub(crate) Addr<Batch>);

impl Stage for ForwardBatch {
    type Msg = Batch;

    async fn handle(&mut self, msg: Batch, _: &mut Cx<Batch>) -> Result<(), Failure> {
        let next = msg
            .into_iter()
            .map(|delivery| delivery.map(|value| value.wrapping_add(1)))
            .collect();
        self.0.send(next)?;
        Ok(())
    }
}

struct LastBatch;

impl Stage for LastBatch {
    type Msg = Batch;

    async fn handle(&mut self, msg: Batch, _: &mut Cx<Batch>) -> Result<(), Failure> {
        Receipt::settle_all(
            msg.into_iter()
                .map(|delivery| (delivery.receipt, Outcome::Stored, None)),
        );
        Ok(())
    }
}

/// A batch with one permit for all.
pub(crate) async fn batch(
    credits: &Credits,
    outlet: &Outlet<()>,
    epoch: Epoch,
    number: u64,
) -> Batch {
    let permit = credits
        .take(
            Cost {
                count: BATCH,
                bytes: BATCH * 8,
            },
            Duration::MAX,
        )
        .await
        .unwrap();
    let origin = Origin::new(Arc::clone(outlet), Some(permit));
    (0..BATCH as u64)
        .map(|at| {
            let seq = number * BATCH as u64 + at;
            let receipt = origin.receipt(Position {
                lane: 0,
                epoch,
                seq,
            });
            Delivery {
                value: seq,
                receipt,
            }
        })
        .collect()
}

pub(crate) async fn batched(messages: u64) -> Duration {
    let [first, second, last] = ["first", "second", "last"].map(Addr::new);
    let (to_last, to_second) = (last.clone(), second.clone());
    let spec = SupervisorSpec::new(Strategy::RestForOne)
        .child(ChildSpec::stage("last", &last, |_| LastBatch))
        .child(ChildSpec::stage("second", &second, move |_| {
            ForwardBatch(to_last.clone())
        }))
        .child(ChildSpec::stage("first", &first, move |_| {
            ForwardBatch(to_second.clone())
        }));
    let system = System::start("bench", spec).await.unwrap();
    let credits = Credits::new(
        "bench",
        Cost {
            count: ROOM,
            bytes: ROOM * 8,
        },
    );
    let (done, finished) = Done::after(messages);
    let outlet: Outlet<()> = done;
    let epoch = Epoch::next();
    let began = Instant::now();
    tokio::spawn(async move {
        for number in 0..messages / BATCH as u64 {
            first
                .send(batch(&credits, &outlet, epoch, number).await)
                .unwrap();
            tokio::task::yield_now().await;
        }
    });
    finished.await.unwrap();
    let took = began.elapsed();
    assert!(system.drain(Duration::from_secs(5)).await.is_clean());
    took
}
