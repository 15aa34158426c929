//! So many in a second. In: how many are to pass, and the time. Out: how long to wait first,
//! anew whenever the rate changes.
//!
//! Pure: imports neither tokio nor ractor; time is passed in.

use std::collections::BTreeMap;
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

/// What a rounding error may lack.
const HAIR: f64 = 1e-6;

/// A bucket of tokens and the line before it. Who asks for more than there is waits, and later ones
/// wait behind, so the order of arrival is kept and large requests are not starved. What one who
/// leaves would have taken is there for those behind.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    rate: Option<Rate>,
    /// Not counted what those in line will take.
    tokens: f64,
    filled: Option<Instant>,
    /// By ticket: how many each wants.
    line: BTreeMap<u64, usize>,
    next_ticket: u64,
}

impl Bucket {
    /// How many may pass at once; any number without a rate.
    pub(crate) fn burst(&self) -> usize {
        self.rate.map_or(usize::MAX, |rate| rate.burst)
    }

    /// Changes the limit; what was saved up is kept, up to the new burst. Who waits has to look again.
    pub(crate) fn set(&mut self, rate: Option<Rate>, now: Instant) {
        self.fill(now);
        let fresh = self.rate.is_none();
        self.rate = rate;
        if let Some(full) = self.full() {
            self.tokens = if fresh { full } else { self.tokens.min(full) };
        }
    }

    /// Gets in line for `count`; `None` if there is no limit and so no line.
    pub(crate) fn enter(&mut self, count: usize, now: Instant) -> Option<u64> {
        self.fill(now);
        self.rate?;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.line.insert(ticket, count);
        Some(ticket)
    }

    /// How long the ticket has to wait, as things are now; `None` lets it pass, and the line is left.
    pub(crate) fn look(&mut self, ticket: u64, now: Instant) -> Option<Duration> {
        self.fill(now);
        let wanted: usize = self.line.range(..=ticket).map(|(_, count)| count).sum();
        let lacking = wanted as f64 - self.tokens;
        match self.rate {
            Some(rate) if lacking > HAIR => Some(
                Duration::try_from_secs_f64(lacking / rate.per_second)
                    .unwrap_or(Duration::MAX)
                    // Below the grain of timers nobody would ever get further.
                    .max(Duration::from_millis(1)),
            ),
            _ => {
                self.tokens -= self.line.remove(&ticket).unwrap_or_default() as f64;
                None
            }
        }
    }

    /// Gives a place in line up.
    pub(crate) fn leave(&mut self, ticket: u64) {
        self.line.remove(&ticket);
    }

    /// What the bucket holds at most: the burst, and what those in line are to get.
    fn full(&self) -> Option<f64> {
        let owed: usize = self.line.values().sum();
        self.rate.map(|rate| rate.burst as f64 + owed as f64)
    }

    fn fill(&mut self, now: Instant) {
        let quiet = self
            .filled
            .replace(now)
            .map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        if let (Some(rate), Some(full)) = (self.rate, self.full()) {
            self.tokens = (self.tokens + quiet.as_secs_f64() * rate.per_second).min(full);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Option<Rate> = Some(Rate {
        per_second: 10.0,
        burst: 5,
    });

    /// Asks, and gives the ticket and how long it has to wait.
    fn ask(bucket: &mut Bucket, count: usize, now: Instant) -> (u64, Duration) {
        let ticket = bucket.enter(count, now).expect("there is a limit");
        (ticket, bucket.look(ticket, now).unwrap_or_default())
    }

    #[test]
    fn a_burst_passes_and_the_rest_waits_its_turn() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        assert_eq!(bucket.enter(1000, start), None, "no limit");
        bucket.set(TEN, start);
        assert_eq!(ask(&mut bucket, 5, start).1, Duration::ZERO);
        assert_eq!(ask(&mut bucket, 10, start).1, Duration::from_secs(1));
        let (_, wait) = ask(&mut bucket, 10, start);
        assert_eq!(wait, Duration::from_secs(2), "after those before");
        let later = start + Duration::from_secs(10);
        assert_eq!(ask(&mut bucket, 1, later).1, Duration::ZERO);
    }

    #[test]
    fn who_waits_is_told_anew_when_the_rate_changes_or_somebody_leaves() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        bucket.set(TEN, start);
        let (first, _) = ask(&mut bucket, 105, start);
        let (second, wait) = ask(&mut bucket, 10, start);
        assert_eq!(wait, Duration::from_secs(11));
        let slow = Rate {
            per_second: 1.0,
            burst: 5,
        };
        bucket.set(Some(slow), start);
        let wait = bucket.look(second, start);
        assert_eq!(wait, Some(Duration::from_secs(110)));
        bucket.leave(first);
        let wait = bucket.look(second, start);
        assert_eq!(wait, Some(Duration::from_secs(5)), "it took nothing along");
        bucket.set(None, start);
        assert_eq!(bucket.look(second, start), None);
    }

    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_more_passes_than_the_rate_and_the_burst_allow(
            per_second in 1.0..1000.0f64,
            burst in 1..50usize,
            takes in proptest::collection::vec((0..20usize, 0..100u64, any::<bool>()), 1..60),
        ) {
            let (mut bucket, start) = (Bucket::default(), Instant::now());
            bucket.set(Some(Rate { per_second, burst }), start);
            let (mut now, mut passed) = (start, 0);
            let mut line: Vec<(u64, usize)> = Vec::new();
            for (count, pause, patient) in takes {
                now += Duration::from_millis(pause);
                line.push((bucket.enter(count, now).expect("there is a limit"), count));
                if !patient {
                    let (ticket, _) = line.remove(line.len() / 2);
                    bucket.leave(ticket);
                }
                let mut waiting = Vec::new();
                for (ticket, count) in std::mem::take(&mut line) {
                    match bucket.look(ticket, now) {
                        None => {
                            prop_assert!(waiting.is_empty(), "overtaken");
                            passed += count;
                        }
                        Some(_) => waiting.push((ticket, count)),
                    }
                }
                line = waiting;
                let allowed = (now - start).as_secs_f64() * per_second + burst as f64;
                prop_assert!(passed as f64 <= allowed + 0.01, "{passed} passed, {allowed} allowed");
            }
            for (ticket, _) in line {
                now += bucket.look(ticket, now).unwrap_or_default();
                prop_assert_eq!(bucket.look(ticket, now), None, "it waited as long as it was told");
            }
        }
    }
}
