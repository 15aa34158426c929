//! A keyed source with revocation: two partitions are read, one is taken away and comes back; it goes
//! on where its last commit was, and the other one notices nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actors::{Closed, Epoch, Failure, Fate, Flow, Passed, Pulled, Sink, Source, Step, System};

/// A commit that is kept outside, as a broker does. What an older epoch commits once a newer one has opened is
/// ignored: a lane that was killed may still have a commit under way.
#[derive(Clone, Default)]
struct Position(Arc<Mutex<(Option<Epoch>, u64)>>);

impl Position {
    fn opened(&self, epoch: Epoch) -> u64 {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.0 = Some(epoch);
        kept.1
    }

    fn commit(&self, epoch: Epoch, next: u64) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0 == Some(epoch) {
            kept.1 = next;
        }
    }

    fn get(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

/// A partition that never ends.
struct Partition {
    number: u32,
    epoch: Epoch,
    committed: Position,
    next: u64,
}

impl Source for Partition {
    type Item = u64;
    type Note = ();

    async fn open(&mut self, epoch: Epoch) -> Result<u64, Failure> {
        self.epoch = epoch;
        self.next = self.committed.opened(epoch);
        println!(
            "partition {} from {} in epoch {epoch}",
            self.number, self.next
        );
        Ok(self.next)
    }

    async fn pull(&mut self, _most: usize) -> Result<Option<Vec<Pulled<u64>>>, Failure> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.next += 1;
        Ok(Some(vec![Pulled {
            seq: self.next - 1,
            bytes: 8,
            value: self.next - 1,
        }]))
    }

    async fn commit(&mut self, passed: Passed<()>) -> Result<(), Failure> {
        self.committed.commit(self.epoch, passed.next);
        Ok(())
    }
}

struct Store;

impl Sink<u64, ()> for Store {
    async fn write(&self, batch: &[u64]) -> Vec<Fate<()>> {
        tokio::time::sleep(Duration::from_millis(10)).await;
        batch.iter().map(|_| Fate::Stored(None)).collect()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let (pipeline, spec) =
        Flow::new("partitions", |value: &u64| Step::Next(*value)).build(Arc::new(Store));
    let system = System::start("revocation", spec).await?;
    let committed = [Position::default(), Position::default()];
    let source = |number: u32| {
        let committed = committed[number as usize].clone();
        move |epoch| Partition {
            number,
            epoch,
            committed: committed.clone(),
            next: 0,
        }
    };
    for number in [0, 1] {
        pipeline.open(number, source(number)).await?;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;

    let outcome = pipeline.close(0, Duration::from_secs(1)).await?;
    assert_eq!(outcome, Closed::Committed);
    let at = committed[0].get();
    println!(
        "revoked partition 0: {outcome:?}, everything before {at} is stored; left: {:?}",
        pipeline.lanes()
    );

    pipeline.open(0, source(0)).await?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let report = system.drain(Duration::from_secs(5)).await;
    assert!(report.is_clean());
    println!(
        "{}, committed {:?}",
        report.exit,
        committed.map(|position| position.get())
    );
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("what it asserts holds");
}
