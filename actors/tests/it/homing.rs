//! Lanes whose writers or workers are away for a while: nothing is sent to nobody.

use std::sync::Arc;

use actors::testkit::{Callback, Fault, Faults, MemorySink, kill_part, run_pipeline, until};
use actors::{Backoff, Cost, Exit, Intensity, System};

use crate::pipelines::{lane, numbers, running};
use crate::support::SECOND;

/// A sink that panics at its first writes.
fn panicking(times: u64) -> MemorySink<u64> {
    let mut faults = Faults::new();
    for nth in 1..=times {
        faults = faults.at(Callback::Named("write"), nth, Fault::Panic);
    }
    MemorySink::new().faults(&faults)
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_as_often_as_restarts_are_allowed_ends_nothing() {
    let allowed = u64::from(Intensity::default().restarts);
    // Backoffs have jitter: a lane is up again before its writer in many of these lives.
    for life in 0..50 {
        let sink = panicking(allowed);
        let flow = numbers("p").workers(2).writers(1 + life % 2);
        let ran = run_pipeline(
            flow,
            Arc::new(sink.clone()),
            vec![lane(0..40), lane(40..80)],
        )
        .await;
        assert!(ran.drain.is_clean(), "life {life}: {:?}", ran.drain);
        assert!(ran.lanes.iter().all(|lane| lane.committed() == 40));
        assert_eq!(ran.pipeline.credits().in_use(), Cost::default());
    }
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_gives_up_names_what_went_wrong_and_not_who_was_away() {
    for _ in 0..20 {
        let sink = panicking(1000);
        let (pipeline, spec) = numbers("p").build(Arc::new(sink));
        let system = System::start("t", spec).await.unwrap();
        pipeline
            .open(0, move |_| lane(0..40).source())
            .await
            .unwrap();
        let Exit::MeltedDown(cause) = system.ended().await else {
            panic!("it does not give up")
        };
        assert!(cause.contains("planned panic"), "{cause}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_writer_is_away_lanes_wait_and_drain() {
    let sink = MemorySink::new();
    let slow = Backoff {
        min: 10 * SECOND,
        max: 10 * SECOND,
        ..Backoff::default()
    };
    for part in ["write-0", "work-0"] {
        let (system, pipeline) = running(numbers("p").backoff(slow), &sink).await;
        let (left, right) = (lane(0..3).endless(), lane(0..3).endless());
        for (number, lane) in [(0, &left), (1, &right)] {
            let lane = lane.clone();
            pipeline.open(number, move |_| lane.source()).await.unwrap();
        }
        until("both are committed", || {
            left.committed() == 3 && right.committed() == 3
        })
        .await;
        assert!(kill_part(&pipeline, part));
        until("it is away", || {
            let tree = system.handle().tree();
            tree.find(part).unwrap().state == actors::State::Backoff
        })
        .await;
        left.push("3".to_owned());
        right.push("3".to_owned());
        tokio::time::sleep(SECOND).await;
        assert_eq!(
            pipeline.credits().in_use(),
            Cost::default(),
            "nothing is sent"
        );
        let closed = pipeline.close(1, SECOND).await;
        assert_eq!(closed, Ok(actors::Closed::Committed), "{part}");
        until("the other one goes on", || left.committed() == 4).await;
        let restarts = system.handle().tree().find("lanes/0").unwrap().restarts;
        assert_eq!(restarts, 0, "{part}: it did not have to fail for that");
        assert!(system.drain(10 * SECOND).await.is_clean());
    }
}
