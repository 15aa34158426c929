//! Lanes that come and go, and what holds them: credits, rate, pause, the watchdog.

use std::time::Duration;

use actors::testkit::{Callback, Fault, Faults, MemorySink, until, until_within};
use actors::{BatchLimits, Closed, Cost, Intensity, Rate, StartError};

use crate::pipelines::{SMALL, lane, numbers, running};
use crate::support::SECOND;

#[tokio::test(start_paused = true)]
async fn a_closed_lane_is_written_and_committed_and_the_others_go_on() {
    let sink = MemorySink::new().slow(SECOND);
    // Old enough only after an hour: closing has to flush.
    let hour = BatchLimits {
        age: Duration::from_secs(3600),
        ..SMALL
    };
    let (system, pipeline) = running(numbers("p").batches(hour), &sink).await;
    let (left, right) = (lane(0..5).endless(), lane(100..102).endless());
    for (number, lane) in [(0, &left), (1, &right)] {
        let lane = lane.clone();
        pipeline.open(number, move |_| lane.source()).await.unwrap();
    }
    let again = pipeline.open(0, |_| lane(0..1).source()).await;
    assert_eq!(again, Err(StartError::AlreadyThere("0".to_owned())));
    until("all are on their way", || {
        pipeline.credits().in_use().count == 7
    })
    .await;
    assert_eq!(pipeline.close(0, 10 * SECOND).await, Ok(Closed::Committed));
    assert_eq!((left.committed(), pipeline.lanes()), (5, vec![1]));
    left.push("5".to_owned());
    let reopened = left.clone();
    pipeline.open(0, move |_| reopened.source()).await.unwrap();
    until("it goes on where it was", || {
        pipeline.credits().in_use().count > 0
    })
    .await;
    right.push("102".to_owned());
    let report = system.drain(10 * SECOND).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((left.committed(), right.committed()), (6, 3));
    assert_eq!(sink.written().len(), 9);
    assert_eq!(
        pipeline.open(2, |_| lane(0..1).source()).await,
        Err(StartError::Drained)
    );
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_cannot_be_drained_in_time_is_given_up_and_its_late_settlements_are_harmless() {
    let sink = MemorySink::new().slow(60 * SECOND);
    let (_system, pipeline) = running(numbers("p"), &sink).await;
    let left = lane(0..5).endless();
    let first = left.clone();
    pipeline.open(0, move |_| first.source()).await.unwrap();
    until("all are on their way", || {
        pipeline.credits().in_use().count == 5
    })
    .await;
    assert_eq!(pipeline.close(0, SECOND).await, Ok(Closed::Overran));
    assert_eq!(
        pipeline.credits().in_use(),
        Cost::default(),
        "what a dead lane has under way holds nobody's room"
    );
    assert_eq!(pipeline.fenced(), 0);
    let second = left.clone();
    pipeline.open(0, move |_| second.source()).await.unwrap();
    tokio::time::sleep(70 * SECOND).await;
    assert_eq!(
        left.committed(),
        0,
        "written under the old epoch, so not committed under the new"
    );
    assert_eq!(pipeline.fenced(), 5, "late, and counted");
    until_within(90 * SECOND, "written again", || left.committed() == 5).await;
    assert_eq!(sink.written().len(), 10);
    assert_eq!(pipeline.fenced(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_paused_pipeline_stands_still_and_goes_on() {
    let sink = MemorySink::new();
    let (_system, pipeline) = running(numbers("p"), &sink).await;
    let left = lane(0..5).endless();
    pipeline.pause();
    let first = left.clone();
    pipeline.open(0, move |_| first.source()).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert!(sink.written().is_empty());
    pipeline.resume();
    until("it is committed", || left.committed() == 5).await;
    pipeline.pause();
    left.push("5".to_owned());
    tokio::time::sleep(SECOND).await;
    assert_eq!(left.committed(), 5);
    assert_eq!(
        pipeline.close(0, SECOND).await,
        Ok(Closed::Committed),
        "a paused lane drains too"
    );
}

#[tokio::test(start_paused = true)]
async fn the_rate_holds_and_may_be_changed() {
    let sink = MemorySink::new();
    let rate = Rate {
        per_second: 10.0,
        burst: 10,
    };
    let (_system, pipeline) = running(numbers("p").rate(rate).chunk(5), &sink).await;
    let left = lane(0..1000);
    let first = left.clone();
    pipeline.open(0, move |_| first.source()).await.unwrap();
    tokio::time::sleep(9 * SECOND).await;
    let committed = left.committed();
    assert!(
        (90..=110).contains(&committed),
        "{committed} after nine seconds at ten a second"
    );
    pipeline.set_rate(None);
    until("the rest is there at once", || left.committed() == 1000).await;
}

#[tokio::test(start_paused = true)]
async fn credits_bound_what_is_under_way_and_a_record_larger_than_all_passes_alone() {
    let sink = MemorySink::new().slow(SECOND);
    let flow = numbers("p").credits(Cost {
        count: 20,
        bytes: 1,
    });
    let (_system, pipeline) = running(flow, &sink).await;
    let left = lane(0..10);
    let first = left.clone();
    pipeline.open(0, move |_| first.source()).await.unwrap();
    tokio::time::sleep(SECOND / 2).await;
    assert_eq!(
        pipeline.credits().in_use().count,
        1,
        "bytes allow one at a time"
    );
    pipeline.credits().resize(Cost {
        count: 4,
        bytes: 100,
    });
    for _ in 0..5 {
        tokio::time::sleep(SECOND).await;
        assert!(pipeline.credits().in_use().count <= 4);
    }
    until("all are committed", || left.committed() == 10).await;
}

#[tokio::test(start_paused = true)]
async fn a_lane_whose_records_hang_in_the_sink_is_restarted_alone() {
    let faults = Faults::new().at(Callback::Named("write"), 1, Fault::Hang);
    let sink = MemorySink::new().faults(&faults);
    let flow = numbers("p").watch(5 * SECOND).batches_per_key(2);
    let (system, pipeline) = running(flow, &sink).await;
    let lanes = [lane(0..5).endless(), lane(100..105).endless()];
    for (number, lane) in (0..).zip(&lanes) {
        let lane = lane.clone();
        pipeline.open(number, move |_| lane.source()).await.unwrap();
    }
    until("the other lane is committed", || lanes[1].committed() == 5).await;
    tokio::time::sleep(8 * SECOND).await;
    let tree = system.handle().tree();
    assert_eq!(tree.find("lanes/0").unwrap().restarts, 1);
    assert_eq!(tree.find("lanes/1").unwrap().restarts, 0);
    assert!(
        pipeline.credits().in_use().count <= 5,
        "the hanging records of the lane before hold no room"
    );
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_shrinks_below_what_a_lane_waits_for_has_it_ask_for_less() {
    let sink = MemorySink::new().slow(SECOND);
    let room = |count| Cost { count, bytes: 100 };
    let flow = numbers("p").credits(room(10)).intensity(Intensity {
        restarts: 0,
        within: SECOND,
    });
    let (system, pipeline) = running(flow, &sink).await;
    let lanes = [lane(0..10), lane(100..110)];
    for (number, lane) in (0..).zip(&lanes) {
        let lane = lane.clone();
        pipeline.open(number, move |_| lane.source()).await.unwrap();
    }
    tokio::time::sleep(SECOND / 2).await;
    assert_eq!(pipeline.credits().in_use().count, 10, "the other one waits");
    pipeline.credits().resize(room(3));
    // And grows again before the lane could look.
    pipeline.credits().resize(room(2));
    pipeline.credits().resize(room(4));
    until_within(60 * SECOND, "both are committed", || {
        lanes.iter().all(|lane| lane.committed() == 10)
    })
    .await;
    assert!(system.drain(SECOND).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_drains_leaves_the_line_to_those_behind_it() {
    let sink = MemorySink::new().slow(30 * SECOND);
    let flow = numbers("p")
        .credits(Cost {
            count: 10,
            bytes: 100,
        })
        .chunk(8)
        .writers(2)
        .key(|text| text.parse::<u64>().unwrap_or(0) / 100)
        .batches_per_key(8);
    let (_system, pipeline) = running(flow, &sink).await;
    // Five records under way, and eight that wait for credit.
    let big = lane(0..5).endless();
    let source = big.clone();
    pipeline.open(0, move |_| source.source()).await.unwrap();
    until("they are sent", || pipeline.credits().in_use().count == 5).await;
    for number in 5..13 {
        big.push(number.to_string());
    }
    // Fits beside them, but stands behind.
    let small = lane(100..102).endless();
    let source = small.clone();
    pipeline.open(1, move |_| source.source()).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(
        pipeline.credits().in_use().count,
        5,
        "first come, first served"
    );
    let closing = pipeline.clone();
    let closing = tokio::spawn(async move { closing.close(0, 60 * SECOND).await });
    until("the small one passes", || {
        pipeline.credits().in_use().count == 7
    })
    .await;
    assert_eq!(closing.await.unwrap(), Ok(Closed::Committed));
    assert_eq!(big.committed(), 5, "what waited was never sent on");
}

#[tokio::test(start_paused = true)]
async fn a_new_rate_reaches_lanes_that_sleep_and_a_lane_that_leaves_takes_no_tokens_along() {
    let crawl = Rate {
        per_second: 0.001,
        burst: 50,
    };
    let (_system, pipeline) = running(numbers("p").rate(crawl), &MemorySink::new()).await;
    let lanes = [lane(0..100).endless(), lane(100..105).endless()];
    for (number, lane) in (0..).zip(&lanes) {
        let lane = lane.clone();
        pipeline.open(number, move |_| lane.source()).await.unwrap();
    }
    until("both wait", || {
        lanes[0].committed() == 50 && pipeline.credits().in_use().count == 55
    })
    .await;
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(
        pipeline.close(0, SECOND).await,
        Ok(Closed::Committed),
        "nothing more of it was sent on"
    );
    assert_eq!(pipeline.credits().in_use().count, 5, "its credit is back");
    let slow = Rate {
        per_second: 1.0,
        burst: 1,
    };
    pipeline.set_rate(Some(slow));
    until("the fifty before it are not waited for", || {
        lanes[1].committed() == 5
    })
    .await;
    pipeline.set_rate(Some(crawl));
    for number in 105..200 {
        lanes[1].push(number.to_string());
    }
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(lanes[1].committed(), 5);
    pipeline.set_rate(None);
    until("it is awake", || lanes[1].committed() == 100).await;
}

#[tokio::test(start_paused = true)]
async fn a_hung_write_is_given_up_and_the_other_lanes_of_its_writer_go_on() {
    for per_key in [false, true] {
        let faults = Faults::new().at(Callback::Named("write"), 1, Fault::Hang);
        let sink = MemorySink::new().faults(&faults);
        let mut flow = numbers("p").watch(60 * SECOND);
        if per_key {
            flow = flow.batches_per_key(1);
        }
        let (system, pipeline) = running(flow, &sink).await;
        let lanes = [lane(0..5).endless(), lane(100..105).endless()];
        for (number, lane) in (0..).zip(&lanes) {
            let kept = lane.clone();
            pipeline.open(number, move |_| kept.source()).await.unwrap();
            until("it writes", || faults.calls(Callback::Named("write")) > 0).await;
        }
        tokio::time::sleep(44 * SECOND).await;
        assert_eq!(lanes[1].committed(), 0, "one write at a time");
        until("both go on", || {
            lanes.iter().all(|lane| lane.committed() == 5)
        })
        .await;
        let place = |id: &str| system.handle().tree().find(id).unwrap().clone();
        assert_eq!(
            place("lanes/0").last_cause.as_deref(),
            Some("failed: record 0 of lane 0 failed: the sink did not write it within 45s")
        );
        for alone in ["lanes/1", "write-0", "work-0"] {
            assert_eq!(place(alone).restarts, 0, "{alone}, per key: {per_key}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn writes_that_hang_again_and_again_end_the_pipeline_with_the_cause() {
    for quiet in [2 * SECOND, 20 * SECOND, 600 * SECOND] {
        let faults = Faults::new().always(Callback::Named("write"), Fault::Hang);
        let sink = MemorySink::new().faults(&faults);
        let (system, pipeline) = running(numbers("p").watch(quiet), &sink).await;
        let kept = lane(0..5).endless();
        pipeline.open(0, move |_| kept.source()).await.unwrap();
        let ended = tokio::time::timeout(12 * quiet + 60 * SECOND, system.ended()).await;
        let exit = ended.unwrap().to_string();
        let cause = format!("the sink did not write it within {:?}", quiet / 4 * 3);
        assert!(exit.ends_with(&cause), "{exit}");
        assert_eq!(pipeline.credits().in_use(), Cost::default());
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_says_whether_the_lane_is_committed() {
    let faults = Faults::new().always(Callback::Named("commit"), Fault::Error);
    let sink = MemorySink::new().slow(SECOND);
    let (_system, pipeline) = running(numbers("p"), &sink).await;
    let refused = lane(0..5).endless().faults(&faults);
    let source = refused.clone();
    pipeline.open(0, move |_| source.source()).await.unwrap();
    until("it is sent", || pipeline.credits().in_use().count == 5).await;
    assert_eq!(
        pipeline.close(0, 10 * SECOND).await,
        Ok(Closed::Failed),
        "everything is settled, and the commit was refused"
    );
    faults.clear();
    let source = refused.clone();
    pipeline.open(0, move |_| source.source()).await.unwrap();
    assert_eq!(pipeline.close(0, 10 * SECOND).await, Ok(Closed::Committed));
}

#[tokio::test(start_paused = true)]
async fn control_needs_no_credits() {
    let sink = MemorySink::new().slow(SECOND);
    let hour = BatchLimits {
        age: 3600 * SECOND,
        ..SMALL
    };
    let flow = numbers("p").batches(hour).credits(Cost {
        count: 5,
        bytes: 100,
    });
    let (system, pipeline) = running(flow, &sink).await;
    let lanes = [lane(0..5).endless(), lane(100..105).endless()];
    for (number, lane) in (0..).zip(&lanes) {
        let lane = lane.clone();
        pipeline.open(number, move |_| lane.source()).await.unwrap();
    }
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(pipeline.credits().in_use().count, 5, "all there are");
    // Nothing is left for anybody, and everything that is said is heard.
    assert_eq!(pipeline.close(1, SECOND).await, Ok(Closed::Committed));
    pipeline.flush();
    until("it is flushed", || lanes[0].committed() == 5).await;
    pipeline.pause();
    pipeline.resume();
    assert!(system.drain(SECOND).await.is_clean());
}
