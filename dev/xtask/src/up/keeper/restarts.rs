//! When to try again and when to give up. In: the moments of failures; out: a verdict. Pure: it
//! neither waits nor starts.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Failures that are looked at together.
const WINDOW: Duration = Duration::from_secs(60);
/// One more within the window, and it is given up.
const MOST: usize = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// What to do after a failure.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Start it again after this pause; it is the `nth` time within the window.
    Again { after: Duration, nth: usize },
    /// It failed this often within the window.
    GiveUp { failures: usize },
}

/// The failures of one program.
#[derive(Debug, Default)]
pub(crate) struct Restarts {
    failures: VecDeque<Instant>,
}

impl Restarts {
    /// Notes a failure. The pause doubles with each one within the window.
    pub(crate) fn after_failure(&mut self, now: Instant) -> Verdict {
        self.failures.push_back(now);
        while self
            .failures
            .front()
            .is_some_and(|first| now.duration_since(*first) > WINDOW)
        {
            self.failures.pop_front();
        }
        let failures = self.failures.len();
        if failures > MOST {
            return Verdict::GiveUp { failures };
        }
        let doublings = u32::try_from(failures - 1).unwrap_or(0);
        Verdict::Again {
            after: FIRST_PAUSE * 2_u32.pow(doublings),
            nth: failures,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FIRST_PAUSE, MOST, Restarts, Verdict, WINDOW};
    use std::time::{Duration, Instant};

    #[test]
    fn the_pause_doubles_until_it_is_given_up() {
        let now = Instant::now();
        let mut restarts = Restarts::default();
        for nth in 1..=MOST {
            let after = FIRST_PAUSE * (1 << (nth - 1));
            assert_eq!(restarts.after_failure(now), Verdict::Again { after, nth });
        }
        assert_eq!(
            restarts.after_failure(now),
            Verdict::GiveUp { failures: MOST + 1 }
        );
    }

    #[test]
    fn failures_far_apart_are_forgotten() {
        let mut now = Instant::now();
        let mut restarts = Restarts::default();
        for _ in 0..3 * MOST {
            assert_eq!(
                restarts.after_failure(now),
                Verdict::Again {
                    after: FIRST_PAUSE,
                    nth: 1
                }
            );
            now += WINDOW + Duration::from_millis(1);
        }
    }
}
