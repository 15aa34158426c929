//! Commits that come when their partition is another's already.

use super::*;

#[tokio::test]
async fn a_commit_that_got_no_turn_before_its_partition_was_given_back_is_never_handed_over() {
    let bench = Bench::start(vec![]).await;
    let (goes, _) = bench.open(0, 0).await;
    let (stays, _) = bench.open(1, 0).await;
    bench
        .until("both have their first commit", |bench| {
            bench.accepted().len() == 2
        })
        .await;
    let (turn, starved) = mpsc::channel();
    *bench.coordinator.starved.lock().unwrap() = Some(starved);
    bench.serve(0, goes, 0..10);
    bench.serve(1, stays, 0..10);
    bench
        .until("a commit waits for its turn", |bench| {
            bench.coordinator.starved.lock().unwrap().is_none()
        })
        .await;
    // Its time is over, and it is another's now, who may be much further.
    let released = bench.release(0, Duration::from_millis(20), false).await;
    assert_eq!((released.next, released.committed), (10, false));
    turn.send(()).unwrap();
    bench
        .until("what stayed is committed", |bench| {
            bench.accepted().contains(&(1, 10))
        })
        .await;
    let late: Vec<_> = bench
        .accepted()
        .into_iter()
        .filter(|(of, _)| *of == 0)
        .collect();
    assert_eq!(late, [(0, 0)], "nothing of it was committed any more");
}
