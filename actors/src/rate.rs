//! So many in a second. In: how many are to pass, and the time. Out: how long to wait first.
//!
//! Pure: imports neither tokio nor ractor; time is passed in.

use std::time::{Duration, Instant};

/// A limit on the flow: `per_second` on average, and up to `burst` at once after a quiet time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Records in a second, on average; above zero.
    pub per_second: f64,
    /// Records that may pass at once; at least 1.
    pub burst: usize,
}

impl Rate {
    /// # Panics
    /// If nothing could ever pass.
    pub(crate) fn check(self) {
        assert!(
            self.per_second > 0.0,
            "a rate of {} records a second lets nothing pass",
            self.per_second
        );
        assert!(self.burst > 0, "a burst of zero records lets nothing pass");
    }
}

/// A bucket of tokens that may be overdrawn: who takes too many waits, and later ones wait longer,
/// so the order of arrival is kept and large requests are not starved.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    rate: Option<Rate>,
    tokens: f64,
    filled: Option<Instant>,
}

impl Bucket {
    /// Changes the limit; what was saved up is kept, up to the new burst.
    pub(crate) fn set(&mut self, rate: Option<Rate>, now: Instant) {
        self.fill(now);
        let fresh = self.rate.is_none();
        self.rate = rate;
        if let Some(rate) = rate {
            let full = rate.burst as f64;
            self.tokens = if fresh { full } else { self.tokens.min(full) };
        }
    }

    /// Takes `count` tokens and gives how long to wait before they may be used.
    pub(crate) fn take(&mut self, count: usize, now: Instant) -> Duration {
        self.fill(now);
        let Some(rate) = self.rate else {
            return Duration::ZERO;
        };
        self.tokens -= count as f64;
        if self.tokens >= 0.0 {
            Duration::ZERO
        } else {
            Duration::try_from_secs_f64(-self.tokens / rate.per_second).unwrap_or(Duration::MAX)
        }
    }

    fn fill(&mut self, now: Instant) {
        let quiet = self
            .filled
            .replace(now)
            .map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        if let Some(rate) = self.rate {
            self.tokens =
                (self.tokens + quiet.as_secs_f64() * rate.per_second).min(rate.burst as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_the_rest_waits_its_turn() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        assert_eq!(bucket.take(1000, start), Duration::ZERO, "no limit");
        bucket.set(
            Some(Rate {
                per_second: 10.0,
                burst: 5,
            }),
            start,
        );
        assert_eq!(bucket.take(5, start), Duration::ZERO);
        assert_eq!(bucket.take(10, start), Duration::from_secs(1));
        assert_eq!(
            bucket.take(10, start),
            Duration::from_secs(2),
            "after those before"
        );
        assert_eq!(
            bucket.take(1, start + Duration::from_secs(10)),
            Duration::ZERO
        );
    }

    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_more_passes_than_the_rate_and_the_burst_allow(
            per_second in 1.0..1000.0f64,
            burst in 1..50usize,
            takes in proptest::collection::vec((0..20usize, 0..100u64), 1..60),
        ) {
            let (mut bucket, start) = (Bucket::default(), Instant::now());
            bucket.set(Some(Rate { per_second, burst }), start);
            let (mut now, mut passed) = (start, 0);
            for (count, pause) in takes {
                now += Duration::from_millis(pause);
                let wait = bucket.take(count, now);
                passed += count;
                let allowed = (now + wait - start).as_secs_f64() * per_second + burst as f64;
                prop_assert!(passed as f64 <= allowed + 0.01, "{passed} passed, {allowed} allowed");
            }
        }
    }
}
