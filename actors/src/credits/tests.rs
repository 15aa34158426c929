//! What senders rely on.

use std::time::Duration;

use tokio::time::timeout;

use super::*;

const fn cost(count: usize) -> Cost {
    Cost {
        count,
        bytes: count * 10,
    }
}

#[test]
fn a_dropped_permit_is_returned_and_a_part_returns_alone() {
    let credits = Credits::new("t", cost(4));
    let mut whole = credits.try_take(cost(4)).unwrap();
    let part = whole.split(cost(3)).unwrap();
    assert!(whole.split(cost(2)).is_none());
    assert_eq!(whole.cost(), cost(1));
    drop(part);
    assert_eq!(credits.in_use(), cost(1));
    drop(whole);
    assert_eq!(credits.in_use(), Cost::default());
}

#[test]
fn bytes_bound_as_well_as_records() {
    let credits = Credits::new(
        "t",
        Cost {
            count: 100,
            bytes: 10,
        },
    );
    let _held = credits.try_take(Cost { count: 1, bytes: 9 }).unwrap();
    assert_eq!(
        credits.try_take(Cost { count: 1, bytes: 2 }).unwrap_err(),
        Refused::NoneLeft
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_larger_than_the_whole_is_refused_at_once() {
    let credits = Credits::new("t", cost(4));
    let too_large = Refused::TooLarge {
        asked: cost(5),
        limit: cost(4),
    };
    assert_eq!(credits.try_take(cost(5)).unwrap_err(), too_large);
    assert_eq!(
        credits.take(cost(5), Duration::MAX).await.unwrap_err(),
        too_large
    );
}

#[test]
#[should_panic(expected = "credits `t` with a limit of 0 records of 1 bytes could never be taken")]
fn a_zero_limit_is_refused() {
    Credits::new("t", Cost { count: 0, bytes: 1 });
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_at_its_time_and_leaves_the_line() {
    let credits = Credits::new("t", cost(2));
    let held = credits.try_take(cost(1)).unwrap();
    assert_eq!(
        credits
            .take(cost(2), Duration::from_secs(1))
            .await
            .unwrap_err(),
        Refused::TimedOut
    );
    let _second = credits.try_take(cost(1)).unwrap();
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_large_request_is_not_overtaken_by_small_ones() {
    let credits = Credits::new("t", cost(2));
    let first = credits.try_take(cost(1)).unwrap();
    let mut large = Box::pin(credits.take(cost(2), Duration::MAX));
    assert!(timeout(Duration::ZERO, &mut large).await.is_err());
    assert_eq!(credits.try_take(cost(1)).unwrap_err(), Refused::NoneLeft);
    drop(first);
    assert_eq!(large.await.unwrap().cost(), cost(2));
}

#[tokio::test(start_paused = true)]
async fn a_grant_nobody_fetched_goes_to_the_next_in_line() {
    let credits = Credits::new("t", cost(1));
    let held = credits.try_take(cost(1)).unwrap();
    let mut first = Box::pin(credits.take(cost(1), Duration::MAX));
    let mut second = Box::pin(credits.take(cost(1), Duration::MAX));
    assert!(timeout(Duration::ZERO, &mut first).await.is_err());
    assert!(timeout(Duration::ZERO, &mut second).await.is_err());
    drop(held);
    drop(first);
    drop(second.await.unwrap());
    assert_eq!(credits.in_use(), Cost::default());
}

#[tokio::test(start_paused = true)]
async fn a_smaller_limit_waits_for_returns_and_sends_the_too_large_away() {
    let credits = Credits::new("t", cost(4));
    let held = credits.try_take(cost(4)).unwrap();
    let mut large = Box::pin(credits.take(cost(3), Duration::MAX));
    assert!(timeout(Duration::ZERO, &mut large).await.is_err());
    credits.resize(cost(2));
    assert_eq!(
        large.await.unwrap_err(),
        Refused::TooLarge {
            asked: cost(3),
            limit: cost(2)
        }
    );
    assert_eq!(credits.try_take(cost(1)).unwrap_err(), Refused::NoneLeft);
    drop(held);
    let _two = credits.try_take(cost(2)).unwrap();
    credits.resize(cost(3));
    let _third = credits.try_take(cost(1)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn closing_refuses_who_waits_and_leaves_permits_harmless() {
    let credits = Credits::new("t", cost(1));
    let held = credits.try_take(cost(1)).unwrap();
    let mut waiting = Box::pin(credits.take(cost(1), Duration::MAX));
    assert!(timeout(Duration::ZERO, &mut waiting).await.is_err());
    credits.close();
    assert_eq!(waiting.await.unwrap_err(), Refused::Closed);
    drop(held);
    assert_eq!(credits.try_take(cost(1)).unwrap_err(), Refused::Closed);
    assert_eq!(credits.in_use(), Cost::default());
}

#[tokio::test(start_paused = true)]
async fn reclaimed_credits_are_there_again_and_old_permits_return_nothing() {
    let credits = Credits::new("t", cost(1));
    let lost = credits.try_take(cost(1)).unwrap();
    let mut waiting = Box::pin(credits.take(cost(1), Duration::MAX));
    assert!(timeout(Duration::ZERO, &mut waiting).await.is_err());
    credits.reclaim();
    let _mine = waiting.await.unwrap();
    drop(lost);
    assert_eq!(credits.in_use(), cost(1));
}
