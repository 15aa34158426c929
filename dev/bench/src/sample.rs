//! Several rounds of one figure. In: numbers; out: their median and how far they spread.

use std::fmt;

/// One figure over the rounds, never empty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// The middle one.
    pub(crate) median: f64,
    /// The lowest.
    pub(crate) low: f64,
    /// The highest.
    pub(crate) high: f64,
}

impl Sample {
    /// `None` of nothing, or of what is no number.
    pub(crate) fn of(rounds: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut all: Vec<f64> = rounds.into_iter().collect();
        if all.is_empty() || all.iter().any(|one| !one.is_finite()) {
            return None;
        }
        all.sort_by(f64::total_cmp);
        let middle = all.len() / 2;
        let median = if all.len() % 2 == 1 {
            all[middle]
        } else {
            (all[middle - 1] + all[middle]) / 2.0
        };
        Some(Self {
            median,
            low: all[0],
            high: all[all.len() - 1],
        })
    }

    /// Round by round, one divided by the other: what the machine did to a whole round cancels out.
    pub(crate) fn ratio(above: &[f64], below: &[f64]) -> Option<Self> {
        Self::of(above.iter().zip(below).map(|(above, below)| above / below))
    }
}

/// As "median (low–high)", with as many digits as the size of the median deserves.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = match self.median.abs() {
            small if small < 10.0 => 2,
            middle if middle < 100.0 => 1,
            _ => 0,
        };
        write!(f, "{}", Grouped(self.median, digits))?;
        if self.low < self.high {
            write!(
                f,
                " ({}–{})",
                Grouped(self.low, digits),
                Grouped(self.high, digits)
            )?;
        }
        Ok(())
    }
}

/// A number with commas between thousands.
struct Grouped(f64, usize);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.*}", self.1, self.0);
        let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
        for (at, digit) in whole.char_indices() {
            let left = whole.len() - at;
            if at > 0 && left % 3 == 0 && !whole[..at].ends_with('-') {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        f.write_str(rest)
    }
}

/// The value below which this share of the sorted values lies (nearest rank).
pub(crate) fn percentile(sorted: &[u32], share: f64) -> u32 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Sample, percentile};

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let sample = Sample::of([4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(
            sample,
            Sample {
                median: 2.5,
                low: 1.0,
                high: 4.0
            }
        );
        assert_eq!(Sample::of([]), None);
        assert_eq!(Sample::of([1.0, f64::NAN]), None);
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let ratio = Sample::ratio(&[10.0, 30.0, 90.0], &[1.0, 2.0, 10.0]).unwrap();
        assert_eq!(
            ratio,
            Sample {
                median: 10.0,
                low: 9.0,
                high: 15.0
            }
        );
    }

    #[test]
    fn figures_have_as_many_digits_as_their_size_deserves() {
        let show = |rounds: &[f64]| Sample::of(rounds.iter().copied()).unwrap().to_string();
        assert_eq!(show(&[31_234.6]), "31,235");
        assert_eq!(
            show(&[1_234_567.0, 999.0, 2e6]),
            "1,234,567 (999–2,000,000)"
        );
        assert_eq!(show(&[23.456]), "23.5");
        assert_eq!(show(&[1.456, 1.0]), "1.23 (1.00–1.46)");
    }

    #[test]
    fn percentiles_are_ranks() {
        let values: Vec<u32> = (1..=200).collect();
        assert_eq!(percentile(&values, 0.5), 100);
        assert_eq!(percentile(&values, 0.99), 198);
        assert_eq!(percentile(&values, 1.0), 200);
        assert_eq!(percentile(&[7], 0.5), 7);
        assert_eq!(percentile(&[], 0.5), 0);
    }
}
