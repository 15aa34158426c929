//! Lanes that were given up while they were closed, and what they still do.

use std::time::Duration;

use actors::testkit::{MemorySink, until};
use actors::{Closed, Epoch, Failure, Passed, Pulled, Source};

use crate::pipelines::{numbers, running};
use crate::support::SECOND;

/// One record, and commits that take long and are never refused.
struct Lingering {
    given: bool,
    takes: Duration,
}

impl Source for Lingering {
    type Item = String;
    type Note = ();

    async fn open(&mut self, _: Epoch) -> Result<u64, Failure> {
        Ok(0)
    }

    async fn pull(&mut self, _: usize) -> Result<Option<Vec<Pulled<String>>>, Failure> {
        if std::mem::replace(&mut self.given, true) {
            return Ok(None);
        }
        let value = "1".to_owned();
        Ok(Some(vec![Pulled {
            seq: 0,
            bytes: 1,
            value,
        }]))
    }

    async fn commit(&mut self, _: Passed<()>) -> Result<(), Failure> {
        tokio::time::sleep(self.takes).await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_lane_that_was_given_up_commits_late_is_not_its_successors_commit() {
    let sink = MemorySink::new();
    let (_system, pipeline) = running(numbers("p"), &sink).await;
    for (written, takes) in [(1, 10 * SECOND), (2, 3600 * SECOND)] {
        let source = move |_| Lingering {
            given: false,
            takes,
        };
        pipeline.open(0, source).await.unwrap();
        until("it is written", || sink.written().len() == written).await;
        assert_eq!(pipeline.close(0, SECOND).await, Ok(Closed::Overran));
        tokio::time::sleep(20 * SECOND).await;
    }
    let last = move |_| Lingering {
        given: false,
        takes: SECOND,
    };
    pipeline.open(0, last).await.unwrap();
    assert_eq!(pipeline.close(0, 10 * SECOND).await, Ok(Closed::Committed));
}
