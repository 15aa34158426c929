//! Turns, in paused time: who waits for whom, and who for nobody.

use futures_util::FutureExt;

use super::*;

/// How long an answer may take; half of it may be waited.
const ANSWER: Duration = Duration::from_secs(5);

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

/// Users whose names tell how long their histories are known to be.
fn fair(all: usize, sizes: &[(&str, u64)]) -> Fair {
    let fair = Fair::new(all, 1, ANSWER);
    for (name, size) in sizes {
        fair.seen(&user(name), *size);
    }
    fair
}

/// A wish that stands where it stands: asked once, and to be asked again.
fn wish(fair: &Fair, name: &str) -> impl Future<Output = Result<Turn, NoTurn>> + use<> {
    let (fair, user) = (fair.clone(), user(name));
    let mut wish = Box::pin(async move { fair.totals(&user, fair.deadline()).await });
    let first = (&mut wish).now_or_never();
    async move {
        match first {
            Some(decided) => decided,
            None => wish.await,
        }
    }
}

fn at_once(fair: &Fair, name: &str) -> Option<Turn> {
    wish(fair, name).now_or_never()?.ok()
}

fn nobody_is_left(fair: &Fair) -> bool {
    let book = lock(&fair.book);
    let in_use =
        fair.pages.in_use().count + book.lines.turns().map(|t| t.in_use().count).sum::<usize>();
    in_use == 0 && book.pages.is_empty() && book.lines.users() == 0
}

#[tokio::test(start_paused = true)]
async fn users_of_a_line_take_turns_whatever_each_of_them_asks_for() {
    let fair = fair(64, &[("a", LONG), ("b", LONG), ("c", 2 * LONG)]);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut reads = tokio::task::JoinSet::new();
    // All of the first one's wishes come before anybody else's.
    for (place, name) in ["a", "a", "a", "a", "b", "b", "c"].into_iter().enumerate() {
        let (wish, order) = (wish(&fair, name), Arc::clone(&order));
        reads.spawn(async move {
            let turn = wish.await;
            assert!(turn.is_ok(), "{name} at {place}");
            order.lock().unwrap().push(format!("{name}{place}"));
            tokio::time::sleep(Duration::from_millis(300)).await;
        });
    }
    reads.join_all().await;
    assert_eq!(
        *order.lock().unwrap(),
        ["a0", "b4", "c6", "a1", "b5", "a2", "a3"]
    );
    assert!(nobody_is_left(&fair));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_who_is_in_a_longer_line_and_pages_wait_for_nobody() {
    let fair = fair(2, &[("huge", 640_000), ("big", 159_999), ("mid", LONG)]);
    let huge = at_once(&fair, "huge");
    let big = at_once(&fair, "big");
    let mid = at_once(&fair, "mid");
    assert!(huge.is_some() && big.is_some() && mid.is_some());
    let waits = wish(&fair, "big");
    let (one, two) = (at_once(&fair, "small"), at_once(&fair, "smaller"));
    assert!(one.is_some() && two.is_some());
    assert!(
        at_once(&fair, "smallest").is_none(),
        "its line has two turns"
    );
    for name in ["huge", "big"] {
        assert!(fair.page(&user(name)).is_ok());
    }
    drop(big);
    assert!(waits.await.is_ok());
    drop((huge, mid, one, two));
    assert!(nobody_is_left(&fair));
}

#[tokio::test(start_paused = true)]
async fn one_read_of_a_user_at_a_time_also_where_turns_are_left() {
    let fair = fair(64, &[]);
    let first = at_once(&fair, "u1");
    let (second, gone) = (wish(&fair, "u1"), wish(&fair, "u1"));
    let mut second = Box::pin(second);
    assert!(first.is_some() && (&mut second).now_or_never().is_none());
    assert!(at_once(&fair, "u2").is_some());
    // Who leaves the line leaves no gap in it.
    drop((gone, first));
    assert!(second.await.is_ok());
    assert!(nobody_is_left(&fair));
}

#[tokio::test(start_paused = true)]
async fn who_turns_out_to_be_long_waits_with_the_long_ones_from_there_on() {
    let fair = fair(2, &[("long", LONG)]);
    let held = at_once(&fair, "long");
    let first = at_once(&fair, "new");
    let mut second = Box::pin(wish(&fair, "new"));
    fair.seen(&user("new"), LONG);
    drop(first);
    assert!(
        (&mut second).now_or_never().is_none(),
        "the turn is another's"
    );
    drop(held);
    assert!(second.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn no_wish_waits_longer_than_half_an_answer() {
    let fair = fair(2, &[("long", LONG)]);
    let first = at_once(&fair, "long");
    let began = Instant::now();
    assert!(wish(&fair, "long").await.is_err());
    assert_eq!(began.elapsed(), ANSWER / 2);
    drop(first);
    assert!(nobody_is_left(&fair));
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_most_is_sent_away_first() {
    let fair = fair(
        4,
        &[
            ("greedy", LONG),
            ("b", LONG),
            ("c", LONG),
            ("d", LONG),
            ("e", LONG),
        ],
    );
    let greedy: Vec<_> = (0..EACH).map(|_| wish(&fair, "greedy")).collect();
    let one_more = wish(&fair, "greedy").now_or_never();
    assert!(
        one_more.is_some_and(|turn| turn.is_err()),
        "four are his bound"
    );
    // The line is full of him: each who comes with less takes a place of his.
    let others: Vec<_> = ["b", "c", "d"].map(|name| wish(&fair, name)).into();
    let last = wish(&fair, "e").now_or_never();
    assert!(last.is_some_and(|turn| turn.is_err()), "everybody has one");
    let lost = greedy.into_iter().map(async |wish| wish.await.is_err());
    let others = others.into_iter().map(async |wish| wish.await.is_err());
    let (lost, others) = tokio::join!(
        futures_util::future::join_all(lost),
        futures_util::future::join_all(others)
    );
    assert_eq!(lost, [false, true, true, true]);
    assert_eq!(others, [false; 3]);
    assert!(nobody_is_left(&fair));
}

#[test]
fn pages_are_bounded_for_each_user_and_for_all() {
    let fair = fair(EACH + 1, &[]);
    let pages: Vec<_> = (0..EACH).map(|_| fair.page(&user("u1"))).collect();
    assert!(pages.iter().all(Result::is_ok));
    assert!(fair.page(&user("u1")).is_err());
    let other = fair.page(&user("u2"));
    assert!(other.is_ok() && fair.page(&user("u3")).is_err());
    drop((pages, other));
    assert!(nobody_is_left(&fair));
}

#[test]
fn no_more_are_remembered_than_a_few_thousand_and_each_as_long_as_it_was() {
    let fair = fair(1, &[]);
    for number in 0..=REMEMBERED {
        fair.seen(&user(&format!("u{number}")), 4 * LONG);
    }
    let book = lock(&fair.book);
    let Sizes { known, noted } = &book.sizes;
    assert_eq!((known.len(), noted.len()), (REMEMBERED, REMEMBERED));
    assert_eq!(book.sizes.line(&user("u0")), 0);
    drop(book);
    // A range of it is no longer history than the whole.
    fair.seen(&user("u1"), LONG);
    assert_eq!(lock(&fair.book).sizes.line(&user("u1")), 2);
}
