//! The figures of draining. In: rounds; out: a table, and what of the promises they keep.

use super::contestant::{Contestant, Kind, Pace};
use super::watch::Seen;
use crate::connect::Model;
use crate::sample::Sample;
use crate::table::Table;
use crate::verdict::{Must, Verdicts};

/// What one turn showed.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) rate: f64,
    /// CPU a document.
    pub(super) service_us: f64,
    pub(super) database_us: f64,
    pub(super) peak_mb: f64,
    /// From the process's start to the first document.
    pub(super) first_ms: f64,
}

impl Round {
    pub(super) fn new(seen: &Seen) -> Self {
        let stored = seen.stored as f64;
        Self {
            rate: stored / seen.took.as_secs_f64(),
            service_us: seen.service.as_secs_f64() * 1e6 / stored,
            database_us: seen.database.as_secs_f64() * 1e6 / stored,
            peak_mb: seen.memory.peak as f64 / 1e6,
            first_ms: seen.first.as_secs_f64() * 1e3,
        }
    }
}

/// All rounds of all contestants, in their order.
pub(super) struct Figures<'a> {
    contestants: &'a [Contestant],
    rounds: Vec<Vec<Round>>,
}

impl<'a> Figures<'a> {
    pub(super) fn new(contestants: &'a [Contestant], rounds: Vec<Vec<Round>>) -> Self {
        Self {
            contestants,
            rounds,
        }
    }

    pub(super) fn table(&self) -> Table {
        let head = [
            "writer",
            "docs/s",
            "CPU µs a doc",
            "database µs",
            "peak RSS MB",
            "first doc after ms",
            "docs a turn",
        ];
        let mut table = Table::new(&head);
        for (contestant, rounds) in self.contestants.iter().zip(&self.rounds) {
            let figure = |pick: fn(&Round) -> f64| {
                Sample::of(rounds.iter().map(pick))
                    .map_or_else(|| "–".to_owned(), |sample| sample.to_string())
            };
            // Bare inserts hold all their documents in memory before they begin.
            let bare = matches!(contestant.kind(), Kind::Bare(_));
            let of_a_service = |pick| if bare { "–".to_owned() } else { figure(pick) };
            table.row([
                contestant.name().to_owned(),
                figure(|round| round.rate),
                figure(|round| round.service_us),
                figure(|round| round.database_us),
                of_a_service(|round| round.peak_mb),
                of_a_service(|round| round.first_ms),
                contestant.records().to_string(),
            ]);
        }
        table
    }

    pub(super) fn verdicts(&self) -> Verdicts {
        let mut verdicts = Verdicts::default();
        let best = self.best_bare();
        let name = best.map_or("bare insert_many at its best", |at| {
            self.contestants[at].name()
        });
        let ceiling = best.and_then(|at| {
            Sample::ratio(
                &self.rates(self.place(|kind| matches!(kind, Kind::Ours(_)))?),
                &self.rates(at),
            )
        });
        verdicts.judge(
            format!("drained docs/s ÷ {name}"),
            Must::AtLeast(0.9),
            " ×",
            ceiling,
        );
        let original = self.ratio(|kind| matches!(kind, Kind::Original(_)));
        verdicts.judge(
            "drained docs/s ÷ Python, one insert a message",
            Must::AtLeast(40.0),
            " ×",
            original,
        );
        for pace in [Pace::InTurn, Pace::Overlapping] {
            let tuned = |kind: &Kind| matches!(kind, Kind::Tuned(_, its) if *its == pace);
            verdicts.judge(
                format!("drained docs/s ÷ {}", pace.name()),
                Must::AtLeast(2.5),
                " ×",
                self.ratio(tuned),
            );
        }
        self.beside_connect(&mut verdicts);
        let ours = self.place(|kind| matches!(kind, Kind::Ours(_)));
        let peak =
            ours.and_then(|at| Sample::of(self.rounds[at].iter().map(|round| round.peak_mb)));
        let highest = peak.map(|sample| Sample {
            median: sample.high,
            ..sample
        });
        verdicts.judge(
            "consumer-svc: memory, highest while draining",
            Must::AtMost(100.0),
            " MB",
            highest,
        );
        verdicts
    }

    /// Speed, CPU and memory beside Kafka Connect's sink at its fastest.
    fn beside_connect(&self, verdicts: &mut Verdicts) {
        let fastest = |kind: &Kind| matches!(kind, Kind::Connect(_, Model::Insert));
        let name = "Kafka Connect, insert-only";
        verdicts.judge(
            format!("drained docs/s ÷ {name}"),
            Must::AtLeast(1.0),
            " ×",
            self.ratio(fastest),
        );
        let of = |pick| self.ratio_of(fastest, pick);
        verdicts.judge(
            format!("CPU a document ÷ {name}"),
            Must::AtMost(1.0 / 4.0),
            " ×",
            of(|round| round.service_us),
        );
        verdicts.judge(
            format!("peak memory ÷ {name}"),
            Must::AtMost(1.0 / 6.0),
            " ×",
            of(|round| round.peak_mb),
        );
    }

    /// The bare writer that is fastest by its median.
    fn best_bare(&self) -> Option<usize> {
        let bare = self
            .contestants
            .iter()
            .enumerate()
            .filter(|(_, one)| matches!(one.kind(), Kind::Bare(_)));
        let median = |at: usize| Sample::of(self.rates(at)).map_or(0.0, |sample| sample.median);
        bare.map(|(at, _)| at)
            .max_by(|&one, &other| median(one).total_cmp(&median(other)))
    }

    fn ratio(&self, peer: impl Fn(&Kind) -> bool) -> Option<Sample> {
        self.ratio_of(peer, |round| round.rate)
    }

    /// Ours by the peer's, round by round.
    fn ratio_of(&self, peer: impl Fn(&Kind) -> bool, pick: fn(&Round) -> f64) -> Option<Sample> {
        let ours = self.place(|kind| matches!(kind, Kind::Ours(_)))?;
        let of = |at: usize| -> Vec<f64> { self.rounds[at].iter().map(pick).collect() };
        Sample::ratio(&of(ours), &of(self.place(peer)?))
    }

    fn rates(&self, at: usize) -> Vec<f64> {
        self.rounds[at].iter().map(|round| round.rate).collect()
    }

    fn place(&self, who: impl Fn(&Kind) -> bool) -> Option<usize> {
        self.contestants
            .iter()
            .position(|contestant| who(contestant.kind()))
    }
}
