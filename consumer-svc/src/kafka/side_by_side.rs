//! One question to each of many partitions, in no more time than one of them may take.
//!
//! A partition whose leader is away costs the whole wait; asked one after the other, a few of them would
//! make what is known of all others old.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long each may take that is asked in turn. A leader that is there answers sooner, and a thread
/// for each of its partitions would be for nothing.
const TURN: Duration = Duration::from_millis(100);
/// So long is asked in turn, altogether.
const TURNS: Duration = Duration::from_millis(300);
/// Threads at most, for those that did not answer then.
const THREADS: usize = 32;

/// Answers of those that gave one within `wait`. `ask` blocks for no longer than it is told.
pub(super) fn side_by_side<A: Send>(
    partitions: &[i32],
    wait: Duration,
    ask: impl Fn(i32, Duration) -> Option<A> + Sync,
) -> BTreeMap<i32, A> {
    let began = Instant::now();
    let left = |whole: Duration| whole.saturating_sub(began.elapsed());
    let (mut answers, mut silent) = (BTreeMap::new(), Vec::new());
    for partition in partitions {
        let turn = TURN.min(left(TURNS.min(wait)));
        match (!turn.is_zero()).then(|| ask(*partition, turn)).flatten() {
            Some(answer) => drop(answers.insert(*partition, answer)),
            None => silent.push(*partition),
        }
    }
    let late = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for share in shares(&silent) {
            let (ask, late) = (&ask, &late);
            let asking = std::thread::Builder::new().name("kafka-ends".to_owned());
            let begun = asking.spawn_scoped(scope, move || {
                let most = share.len() as u32;
                for (number, partition) in (0..).zip(share) {
                    // Each has its part of what is left, so that the last is asked, too.
                    if let Some(answer) = ask(*partition, left(wait) / (most - number)) {
                        locked(late).insert(*partition, answer);
                    }
                }
            });
            // Without a thread they are not known, as if they had not answered.
            drop(begun);
        }
    });
    answers.append(&mut late.into_inner().unwrap_or_else(PoisonError::into_inner));
    answers
}

/// What each thread asks.
fn shares(silent: &[i32]) -> impl Iterator<Item = &[i32]> {
    silent.chunks(silent.len().div_ceil(THREADS).max(1))
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Condvar, MutexGuard};

    use super::*;

    const LONG: Duration = Duration::from_millis(800);

    /// Leaders that are away: whoever asks them waits for as long as he may.
    #[derive(Default)]
    struct Away {
        never: Condvar,
        lock: Mutex<()>,
        asked: AtomicUsize,
    }

    impl Away {
        fn wait(&self, wait: Duration) {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let guard: MutexGuard<'_, ()> = self.lock.lock().unwrap();
            let told = self.never.wait_timeout_while(guard, wait, |()| true);
            assert!(told.unwrap().1.timed_out());
        }
    }

    #[test]
    fn however_many_leaders_are_away_the_others_are_known_in_the_time_of_one() {
        let away = Away::default();
        let partitions: Vec<i32> = (0..100).collect();
        let began = Instant::now();
        // Every third is there.
        let known = side_by_side(&partitions, LONG, |partition, wait| {
            if partition % 3 == 0 {
                return Some(partition * 10);
            }
            away.wait(wait);
            None
        });
        let there: Vec<i32> = partitions
            .iter()
            .copied()
            .filter(|one| one % 3 == 0)
            .collect();
        assert_eq!(known.keys().copied().collect::<Vec<_>>(), there);
        assert_eq!(known[&99], 990);
        assert!(began.elapsed() < 4 * LONG, "{:?}", began.elapsed());
        assert!(away.asked.load(Ordering::Relaxed) >= 66, "each is asked");
    }

    #[test]
    fn leaders_that_are_slow_are_waited_for_and_those_that_are_there_cost_no_thread() {
        let slow = side_by_side(&[0, 1, 2, 3, 4, 5], LONG, |partition, wait| {
            (wait > Duration::from_millis(200)).then_some(partition)
        });
        assert_eq!(slow.len(), 6);
        let here = std::thread::current().id();
        let quick = side_by_side(&[0, 1, 2], LONG, |_, _| Some(std::thread::current().id()));
        assert!(quick.values().all(|thread| *thread == here));
    }
}
