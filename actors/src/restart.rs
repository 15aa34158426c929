//! How often and how soon a child may be restarted. In: times of failures. Out: yes or no, and a delay.
//!
//! Pure: imports neither tokio nor ractor; time and chance are passed in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::pace::Pace;

/// What no clock may be asked to add: far from its end, and longer than anybody waits.
pub(crate) const CENTURY: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// How many restarts a supervisor performs before it gives up: the default is 5 within 30 s.
///
/// The limits of nested supervisors multiply: a root with 3 over a child with 5 sees up to 15
/// restarts of a grandchild before it gives up itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intensity {
    /// Restarts allowed within the window; 0 means the first failure is one too many.
    pub restarts: u32,
    /// Length of the window; zero only where no restart is allowed.
    pub within: Duration,
}

impl Default for Intensity {
    fn default() -> Self {
        Self {
            restarts: 5,
            within: Duration::from_secs(30),
        }
    }
}

impl Intensity {
    /// For failures that take their time: so much longer that one after another is too often,
    /// however long each of them takes.
    pub(crate) fn stretched(self, quiet: Duration, pause: Duration) -> Self {
        // It is looked at four times in a quiet time, so a stall is seen within five quarters of it.
        let each = quiet.saturating_mul(2).saturating_add(pause);
        Self {
            restarts: self.restarts,
            within: self
                .within
                .saturating_add(each.saturating_mul(self.restarts)),
        }
    }
}

/// How long a supervisor waits before a restart: doubling from `min` to `max`, shortened by chance.
///
/// The default is 50 ms to 5 s, jitter 0.2, reset after 60 s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The first delay.
    pub min: Duration,
    /// The longest delay; not less than `min`.
    pub max: Duration,
    /// Share of a delay that chance may take away, 0.0 to 1.0, so that a herd does not return at once.
    pub jitter: f64,
    /// A child that lived this long starts again from `min`.
    pub reset_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            min: Duration::from_millis(50),
            max: Duration::from_secs(5),
            jitter: 0.2,
            reset_after: Duration::from_secs(60),
        }
    }
}

impl Backoff {
    /// The delays between one attempt and the next, for work that is tried again until it succeeds:
    /// each is drawn by chance, and they never end.
    ///
    /// ```
    /// use actors::Backoff;
    ///
    /// let backoff = Backoff { jitter: 0.0, ..Backoff::default() };
    /// let delays: Vec<_> = backoff.pace().take(9).map(|delay| delay.as_millis()).collect();
    /// assert_eq!(delays, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    /// ```
    pub fn pace(self) -> Pace {
        Pace::new(self)
    }

    /// Why this backoff makes no sense, if so.
    pub(crate) fn flaw(&self) -> Option<&'static str> {
        if self.min > self.max {
            return Some("Backoff::min is longer than Backoff::max");
        }
        if self.max > CENTURY {
            return Some("Backoff::max is longer than a hundred years");
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Some("Backoff::jitter is not between 0.0 and 1.0");
        }
        None
    }

    /// The delay before the `attempt`-th restart in a row (0 is the first); `chance` is in 0.0..1.0,
    /// where 0.0 takes nothing away. Also for whatever else is tried again: see [`pace`](Self::pace).
    pub fn delay(&self, attempt: u32, chance: f64) -> Duration {
        let doubled = 2u32
            .checked_pow(attempt)
            .and_then(|factor| self.min.checked_mul(factor));
        let base = doubled.map_or(self.max, |delay| delay.min(self.max));
        base.mul_f64(1.0 - share(self.jitter) * share(chance))
    }
}

/// A share of the whole; nothing, if it is no number.
fn share(number: f64) -> f64 {
    if number.is_nan() {
        return 0.0;
    }
    number.clamp(0.0, 1.0)
}

/// The failures in a row of one child.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streak {
    attempt: u32,
    up_since: Option<Instant>,
}

impl Streak {
    /// The child is up.
    pub(crate) fn up(&mut self, now: Instant) {
        self.up_since = Some(now);
    }

    /// The child is down again: how long to wait.
    pub(crate) fn down(&mut self, backoff: &Backoff, now: Instant, chance: f64) -> Duration {
        let lived = self
            .up_since
            .take()
            .map(|since| now.saturating_duration_since(since));
        if lived.is_some_and(|lived| lived >= backoff.reset_after) {
            self.attempt = 0;
        }
        let delay = backoff.delay(self.attempt, chance);
        self.attempt = self.attempt.saturating_add(1);
        delay
    }
}

/// The restarts of a supervisor within its window.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    intensity: Intensity,
    recent: VecDeque<Instant>,
}

impl Window {
    pub(crate) fn new(intensity: Intensity) -> Self {
        Self {
            intensity,
            recent: VecDeque::new(),
        }
    }

