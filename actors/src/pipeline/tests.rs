//! Books of lanes: what is settled late, twice, or without a word. Turns of writes. What a worker
//! leaves alone.

use std::sync::Arc;
use std::time::Duration;

use super::Work;
use super::book::{Book, DROPPED, Pulses, Tally};
use super::decide::Judge;
use super::house::{House, Presence};
use super::ports::Step;
use super::turns::Turns;
use super::work::{WorkMsg, Worker};
use crate::sync::{AtomicU64, Ordering};
use crate::{
    Addr, ChildSpec, Cost, Credits, Delivery, Epoch, Origin, Outcome, Position, Pulse, Settle,
    Settled, Strategy, SupervisorSpec, System,
};

fn settled(seq: u64, epoch: Epoch) -> Vec<Settled<()>> {
    let position = Position {
        lane: 0,
        epoch,
        seq,
    };
    vec![Settled {
        position,
        outcome: Outcome::Stored,
        note: None,
    }]
}

#[test]
fn what_comes_after_the_close_or_under_another_epoch_is_counted_and_changes_nothing() {
    let (epoch, tally) = (Epoch::next(), Arc::<Tally>::default());
    let pulses = Pulses::new(&tally);
    let pulse = pulses.records.clone();
    let book = Book::new(epoch, 0, pulses, Arc::clone(&tally));
    let credits = Credits::new("t", Cost { count: 3, bytes: 3 });
    let permit = Arc::new(credits.try_take(Cost { count: 3, bytes: 3 }).unwrap());
    book.admit(0..3, &permit).unwrap();
    book.settled(settled(0, epoch));
    book.settled(settled(1, Epoch::next()));
    assert_eq!(tally.fenced.load(Ordering::Relaxed), 1);
    assert_eq!((book.read().passed.next, pulse.pending()), (1, 2));
    book.close();
    assert_eq!(
        credits.in_use(),
        Cost::default(),
        "taken back, although the permit is out there"
    );
    book.settled(settled(1, epoch));
    assert_eq!(tally.fenced.load(Ordering::Relaxed), 2);
    assert_eq!((book.read().passed.next, pulse.pending()), (1, 2));
    let mine = credits.try_take(Cost { count: 2, bytes: 2 }).unwrap();
    drop(permit);
    assert_eq!(credits.in_use(), mine.cost(), "it does not come back twice");
}

#[test]
fn a_second_settlement_is_seen_before_and_after_the_close() {
    let (epoch, tally) = (Epoch::next(), Arc::<Tally>::default());
    let book = Book::new(epoch, 0, Pulses::new(&tally), Arc::clone(&tally));
    let credits = Credits::new("t", Cost { count: 3, bytes: 3 });
    let permit = Arc::new(credits.try_take(Cost { count: 3, bytes: 3 }).unwrap());
    book.admit(0..3, &permit).unwrap();
    let seen = || [&tally.open, &tally.twice].map(|count| count.load(Ordering::Relaxed));
    book.settled(settled(0, epoch));
    assert_eq!(seen(), [2, 0]);
    book.settled(settled(0, epoch));
    assert_eq!(seen()[1], 1);
    book.close();
    book.settled(settled(1, epoch));
    book.settled(settled(2, epoch));
    assert_eq!(
        seen(),
        [0, 2],
        "one settlement more than there were records"
    );
}

#[test]
fn the_cause_of_the_first_record_with_one_is_told_and_silence_has_words_too() {
    let tally = Arc::<Tally>::default();
    let book = Book::<()>::new(Epoch::next(), 0, Pulses::new(&tally), tally);
    let failed = |seq| {
        let mut batch = settled(seq, Epoch::next());
        batch[0].outcome = Outcome::Failed;
        batch
    };
    book.settled(failed(1));
    assert_eq!(book.read().failed, Some((1, DROPPED.to_owned())));
    book.because(4, "late");
    book.because(2, "early");
    book.because(3, "between");
    book.settled(failed(2));
    assert_eq!(book.read().failed, Some((2, "early".to_owned())));
}

#[tokio::test]
async fn a_line_nobody_stands_in_takes_no_room() {
    let turns = Arc::<Turns>::default();
    let first = turns.line_up(7).await;
    let waiting = tokio::time::timeout(std::time::Duration::ZERO, turns.line_up(7)).await;
    assert!(waiting.is_err(), "one at a time");
    assert!(!turns.is_empty());
    drop(first);
    assert!(turns.is_empty());
}

