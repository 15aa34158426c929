//! The same hops with bare ractor casts: no credits, no receipts, no supervision.

use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;

use crate::BATCH;

struct Forward;

impl Actor for Forward {
    type Msg = u64;
    type State = ActorRef<u64>;
    type Arguments = ActorRef<u64>;

    async fn pre_start(
        &self,
        _: ActorRef<u64>,
        next: ActorRef<u64>,
    ) -> Result<ActorRef<u64>, ActorProcessingErr> {
        Ok(next)
    }

    async fn handle(
        &self,
        _: ActorRef<u64>,
        msg: u64,
        next: &mut ActorRef<u64>,
    ) -> Result<(), ActorProcessingErr> {
        next.cast(msg)?;
        Ok(())
    }
}

struct Last;

impl Actor for Last {
    type Msg = u64;
    type State = (u64, Option<oneshot::Sender<()>>);
    type Arguments = (u64, oneshot::Sender<()>);

    async fn pre_start(
        &self,
        _: ActorRef<u64>,
        (count, done): Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok((count, Some(done)))
    }

    async fn handle(
        &self,
        _: ActorRef<u64>,
        _: u64,
        (left, done): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        *left -= 1;
        if *left == 0 {
            done.take().unwrap().send(()).unwrap();
        }
        Ok(())
    }
}

pub(crate) async fn single(messages: u64) -> Duration {
    let (done, finished) = oneshot::channel();
    let (last, _) = Last::spawn(None, Last, (messages, done)).await.unwrap();
    let (second, _) = Forward::spawn(None, Forward, last).await.unwrap();
    let (first, _) = Forward::spawn(None, Forward, second).await.unwrap();
    let began = Instant::now();
    tokio::spawn(async move {
        for msg in 0..messages {
            first.cast(msg).unwrap();
            if msg % 100 == 99 {
                tokio::task::yield_now().await;
            }
        }
    });
    finished.await.unwrap();
    began.elapsed()
}

type Batch = Vec<u64>;

struct ForwardBatch;

impl Actor for ForwardBatch {
    type Msg = Batch;
    type State = ActorRef<Batch>;
    type Arguments = ActorRef<Batch>;

    async fn pre_start(
        &self,
        _: ActorRef<Batch>,
        next: ActorRef<Batch>,
    ) -> Result<ActorRef<Batch>, ActorProcessingErr> {
        Ok(next)
    }

    async fn handle(
        &self,
        _: ActorRef<Batch>,
        msg: Batch,
        next: &mut ActorRef<Batch>,
    ) -> Result<(), ActorProcessingErr> {
        // A stage looks at each message, here as in the toolkit's stages.
        next.cast(msg.into_iter().map(|value| value.wrapping_add(1)).collect())?;
        Ok(())
    }
}

struct LastBatch;

impl Actor for LastBatch {
    type Msg = Batch;
    type State = (u64, Option<oneshot::Sender<()>>);
    type Arguments = (u64, oneshot::Sender<()>);

    async fn pre_start(
        &self,
        _: ActorRef<Batch>,
        (count, done): Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok((count, Some(done)))
    }

    async fn handle(
        &self,
        _: ActorRef<Batch>,
        msg: Batch,
        (left, done): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        *left -= msg.len() as u64;
        if *left == 0 {
            done.take().unwrap().send(()).unwrap();
        }
        Ok(())
    }
}

pub(crate) async fn batched(messages: u64) -> Duration {
    let (done, finished) = oneshot::channel();
    let (last, _) = LastBatch::spawn(None, LastBatch, (messages, done))
        .await
        .unwrap();
    let (second, _) = ForwardBatch::spawn(None, ForwardBatch, last).await.unwrap();
    let (first, _) = ForwardBatch::spawn(None, ForwardBatch, second)
        .await
        .unwrap();
    let began = Instant::now();
    tokio::spawn(async move {
        for batch in 0..messages / BATCH as u64 {
            first
                .cast(
                    (0..BATCH as u64)
                        .map(|at| batch * BATCH as u64 + at)
                        .collect(),
                )
                .unwrap();
            tokio::task::yield_now().await;
        }
    });
    finished.await.unwrap();
    began.elapsed()
}
