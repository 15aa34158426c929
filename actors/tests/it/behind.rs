//! Lanes that stand behind what has nothing to do with them: a writer's death, a decision about another's
//! record.

use std::sync::{Arc, Mutex};

use actors::testkit::{MemorySink, kill_part, until, until_within};
use actors::{Backoff, BatchLimits, Cost, Event, Fate, Outcome, Sink, State, System};

use crate::pipelines::{lane, numbers, running};
use crate::support::SECOND;

#[tokio::test(start_paused = true)]
async fn the_credits_that_a_dying_writer_gives_back_are_not_spent_on_it() {
    let sink = MemorySink::new();
    let slow = Backoff {
        min: 10 * SECOND,
        max: 10 * SECOND,
        ..Backoff::default()
    };
    let patient = BatchLimits {
        count: 100,
        bytes: 10_000,
        age: 60 * SECOND,
    };
    let room = Cost {
        count: 3,
        bytes: 1000,
    };
    let flow = numbers("p").backoff(slow).batches(patient).credits(room);
    let (system, pipeline) = running(flow, &sink).await;
    for (number, kept) in [(0, lane(0..3).endless()), (1, lane(0..1).endless())] {
        pipeline.open(number, move |_| kept.source()).await.unwrap();
        // The first one has all of them, the second one waits in line.
        tokio::time::sleep(SECOND).await;
        assert_eq!(pipeline.credits().in_use().count, 3);
    }
    assert!(kill_part(&pipeline, "write-0"));
    let place = |id| system.handle().tree().find(id).unwrap().clone();
    until("it is away", || place("write-0").state == State::Backoff).await;
    tokio::time::sleep(SECOND).await;
    let behind = place("lanes/1");
    assert_eq!((behind.restarts, behind.state), (0, State::Running));
}

/// Panics on seven, and takes its time for everything else.
#[derive(Default)]
struct Slowly(Mutex<Vec<u64>>);

impl Sink<u64, ()> for Slowly {
    async fn write(&self, batch: &[u64]) -> Vec<Fate<()>> {
        assert!(!batch.contains(&7), "seven");
        tokio::time::sleep(7 * SECOND).await;
        self.0.lock().unwrap().extend(batch);
        batch.iter().map(|_| Fate::Stored(None)).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_decision_about_a_record_whose_lane_is_gone_is_a_sign_of_life_for_those_behind_it() {
    let sink = Arc::<Slowly>::default();
    let flow = numbers("p").watch(10 * SECOND).on_failed(|_| async {
        tokio::time::sleep(7 * SECOND).await;
        Outcome::DeadLettered
    });
    let (pipeline, spec) = flow.build(Arc::clone(&sink));
    let system = System::start("t", spec).await.unwrap();
    let mut events = system.handle().events();
    let (bad, good) = (lane([7]).endless(), lane(100..103).endless());
    for (number, kept) in [(0, &bad), (1, &good)] {
        let kept = kept.clone();
        pipeline.open(number, move |_| kept.source()).await.unwrap();
        tokio::time::sleep(SECOND).await;
    }
    let closed = pipeline.close(0, SECOND).await;
    assert_eq!(closed, Ok(actors::Closed::Overran));
    let limit = 300 * SECOND;
    until_within(limit, "the other one is committed", || {
        good.committed() == 3
    })
    .await;
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, Event::Stalled { .. }), "{event:?}");
    }
    assert_eq!(*sink.0.lock().unwrap(), [100, 101, 102]);
}
