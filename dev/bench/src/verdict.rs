//! What the services must reach, and whether they did. In: figures as ratios and sizes; out: a
//! table with met or not. The promises themselves are the project's; nothing here is tuned to a result.

use std::fmt;

use crate::sample::Sample;
use crate::table::Table;

/// Which side of the limit is good.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Must {
    /// At least this.
    AtLeast(f64),
    /// More than this.
    Exceed(f64),
    /// At most this.
    AtMost(f64),
}

impl Must {
    fn met_by(self, measured: f64) -> bool {
        match self {
            Self::AtLeast(limit) => measured >= limit,
            Self::Exceed(limit) => measured > limit,
            Self::AtMost(limit) => measured <= limit,
        }
    }
}

impl fmt::Display for Must {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, limit) = match self {
            Self::AtLeast(limit) => ('≥', limit),
            Self::Exceed(limit) => ('>', limit),
            Self::AtMost(limit) => ('≤', limit),
        };
        // 1/15 and the like are read more easily as that.
        let inverse = 1.0 / limit;
        if *limit < 0.5 && (inverse - inverse.round()).abs() < 1e-9 {
            return write!(f, "{sign} 1/{inverse:.0}");
        }
        write!(f, "{sign} {limit}")
    }
}

/// One promise and what was measured for it.
#[derive(Debug)]
struct Verdict {
    what: String,
    must: Must,
    unit: &'static str,
    measured: Option<Sample>,
}

impl Verdict {
    fn met(&self) -> bool {
        self.measured
            .is_some_and(|sample| self.must.met_by(sample.median))
    }
}

/// All promises that this run says something about.
#[derive(Debug, Default)]
pub(crate) struct Verdicts(Vec<Verdict>);

impl Verdicts {
    /// Judges one promise by its median. What was not measured was not met.
    pub(crate) fn judge(
        &mut self,
        what: impl Into<String>,
        must: Must,
        unit: &'static str,
        measured: Option<Sample>,
    ) {
        self.0.push(Verdict {
            what: what.into(),
            must,
            unit,
            measured,
        });
    }

    /// Adds those of another measurement.
    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Whether every promise was kept.
    pub(crate) fn all_met(&self) -> bool {
        self.0.iter().all(Verdict::met)
    }
}

impl fmt::Display for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&["target", "must be", "measured", "verdict"]);
        for verdict in &self.0 {
            let unit = verdict.unit;
            let must = format!("{}{unit}", verdict.must);
            let (measured, judged) = match verdict.measured {
                None => ("–".to_owned(), "not measured"),
                Some(sample) if verdict.met() => (format!("{sample}{unit}"), "met"),
                Some(sample) => (format!("{sample}{unit}"), "**not met**"),
            };
            table.row([verdict.what.clone(), must, measured, judged.to_owned()]);
        }
        write!(f, "{table}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Must, Verdicts};
    use crate::sample::Sample;

    #[test]
    fn a_limit_is_judged_by_the_median_and_shown_as_it_is_promised() {
        let mut verdicts = Verdicts::default();
        verdicts.judge(
            "a",
            Must::AtLeast(15.0),
            " ×",
            Sample::of([14.0, 15.0, 90.0]),
        );
        verdicts.judge("b", Must::AtMost(1.0 / 15.0), " ×", Sample::of([0.05]));
        assert!(verdicts.all_met());
        let text = verdicts.to_string();
        assert!(
            text.contains("≥ 15 ×") && text.contains("≤ 1/15 ×"),
            "{text}"
        );
        verdicts.judge("c", Must::Exceed(1.0), " ×", Sample::of([1.0]));
        assert!(!verdicts.all_met());
        assert!(verdicts.to_string().contains("not met"));
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        let mut verdicts = Verdicts::default();
        verdicts.judge("a", Must::AtLeast(1.0), "", None);
        assert!(!verdicts.all_met());
        assert!(verdicts.to_string().contains("not measured"));
    }
}
