//! The books of lanes: settlements against the close of the book, and against who waits for news.

use std::sync::Arc;

use actors::Position;
use shuttle::sync::atomic::AtomicUsize;
use shuttle::{future, thread};

use crate::book::{Book, Pulses, Tally};
use crate::sync::Ordering;
use crate::{Epoch, Outcome, Pulse, Settle, Settled, check};

/// Counts how often it is taken back.
#[derive(Default)]
pub struct Permit(AtomicUsize);

impl Permit {
    pub(crate) fn reclaim(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Desk {
    epoch: Epoch,
    pulse: Pulse,
    tally: Arc<Tally>,
    book: Arc<Book<()>>,
}

impl Desk {
    fn new() -> Self {
        let (epoch, tally) = (Epoch::next(), Arc::<Tally>::default());
        let pulses = Pulses::new(&tally);
        let pulse = pulses.records.clone();
        let book = Book::new(epoch, 0, pulses, Arc::clone(&tally));
        Self {
            epoch,
            pulse,
            tally,
            book: Arc::new(book),
        }
    }

    /// Settles these in a thread of its own.
    fn settle(&self, seqs: &[u64], outcome: Outcome) -> thread::JoinHandle<()> {
        let (epoch, book, seqs) = (self.epoch, Arc::clone(&self.book), seqs.to_vec());
        thread::spawn(move || {
            for seq in seqs {
                let position = Position {
                    lane: 0,
                    epoch,
                    seq,
                };
                book.settled(vec![Settled {
                    position,
                    outcome,
                    note: None,
                }]);
            }
        })
    }

    /// Unsettled, fenced, settled twice.
    fn tally(&self) -> [u64; 3] {
        let Tally {
            open,
            fenced,
            twice,
            ..
        } = &*self.tally;
        [open, fenced, twice].map(|count| count.load(Ordering::SeqCst))
    }
}

#[test]
fn what_is_settled_around_the_close_of_a_book_counts_once_either_way() {
    check(|| {
        let desk = Desk::new();
        let permit = Arc::new(Permit::default());
        desk.book.admit(0..3, &permit).expect("they rise");
        let settlers = [
            desk.settle(&[0, 2], Outcome::Stored),
            desk.settle(&[1], Outcome::Stored),
        ];
        desk.book.close();
        let pending = desk.pulse.pending();
        // A second close, of the task after that of the stage, takes nothing back twice.
        desk.book.close();
        for settler in settlers {
            settler.join().expect("it does not panic");
        }
        let [open, fenced, twice] = desk.tally();
        assert_eq!((open, twice), (0, 0));
        assert_eq!(fenced, pending, "what came late is what no longer beats");
        assert_eq!(desk.pulse.pending(), pending, "nothing late beats");
        assert_eq!(permit.0.load(Ordering::SeqCst), 1);
        assert!(desk.book.is_halted());
        let passed = desk.book.read().passed;
        assert!(passed.settled.len() as u64 <= 3 - fenced);
    });
}

#[test]
fn who_waits_for_news_of_a_book_hears_of_every_settlement() {
    check(|| {
        let desk = Desk::new();
        let permit = Arc::new(Permit::default());
        desk.book.admit(0..4, &permit).expect("they rise");
        let settlers = [
            desk.settle(&[3, 0], Outcome::Stored),
            desk.settle(&[2, 1], Outcome::DeadLettered),
        ];
        // News that are lost would leave this waiting for ever, which the checker reports.
        let seqs: Vec<u64> = future::block_on(async {
            let mut seqs = Vec::new();
            loop {
                let page = desk.book.read();
                seqs.extend(page.passed.settled.iter().map(|one| one.position.seq));
                if page.pending == 0 {
                    return seqs;
                }
                desk.book.news().await;
            }
        });
        assert_eq!(seqs, [0, 1, 2, 3], "each once, in order");
        for settler in settlers {
            settler.join().expect("it does not panic");
        }
        assert_eq!((desk.tally(), desk.pulse.pending()), ([0; 3], 0));
    });
}

#[test]
fn who_hears_of_a_failure_finds_the_book_halted_and_the_cause_in_it() {
    check(|| {
        let desk = Desk::new();
        let permit = Arc::new(Permit::default());
        desk.book.admit(0..2, &permit).expect("they rise");
        desk.book.because(1, "broken");
        let settlers = [
            desk.settle(&[1], Outcome::Failed),
            desk.settle(&[0], Outcome::Stored),
        ];
        let failed = future::block_on(async {
            loop {
                if let Some(failed) = desk.book.read().failed {
                    return failed;
                }
                desk.book.news().await;
            }
        });
        assert!(desk.book.is_halted());
        assert_eq!(failed, (1, "broken".to_owned()));
        for settler in settlers {
            settler.join().expect("it does not panic");
        }
        assert_eq!(desk.tally(), [0; 3]);
    });
}
