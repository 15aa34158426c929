//! Births and ends of actors, their owned work, and the turns of writes.

use std::sync::Arc;

use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::sync::mpsc;
use shuttle::{future, thread};

use crate::bell::Bell;
use crate::check;
use crate::control::{Control, Reachable};
use crate::home::Home;
use crate::turns::Turns;
use crate::word::Word;

#[derive(Default)]
struct Orders {
    kills: AtomicUsize,
    drains: AtomicUsize,
}

struct Target(Arc<Orders>);

impl Reachable for Target {
    type Order = ();

    fn kill(&self) {
        self.0.kills.fetch_add(1, Ordering::SeqCst);
    }

    fn drain(&self, (): ()) {
        self.0.drains.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn orders_given_during_a_birth_reach_the_newborn() {
    check(|| {
        let control = Arc::new(Control::<Target>::default());
        let orders = Arc::new(Orders::default());
        let (birth, child) = (Arc::clone(&control), Arc::clone(&orders));
        let birth = thread::spawn(move || {
            birth.reached(Target(child));
            birth.up();
        });
        let drain = Arc::clone(&control);
        let drain = thread::spawn(move || drain.drain(()));
        control.kill();
        birth.join().expect("it does not panic");
        drain.join().expect("it does not panic");
        assert_eq!(orders.kills.load(Ordering::SeqCst), 1);
        assert_eq!(orders.drains.load(Ordering::SeqCst), 1);
        assert!(control.is_killed());
    });
}

#[test]
fn a_bell_wakes_for_every_result() {
    check(|| {
        let bell = Arc::new(Bell::new());
        let (results_in, results) = mpsc::channel();
        let (wake, wakes) = mpsc::channel();
        let workers: Vec<_> = (0..3)
            .map(|number| {
                let (bell, results_in, wake) =
                    (Arc::clone(&bell), results_in.clone(), wake.clone());
                thread::spawn(move || {
                    results_in.send(number).expect("somebody listens");
                    if bell.ring() {
                        wake.send(()).expect("somebody listens");
                    }
                })
            })
            .collect();
        let mut seen = 0;
        // A lost wake-up would leave this waiting for ever, which the checker reports.
        while seen < 3 {
            wakes.recv().expect("the workers live or have woken us");
            bell.heard();
            seen += results.try_iter().count();
        }
        for worker in workers {
            worker.join().expect("it does not panic");
        }
    });
}

#[test]
fn an_end_is_told_once_and_the_first_note_stands() {
    check(|| {
        let word = Arc::new(Word::<&str>::default());
        let tellers: Vec<_> = ["one", "other"]
            .into_iter()
            .map(|name| {
                let word = Arc::clone(&word);
                thread::spawn(move || {
                    word.note(name);
                    word.say(|| "nothing was noted")
                })
            })
            .collect();
        let said: Vec<_> = tellers
            .into_iter()
            .filter_map(|teller| teller.join().expect("it does not panic"))
            .collect();
        assert!(
            matches!(said[..], ["one" | "other"]),
            "said once, and what was noted: {said:?}"
        );
    });
}

#[test]
fn a_home_has_one_inhabitant_and_who_leaves_late_puts_nobody_out() {
    check(|| {
        let home = Arc::new(Home::<AtomicUsize>::default());
        let first = Arc::new(AtomicUsize::new(0));
        assert!(home.move_in(&first));
        let leaver = Arc::clone(&home);
        let leaver = thread::spawn(move || {
            leaver.move_out(&first);
            thread::yield_now();
            // Told of its end twice: by its drop and by its supervisor.
            leaver.move_out(&first);
        });
        let comers: Vec<_> = (1..=2)
            .map(|number| {
                let home = Arc::clone(&home);
                thread::spawn(move || {
                    let who = Arc::new(AtomicUsize::new(number));
                    home.move_in(&who).then_some(who)
                })
            })
            .collect();
        leaver.join().expect("it does not panic");
        let inside: Vec<_> = comers
            .into_iter()
            .filter_map(|comer| comer.join().expect("it does not panic"))
            .collect();
        assert!(inside.len() <= 1, "two live there");
        let lives = home.who().as_ref().map(|who| who.load(Ordering::SeqCst));
        let meant = inside.first().map(|who| who.load(Ordering::SeqCst));
        assert_eq!(lives, meant);
    });
}

#[test]
fn writes_of_one_slot_take_turns_and_a_slot_nobody_wants_takes_no_room() {
    check(|| {
        let turns = Arc::<Turns>::default();
        let writing = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let writes: Vec<_> = [0, 0, 1, 0]
            .into_iter()
            .map(|slot: usize| {
                let (turns, writing) = (Arc::clone(&turns), Arc::clone(&writing));
                future::spawn(async move {
                    let turn = turns.line_up(slot as u64).await;
                    assert_eq!(
                        writing[slot].fetch_add(1, Ordering::SeqCst),
                        0,
                        "two at once"
                    );
                    future::yield_now().await;
                    writing[slot].fetch_sub(1, Ordering::SeqCst);
                    drop(turn);
                })
            })
            .collect();
        future::block_on(async {
            for write in writes {
                write.await.expect("it does not panic");
            }
        });
        assert!(turns.is_empty(), "a line is left");
    });
}

#[test]
fn a_write_that_is_given_up_while_it_waits_for_its_turn_leaves_the_line() {
    check(|| {
        let turns = Arc::<Turns>::default();
        let tasks: Vec<_> = (0..3)
            .map(|number| {
                let turns = Arc::clone(&turns);
                future::spawn(async move {
                    let mut take = std::pin::pin!(turns.line_up(0));
                    if number == 1 {
                        // Polled once, and dropped.
                        let once = std::future::poll_fn(|cx| {
                            std::task::Poll::Ready(take.as_mut().poll(cx).is_ready())
                        });
                        once.await;
                    } else {
                        drop(take.await);
                    }
                })
            })
            .collect();
        future::block_on(async {
            for task in tasks {
                task.await.expect("it does not panic");
            }
        });
        assert!(turns.is_empty(), "a line is left");
    });
}
