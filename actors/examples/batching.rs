//! A batching pipeline: lines of text are parsed, batched and stored; the unusable one goes to the
//! failed handler, and the lane is committed past all of them.

use std::sync::Arc;
use std::time::Duration;

use actors::{
    BatchLimits, Epoch, Failure, Fate, Flow, Outcome, Passed, Pulled, Sink, Source, Step, System,
};

/// Gives what it holds, and then comes to its end.
struct Lines {
    lines: &'static [&'static str],
    next: usize,
}

impl Source for Lines {
    type Item = &'static str;
    type Note = ();

    async fn open(&mut self, _epoch: Epoch) -> Result<u64, Failure> {
        Ok(self.next as u64)
    }

    async fn pull(&mut self, most: usize) -> Result<Option<Vec<Pulled<&'static str>>>, Failure> {
        let first = self.next;
        let taken = self.lines.iter().skip(first).take(most);
        let pulled: Vec<_> = (first as u64..)
            .zip(taken)
            .map(|(seq, line)| Pulled {
                seq,
                bytes: line.len(),
                value: *line,
            })
            .collect();
        self.next += pulled.len();
        Ok(if pulled.is_empty() {
            None
        } else {
            Some(pulled)
        })
    }

    async fn commit(&mut self, passed: Passed<()>) -> Result<(), Failure> {
        println!("committed up to {}", passed.next);
        Ok(())
    }
}

struct Print;

impl Sink<u32, ()> for Print {
    async fn write(&self, batch: &[u32]) -> Vec<Fate<()>> {
        println!("stored {batch:?}");
        batch.iter().map(|_| Fate::Stored(None)).collect()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let flow = Flow::new("numbers", |line: &&'static str| match line.parse::<u32>() {
        Ok(number) => Step::Next(number),
        Err(error) => Step::Fail(error.into()),
    })
    .filter(|number| number % 2 == 0)
    .batches(BatchLimits {
        count: 3,
        bytes: 1024,
        age: Duration::from_millis(20),
    })
    .on_failed(|failed| async move {
        println!(
            "record {} is unusable: {}",
            failed.position.seq, failed.cause
        );
        Outcome::DeadLettered
    });
    let (pipeline, spec) = flow.build(Arc::new(Print));
    let system = System::start("batching", spec).await?;
    pipeline
        .open(0, |_| Lines {
            lines: &["2", "4", "5", "x", "6", "8"],
            next: 0,
        })
        .await?;
    // The lane closes by itself when everything in it is settled.
    while !pipeline.lanes().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let report = system.drain(Duration::from_secs(5)).await;
    println!("{}", report.exit);
    assert!(report.is_clean());
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("what it asserts holds");
}