#[tokio::test]
async fn the_place_in_a_line_is_taken_before_anybody_waits_there() {
    let turns = Arc::<Turns>::default();
    let first = turns.line_up(7);
    let second = tokio::time::timeout(Duration::ZERO, turns.line_up(7)).await;
    assert!(second.is_err(), "behind one that nobody waits with yet");
    let third = turns.line_up(7);
    drop(first.await);
    drop(third.await);
    let given_up = turns.line_up(7);
    drop(given_up);
    assert!(turns.is_empty());
}

/// A note that looks into its book when it is dropped.
struct Nosy(Arc<Book<Nosy>>);

impl Drop for Nosy {
    fn drop(&mut self) {
        assert!(self.0.read().passed.settled.is_empty());
    }
}

#[test]
fn a_note_that_nobody_wants_is_dropped_where_it_may_do_what_it_likes() {
    let (epoch, tally) = (Epoch::next(), Arc::<Tally>::default());
    let book = Arc::new(Book::new(epoch, 0, Pulses::new(&tally), Arc::clone(&tally)));
    let settled = |seq, outcome| Settled {
        position: Position {
            lane: 0,
            epoch,
            seq,
        },
        outcome,
        note: Some(Nosy(Arc::clone(&book))),
    };
    let notes = [settled(9, Outcome::Stored), settled(0, Outcome::Failed)];
    let (done, wait) = std::sync::mpsc::channel();
    let there = Arc::clone(&book);
    std::thread::spawn(move || {
        there.settled(Vec::from(notes));
        done.send(()).unwrap();
    });
    let limit = Duration::from_secs(10);
    assert_eq!(wait.recv_timeout(limit), Ok(()), "it stands before a lock");
    assert_eq!(tally.fenced.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn records_of_a_halted_book_see_no_step_and_no_failed_handler() {
    let counts = [0; 2].map(|_| Arc::<AtomicU64>::default());
    let [steps, handled] = counts.clone();
    let judge = Judge::<u64, u64> {
        handler: Arc::new(move |_| {
            handled.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Outcome::DeadLettered })
        }),
        within: Duration::from_secs(1),
    };
    let addr = Addr::new("work");
    let child = ChildSpec::stage("work", &addr, move |_| {
        let steps = Arc::clone(&steps);
        Worker::<u64, u64, ()>::new(
            Arc::new(move |_| {
                steps.fetch_add(1, Ordering::Relaxed);
                Step::Fail("planned".into())
            }),
            judge.clone(),
            Arc::from([Addr::new("nobody")]),
            Pulse::new(),
            Presence::in_house(&House::of(1), 0),
        )
    });
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(child);
    let system = System::start("t", spec).await.unwrap();
    let (epoch, tally) = (Epoch::next(), Arc::<Tally>::default());
    let credits = Credits::new("t", Cost { count: 4, bytes: 4 });
    for (halted, seen) in [(true, [0, 0]), (false, [1, 2])] {
        let book = Arc::new(Book::<()>::new(
            epoch,
            0,
            Pulses::new(&tally),
            Arc::clone(&tally),
        ));
        let permit = Arc::new(credits.try_take(Cost { count: 2, bytes: 2 }).unwrap());
        book.admit(0..2, &permit).unwrap();
        let origin = Origin::watched(Arc::clone(&book) as Arc<dyn Settle<()>>, permit);
        let work = |seq| Work {
            key: 0,
            bytes: 1,
            book: Arc::clone(&book),
            delivery: Delivery {
                value: seq,
                receipt: origin.receipt(Position {
                    lane: 0,
                    epoch,
                    seq,
                }),
            },
        };
        let msgs = [
            WorkMsg::Push(vec![work(0)]),
            WorkMsg::Unkeyed(Box::new(work(1)), "no key".to_owned()),
        ];
        if halted {
            book.close();
        }
        for msg in msgs {
            addr.send(msg).unwrap();
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let counted = counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counted, seen, "halted: {halted}");
        assert_eq!(tally.open.load(Ordering::Relaxed), 0, "all are settled");
    }
    assert!(system.drain(Duration::from_secs(1)).await.is_clean());
}

#[test]
fn a_chunk_that_is_refused_leaves_nothing_open() {
    let (epoch, tally) = (Epoch::next(), Arc::<Tally>::default());
    let pulses = Pulses::new(&tally);
    let records = pulses.records.clone();
    let book = Book::<()>::new(epoch, 0, pulses, Arc::clone(&tally));
    let credits = Credits::new("t", Cost { count: 3, bytes: 3 });
    let permit = Arc::new(credits.try_take(Cost { count: 3, bytes: 3 }).unwrap());
    let refused = book.admit([0, 1, 1], &permit).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "sequence 1 is below 2, the least that may come now"
    );
    let open = tally.open.load(Ordering::Relaxed);
    assert_eq!((open, records.pending()), (0, 0));
}
