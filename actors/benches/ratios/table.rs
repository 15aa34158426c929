//! Rounds of pairs, and the table made of them. In: two ways to do the same. Out: ratios, and
//! whether they are within their limits.

use std::fmt;
use std::time::Duration;

use crate::timed;

type Run = Box<dyn Fn() -> Duration>;

/// A comparison.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    what: &'static str,
    /// The ratio that is allowed; none where it is only shown.
    limit: Option<f64>,
    /// How many messages, or children, a run has.
    count: u64,
    bare: Run,
    ours: Run,
    /// Nanoseconds for each, bare and ours, by round.
    rounds: Vec<(f64, f64)>,
}

impl Part {
    pub(crate) fn new(name: &'static str, what: &'static str) -> Self {
        Self {
            name,
            what,
            limit: None,
            count: 1,
            bare: Box::new(|| Duration::ZERO),
            ours: Box::new(|| Duration::ZERO),
            rounds: Vec::new(),
        }
    }

    pub(crate) fn limit(mut self, limit: f64) -> Self {
        self.limit = Some(limit);
        self
    }

    pub(crate) fn each(mut self, count: u64) -> Self {
        self.count = count;
        self
    }

    pub(crate) fn bare<W: Future<Output = Duration>>(
        mut self,
        work: impl Fn() -> W + 'static,
    ) -> Self {
        self.bare = Box::new(move || timed(work()));
        self
    }

    pub(crate) fn ours<W: Future<Output = Duration>>(
        mut self,
        work: impl Fn() -> W + 'static,
    ) -> Self {
        self.ours = Box::new(move || timed(work()));
        self
    }

    pub(crate) fn run(&mut self) {
        let each = |took: Duration| took.as_nanos() as f64 / self.count as f64;
        let round = (each((self.bare)()), each((self.ours)()));
        self.rounds.push(round);
    }

    /// The middle of the rounds' ratios, and the least and the largest.
    fn ratios(&self) -> [f64; 3] {
        let ratios = sorted(self.rounds.iter().map(|(bare, ours)| ours / bare));
        [
            ratios[ratios.len() / 2],
            ratios[0],
            ratios[ratios.len() - 1],
        ]
    }

    fn is_within(&self) -> bool {
        self.limit.is_none_or(|limit| self.ratios()[0] <= limit)
    }
}

fn sorted(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let numbers = sorted(numbers);
    numbers[numbers.len() / 2]
}

/// All of them, as Markdown.
pub(crate) struct Table<'a>(pub(crate) &'a [Part]);

impl Table<'_> {
    pub(crate) fn is_within(&self) -> bool {
        self.0.iter().all(Part::is_within)
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| | bare ractor, ns each | actors, ns each | ratio | limit | |"
        )?;
        writeln!(f, "|---|--:|--:|--:|--:|---|")?;
        for part in self.0 {
            let bare = median(part.rounds.iter().map(|(bare, _)| *bare));
            let ours = median(part.rounds.iter().map(|(_, ours)| *ours));
            let [ratio, least, most] = part.ratios();
            let (limit, word) = match part.limit {
                None => ("none".to_owned(), ""),
                Some(limit) if part.is_within() => (format!("{limit:.0} ×"), "within"),
                Some(limit) => (format!("{limit:.0} ×"), "**over**"),
            };
            writeln!(
                f,
                "| {}: {} | {bare:.0} | {ours:.0} | {ratio:.2} ({least:.2}–{most:.2}) × | {limit} | {word} |",
                part.name, part.what
            )?;
        }
        Ok(())
    }
}
