//! When to try again. In: a backoff and chance. Out: one delay after the other.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::iter::FusedIterator;
use std::time::Duration;

use crate::Backoff;

/// The delays of a [`Backoff`], one for each attempt that failed; see [`Backoff::pace`].
#[derive(Clone, Debug)]
pub struct Pace {
    backoff: Backoff,
    attempt: u32,
}

impl Pace {
    pub(crate) fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            attempt: 0,
        }
    }

    /// It succeeded: the next delay is the first again.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

impl Iterator for Pace {
    type Item = Duration;

    /// Never absent.
    fn next(&mut self) -> Option<Duration> {
        let delay = self.backoff.delay(self.attempt, chance());
        self.attempt = self.attempt.saturating_add(1);
        Some(delay)
    }
}

impl FusedIterator for Pace {}

/// A number in 0.0..1.0 for jitter, from the seed of the standard hasher: no need for a generator.
pub(crate) fn chance() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    bits as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn delays_double_scatter_and_start_over() {
        let (min, max) = (SECOND, 4 * SECOND);
        let backoff = Backoff {
            min,
            max,
            jitter: 0.5,
            ..Backoff::default()
        };
        let mut pace = backoff.pace();
        for _ in 0..100 {
            for full in [SECOND, 2 * SECOND, 4 * SECOND, 4 * SECOND] {
                let delay = pace.next().expect("it never ends");
                assert!(full / 2 < delay && delay <= full, "{delay:?} of {full:?}");
            }
            pace.reset();
        }
        let firsts: std::collections::BTreeSet<_> =
            (0..100).map(|_| backoff.pace().next()).collect();
        assert!(
            firsts.len() > 50,
            "who begins together does not return together"
        );
    }
}
