//! Pure: the whole shop at one moment, put together from the tallies of its partitions.

use purchases::{Cents, Timestamp};

use super::buyers::WINDOW;
use super::{Counts, Series, Sold, Tally};

/// Seconds of the series by second, the running one included.
const SECONDS: i64 = 120;
/// Minutes of the series by minute, the running one included.
const MINUTES: i64 = 60;
/// Seconds that the rate by second is an average of: long enough to be steady, short enough to
/// be called "now".
const RATE_OVER: i64 = 10;

/// A stretch of equal steps, the last one still running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Beginning of the first step.
    pub from: Option<Timestamp>,
    /// Length of a step.
    pub step_seconds: i64,
    /// What was sold in each, empty ones too.
    pub steps: Vec<Sold>,
}

/// All partitions, seen from one moment.
#[derive(Clone, Debug)]
pub struct Shop {
    counts: Counts,
    now: Timestamp,
}

impl Shop {
    /// Adds the partitions up. `now` ends the windows: this pod's clock, not a purchase's.
    pub fn of<'t>(tallies: impl IntoIterator<Item = &'t Tally>, now: Timestamp) -> Self {
        let mut counts = Counts::default();
        for tally in tallies {
            counts.merge(tally.counts());
        }
        Self { counts, now }
    }

    /// The sums.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The moment it is seen from.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Different buyers in the last hour, estimated.
    pub fn active_buyers(&self) -> u64 {
        self.counts.buyers.estimate(self.now)
    }

    /// Minutes that [`active_buyers`](Self::active_buyers) looks back.
    pub fn active_minutes(&self) -> i64 {
        WINDOW
    }

    /// Two minutes by second.
    pub fn last_two_minutes(&self) -> Stretch {
        self.stretch(&self.counts.seconds, SECONDS)
    }

    /// An hour by minute.
    pub fn last_hour(&self) -> Stretch {
        self.stretch(&self.counts.minutes, MINUTES)
    }

    fn stretch(&self, series: &Series, length: i64) -> Stretch {
        let last = series.step_of(self.now);
        let first = last - length + 1;
        Stretch {
            from: series.start_of(first),
            step_seconds: series.step_seconds(),
            steps: (first..=last).map(|step| series.at(step)).collect(),
        }
    }

    /// What was sold in the last sixty seconds that are over.
    pub fn last_minute(&self) -> Sold {
        self.last_seconds(60)
    }

    /// Purchases a second, and revenue a second rounded to the cent.
    pub fn per_second(&self) -> (f64, Cents) {
        let sold = self.last_seconds(RATE_OVER);
        let revenue = sold.revenue.average_over(RATE_OVER.unsigned_abs());
        (
            sold.purchases as f64 / RATE_OVER as f64,
            revenue.unwrap_or_default(),
        )
    }

    fn last_seconds(&self, count: i64) -> Sold {
        let running = self.counts.seconds.step_of(self.now);
        let steps = running - count..running;
        steps.map(|step| self.counts.seconds.at(step)).sum()
    }
}
