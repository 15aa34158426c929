//! Lanes whose writers or workers are away for a while: nothing is sent to nobody.

use actors::testkit::{MemorySink, kill_part, until};
use actors::{Backoff, Cost, Intensity};

use crate::pipelines::{lane, numbers, running};
use crate::support::SECOND;

#[tokio::test(start_paused = true)]
async fn a_writer_that_dies_as_often_as_restarts_are_allowed_ends_nothing() {
    // Backoffs have jitter: a lane is up again before its writer in many of these lives.
    for life in 0..50 {
        let sink = MemorySink::new().slow(SECOND / 100);
        let part = ["write-0", "work-0"][life % 2];
        let (system, pipeline) = running(numbers("p"), &sink).await;
        let kept = [lane([]).endless(), lane([]).endless()];
        for (number, lane) in (0..).zip(&kept) {
            let lane = lane.clone();
            pipeline.open(number, move |_| lane.source()).await.unwrap();
        }
        for _ in 0..Intensity::default().restarts {
            let committed = kept[0].committed();
            (0..20).for_each(|number| kept.iter().for_each(|lane| lane.push(number.to_string())));
            until("it is under way", || pipeline.credits().in_use().count > 0).await;
            until("there is somebody to kill", || kill_part(&pipeline, part)).await;
            until("all are committed", || {
                kept.iter().all(|lane| lane.committed() == committed + 20)
            })
            .await;
        }
        assert!(system.drain(SECOND).await.is_clean(), "life {life}");
        assert_eq!(pipeline.credits().in_use(), Cost::default());
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