    /// Counts a restart; false when it is one too many.
    pub(crate) fn allows(&mut self, now: Instant) -> bool {
        while self
            .recent
            .front()
            .is_some_and(|first| now.saturating_duration_since(*first) > self.intensity.within)
        {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        self.recent.len() <= self.intensity.restarts as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_restart_too_many_within_the_window_is_refused() {
        let mut window = Window::new(Intensity {
            restarts: 2,
            within: 5 * SECOND,
        });
        let start = Instant::now();
        assert!(window.allows(start));
        assert!(window.allows(start + SECOND));
        assert!(!window.allows(start + 2 * SECOND));
    }

    #[test]
    fn restarts_outside_the_window_are_forgotten() {
        let mut window = Window::new(Intensity {
            restarts: 1,
            within: 5 * SECOND,
        });
        let start = Instant::now();
        for round in 0..100 {
            assert!(window.allows(start + round * 6 * SECOND));
        }
    }

    #[test]
    fn delays_double_up_to_the_longest_and_start_over_after_a_long_life() {
        let backoff = Backoff {
            min: SECOND,
            max: 5 * SECOND,
            jitter: 0.0,
            reset_after: 60 * SECOND,
        };
        let mut streak = Streak::default();
        let mut now = Instant::now();
        let mut delays = Vec::new();
        for _ in 0..5 {
            streak.up(now);
            now += SECOND;
            delays.push(streak.down(&backoff, now, 0.9).as_secs());
        }
        assert_eq!(delays, [1, 2, 4, 5, 5]);
        streak.up(now);
        assert_eq!(streak.down(&backoff, now + 60 * SECOND, 0.9), SECOND);
    }

    #[test]
    fn a_backoff_that_makes_no_sense_still_gives_a_delay() {
        let odd = |jitter, chance| {
            let (min, max) = (8 * SECOND, 5 * SECOND);
            let odd = Backoff {
                min,
                max,
                jitter,
                reset_after: SECOND,
            };
            odd.delay(3, chance)
        };
        assert_eq!(odd(f64::NAN, f64::NAN), 5 * SECOND);
        assert_eq!(odd(7.0, 1.0), Duration::ZERO);
        assert_eq!(odd(-7.0, 1.0), 5 * SECOND);
    }

    #[test]
    fn jitter_only_shortens() {
        let backoff = Backoff {
            min: SECOND,
            max: 8 * SECOND,
            jitter: 0.5,
            reset_after: SECOND,
        };
        assert_eq!(backoff.delay(1, 0.0), 2 * SECOND);
        assert_eq!(backoff.delay(1, 1.0), SECOND);
    }

    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_window_counts_as_a_plain_list_does(
            restarts in 0..5u32,
            within in 0..50u64,
            pauses in proptest::collection::vec(0..30u64, 0..60),
        ) {
            let within = Duration::from_millis(within);
            let mut window = Window::new(Intensity { restarts, within });
            let (mut now, mut all) = (Instant::now(), Vec::new());
            for pause in pauses {
                now += Duration::from_millis(pause);
                all.push(now);
                let recent = all.iter().filter(|at| now - **at <= within).count();
                prop_assert_eq!(window.allows(now), recent <= restarts as usize);
            }
        }

        #[test]
        fn a_streak_doubles_with_each_failure_and_ends_with_a_long_life(
            min in 1..2000u64,
            max in 2000..100_000u64,
            reset_after in 1..100u64,
            // Absent: it did not even come up.
            lives in proptest::collection::vec(proptest::option::of(0..200u64), 0..60),
        ) {
            let millis = Duration::from_millis;
            let backoff = Backoff { min: millis(min), max: millis(max), jitter: 0.0, reset_after: millis(reset_after) };
            let (mut streak, mut now, mut expected) = (Streak::default(), Instant::now(), min);
            for life in lives {
                now += SECOND;
                if let Some(lived) = life {
                    streak.up(now);
                    now += millis(lived);
                    if lived >= reset_after {
                        expected = min;
                    }
                }
                prop_assert_eq!(streak.down(&backoff, now, 0.5), millis(expected));
                expected = (2 * expected).min(max);
            }
        }

        #[test]
        fn a_delay_is_within_its_bounds_and_never_shrinks_without_jitter(
            min in 0..2000u64,
            more in 0..100_000u64,
            jitter in 0.0..=1.0f64,
            attempt in 0..100u32,
            chance in 0.0..1.0f64,
        ) {
            let (min, max) = (Duration::from_millis(min), Duration::from_millis(min + more));
            let backoff = Backoff { min, max, jitter, reset_after: SECOND };
            prop_assert_eq!(backoff.flaw(), None);
            let (delay, plain) = (backoff.delay(attempt, chance), backoff.delay(attempt, 0.0));
            prop_assert!(delay <= plain && plain <= max && plain >= min);
            prop_assert!(delay >= plain.mul_f64(1.0 - jitter) || plain.mul_f64(1.0 - jitter) - delay < Duration::from_nanos(2));
            prop_assert!(backoff.delay(attempt + 1, 0.0) >= plain);
        }
    }
}
