//! Inboxes: messages against the owner's falling asleep, and against the close.

use std::collections::VecDeque;
use std::sync::Arc;

use shuttle::sync::mpsc;
use shuttle::thread;

use crate::bell::Bell;
use crate::check;
use crate::inbox::Inbox;
use crate::sync::{AtomicU64, Ordering};

/// Puts these down in a thread of its own; what was not taken comes back.
fn sender(
    inbox: &Arc<Inbox<u32>>,
    wake: &mpsc::Sender<()>,
    msgs: std::ops::Range<u32>,
) -> thread::JoinHandle<Vec<u32>> {
    let (inbox, wake) = (Arc::clone(inbox), wake.clone());
    thread::spawn(move || {
        let mut back = Vec::new();
        for msg in msgs {
            match inbox.put(msg) {
                // Nobody hears it once the owner is gone.
                Ok(true) => drop(wake.send(())),
                Ok(false) => {}
                Err(msg) => back.push(msg),
            }
        }
        back
    })
}

#[test]
fn every_message_reaches_an_owner_that_only_looks_when_woken() {
    check(|| {
        let (inbox, (wake, woken)) = (Arc::new(Inbox::new()), mpsc::channel());
        let senders = [0..2, 10..12].map(|msgs| sender(&inbox, &wake, msgs));
        drop(wake);
        let (mut hand, mut taken) = (VecDeque::new(), Vec::new());
        // A wake-up that is lost leaves messages behind when the senders have ended.
        while woken.recv().is_ok() {
            while inbox.take(&mut hand) {
                taken.extend(hand.drain(..));
            }
        }
        for sender in senders {
            assert_eq!(sender.join().expect("it does not panic"), Vec::<u32>::new());
        }
        let of = |tens: u32| taken.iter().copied().filter(move |msg| msg / 10 == tens);
        assert!(of(0).eq(0..2) && of(1).eq(10..12), "{taken:?}");
    });
}

#[test]
fn around_the_close_every_message_is_taken_or_given_back() {
    check(|| {
        let (inbox, (wake, _woken)) = (Arc::new(Inbox::new()), mpsc::channel());
        let sender = sender(&inbox, &wake, 0..3);
        let (mut hand, mut taken) = (VecDeque::new(), Vec::new());
        inbox.take(&mut hand);
        taken.extend(hand.drain(..));
        taken.extend(inbox.close());
        taken.extend(sender.join().expect("it does not panic"));
        assert_eq!(taken, [0, 1, 2]);
        assert_eq!(inbox.put(3), Err(3));
    });
}

#[test]
fn messages_and_results_share_one_wake_up_and_none_is_lost() {
    check(|| {
        let (inbox, bell) = (Arc::new(Inbox::new()), Arc::new(Bell::new()));
        let (wake, woken) = mpsc::channel();
        let queued = Arc::new(AtomicU64::new(0));
        let ring = {
            let (bell, queued) = (Arc::clone(&bell), Arc::clone(&queued));
            move || {
                if bell.ring() {
                    assert_eq!(queued.fetch_add(1, Ordering::SeqCst), 0, "one at most");
                    wake.send(()).expect("the owner is there");
                }
            }
        };
        let (mail, letter) = (ring.clone(), Arc::clone(&inbox));
        let mail = thread::spawn(move || {
            for msg in 0..3 {
                if letter.put(msg) == Ok(true) {
                    mail();
                }
            }
        });
        let (results, done) = mpsc::channel();
        let result = ring.clone();
        let result = thread::spawn(move || {
            for number in 0..2 {
                results.send(number).expect("the owner is there");
                result();
            }
        });
        let (mut hand, mut taken, mut ends) = (VecDeque::new(), Vec::new(), 0);
        while taken.len() < 3 || ends < 2 {
            woken.recv().expect("what is missing is announced");
            queued.fetch_sub(1, Ordering::SeqCst);
            bell.heard();
            ends += done.try_iter().count();
            // Not more than one at a time, as after a burst.
            if !hand.is_empty() || inbox.take(&mut hand) {
                taken.extend(hand.pop_front());
                ring();
            }
        }
        mail.join().expect("it does not panic");
        result.join().expect("it does not panic");
        assert_eq!(taken, [0, 1, 2]);
    });
}
