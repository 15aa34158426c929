//! Counts of what is under way, whoever begins, ends and looks at the same time: pulses and the depth
//! of a mailbox.

use std::sync::Arc;

use shuttle::sync::mpsc;
use shuttle::thread;

use crate::check;
use crate::depth::Depth;
use crate::pulse::Pulse;

#[test]
fn work_under_way_is_always_seen_and_done_work_is_over() {
    check(|| {
        let pulse = Pulse::new();
        // Pending all the time.
        pulse.begin(1);
        let workers: Vec<_> = (1..=2)
            .map(|count| {
                let pulse = pulse.clone();
                thread::spawn(move || {
                    pulse.begin(count);
                    pulse.done(count);
                })
            })
            .collect();
        let (seen, beats) = (pulse.pending(), pulse.beats());
        assert!((1..=4).contains(&seen), "{seen} are pending");
        assert!(beats <= pulse.beats(), "it never beats backwards");
        for worker in workers {
            worker.join().expect("it does not panic");
        }
        assert_eq!((pulse.pending(), pulse.beats()), (1, 3));
    });
}

#[test]
fn a_reset_forgets_what_was_begun_once_however_it_ends_meanwhile() {
    check(|| {
        let pulse = Pulse::new();
        pulse.begin(3);
        pulse.done(1);
        let resets: Vec<_> = (0..2)
            .map(|_| {
                let pulse = pulse.clone();
                thread::spawn(move || pulse.reset())
            })
            .collect();
        // The new life begins while the second of two resets may still be on its way.
        pulse.reset();
        for reset in resets {
            reset.join().expect("it does not panic");
        }
        assert_eq!((pulse.pending(), pulse.beats()), (0, 3));
        pulse.begin(2);
        assert_eq!(pulse.pending(), 2, "none of it is overlooked");
        pulse.done(2);
        assert_eq!(pulse.pending(), 0);
    });
}

#[test]
fn a_mailbox_is_never_deeper_than_what_was_sent_and_empty_in_the_end() {
    check(|| {
        let depth = Arc::<Depth>::default();
        let (send, mailbox) = mpsc::channel();
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let (depth, send) = (Arc::clone(&depth), send.clone());
                thread::spawn(move || {
                    depth.sent();
                    send.send(()).expect("somebody listens");
                    // One that was not taken after all.
                    depth.sent();
                    depth.unsent();
                })
            })
            .collect();
        let receiver = Arc::clone(&depth);
        let receiver = thread::spawn(move || {
            for _ in 0..2 {
                mailbox.recv().expect("two are sent");
                receiver.begun();
            }
        });
        assert!(depth.get() <= 4);
        for sender in senders {
            sender.join().expect("it does not panic");
        }
        assert!(depth.get() <= 2);
        receiver.join().expect("it does not panic");
        assert_eq!(depth.get(), 0);
    });
}
