//! Pure: purchases and revenue by equal steps of time, for as long as anyone looks at them.

use std::collections::BTreeMap;

use purchases::Timestamp;

use super::Sold;
use super::codec::{Malformed, Reader, Writer};

/// How far the clock of the pod that reads may be behind that of the pod that stored, without
/// steps being gone that its window still shows.
const SLACK_SECONDS: i64 = 30;

/// Sales by step. Steps without a sale take no place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    step_millis: i64,
    keep: i64,
    steps: BTreeMap<i64, Sold>,
}

impl Series {
    /// Two minutes by second.
    pub fn seconds() -> Self {
        Self::new(1_000, 120 + SLACK_SECONDS)
    }

    /// An hour by minute.
    pub fn minutes() -> Self {
        Self::new(60_000, 60 + 1)
    }

    fn new(step_millis: i64, keep: i64) -> Self {
        Self {
            step_millis,
            keep,
            steps: BTreeMap::new(),
        }
    }

    /// Adds what was sold at a moment; `newest` is the latest moment so far, this one included.
    /// What is kept depends on the sales alone and not on their order: `newest` only rises, so
    /// what is too old once stays so.
    pub(super) fn add(&mut self, at: Timestamp, sold: Sold, newest: Timestamp) {
        let oldest = self.step_of(newest) - self.keep;
        let step = self.step_of(at);
        if step > oldest {
            self.steps.entry(step).or_default().add(sold);
        }
        while let Some(first) = self
            .steps
            .first_entry()
            .filter(|first| *first.key() <= oldest)
        {
            first.remove();
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (step, sold) in &other.steps {
            self.steps.entry(*step).or_default().add(*sold);
        }
    }

    /// The step a moment falls into.
    pub(super) fn step_of(&self, at: Timestamp) -> i64 {
        at.as_millis().div_euclid(self.step_millis)
    }

    /// When a step begins.
    pub(super) fn start_of(&self, step: i64) -> Option<Timestamp> {
        Timestamp::from_millis(step.checked_mul(self.step_millis)?)
    }

    /// Length of a step in seconds.
    pub(super) fn step_seconds(&self) -> i64 {
        self.step_millis / 1_000
    }

    /// What was sold in a step.
    pub(super) fn at(&self, step: i64) -> Sold {
        self.steps.get(&step).copied().unwrap_or_default()
    }

    /// Distances between steps, and sums: some five bytes a step.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        let mut last = 0;
        for (step, sold) in &self.steps {
            out.signed(step - last);
            out.sold(*sold);
            last = *step;
        }
        out.done()
    }

    pub(super) fn decode(mut self, bytes: &[u8]) -> Result<Self, Malformed> {
        let (mut reader, mut last) = (Reader::new(bytes), 0i64);
        while !reader.is_empty() {
            last = last.checked_add(reader.signed()?).ok_or(Malformed)?;
            self.steps.insert(last, reader.sold()?);
        }
        Ok(self)
    }
}
