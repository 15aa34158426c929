//! A keyed source with revocation: two partitions are read, one is taken away and comes back; it goes
//! on where its last commit was, and the other one notices nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actors::{Closed, Epoch, Failure, Fate, Flow, Passed, Pulled, Sink, Source, Step, System};

/// A partition that never ends; the commit is kept outside, as a broker does.
struct Partition {
    number: u32,
    committed: Arc<AtomicU64>,
    next: u64,
}

impl Source for Partition {
    type Item = u64;
    type Note = ();

    async fn open(&mut self, epoch: Epoch) -> Result<u64, Failure> {
        self.next = self.committed.load(Ordering::SeqCst);
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
        self.committed.store(passed.next, Ordering::SeqCst);
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
    let committed = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
    let source = |number: u32| {
        let committed = Arc::clone(&committed[number as usize]);
        move |_epoch| Partition {
            number,
            committed: Arc::clone(&committed),
            next: 0,
        }
    };
    for number in [0, 1] {
        pipeline.open(number, source(number)).await?;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;

    let outcome = pipeline.close(0, Duration::from_secs(1)).await?;
    assert_eq!(outcome, Closed::Committed);
    let at = committed[0].load(Ordering::SeqCst);
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
        committed.map(|position| position.load(Ordering::SeqCst))
    );
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("what it asserts holds");
}
