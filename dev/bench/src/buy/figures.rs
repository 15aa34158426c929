//! The figures of `POST /buy`. In: rounds; out: a table, and what of the promises they keep.

use std::collections::BTreeMap;
use std::time::Duration;

use super::contestant::{Contestant, Kind};
use crate::load::Report;
use crate::proc_stat::Memory;
use crate::sample::Sample;
use crate::table::Table;
use crate::verdict::{Must, Verdicts};

/// Where the promises about throughput and CPU are judged.
const MANY: usize = 256;
/// Where the one about latency is.
const FEW: usize = 64;

/// What one turn showed.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) rate: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// CPU an accepted request.
    pub(super) service_us: f64,
    pub(super) broker_us: f64,
    pub(super) load_us: f64,
    pub(super) peak_mb: f64,
    pub(super) idle_mb: f64,
    pub(super) start_ms: f64,
    /// Answers that were no success, and connections that failed.
    pub(super) refused: u64,
}

impl Round {
    pub(super) fn new(report: &Report, memory: Memory, start: Duration, idle: Memory) -> Self {
        let each = |cpu: Option<&f64>| cpu.copied().unwrap_or(f64::NAN) / report.accepted as f64;
        Self {
            rate: report.rate(),
            p50_ms: f64::from(report.p50_us) / 1e3,
            p99_ms: f64::from(report.p99_us) / 1e3,
            service_us: each(report.cpu_us.first()),
            broker_us: each(report.cpu_us.get(1)),
            load_us: each(Some(&report.own_cpu_us)),
            peak_mb: memory.peak as f64 / 1e6,
            idle_mb: idle.now as f64 / 1e6,
            start_ms: start.as_secs_f64() * 1e3,
            refused: report.refused.values().sum(),
        }
    }
}

/// All rounds of all contestants.
pub(super) struct Figures<'a> {
    contestants: &'a [Contestant],
    /// By connections and the contestant's place.
    rounds: BTreeMap<(usize, usize), Vec<Round>>,
}

impl<'a> Figures<'a> {
    pub(super) fn new(
        contestants: &'a [Contestant],
        rounds: BTreeMap<(usize, usize), Vec<Round>>,
    ) -> Self {
        Self {
            contestants,
            rounds,
        }
    }

    pub(super) fn table(&self) -> Table {
        let head = [
            "connections, service",
            "accepted/s",
            "p50 ms",
            "p99 ms",
            "CPU µs each",
            "broker µs",
            "load µs",
            "peak RSS MB",
            "refused",
        ];
        let mut table = Table::new(&head);
        for (&(connections, at), rounds) in &self.rounds {
            let figure = |pick: fn(&Round) -> f64| show(Sample::of(rounds.iter().map(pick)));
            table.row([
                format!("{connections}, {}", self.contestants[at].name()),
                figure(|round| round.rate),
                figure(|round| round.p50_ms),
                figure(|round| round.p99_ms),
                figure(|round| round.service_us),
                figure(|round| round.broker_us),
                figure(|round| round.load_us),
                figure(|round| round.peak_mb),
                rounds
                    .iter()
                    .map(|round| round.refused)
                    .sum::<u64>()
                    .to_string(),
            ]);
        }
        table
    }

    pub(super) fn verdicts(&self) -> Verdicts {
        let mut verdicts = Verdicts::default();
        let ours = |kind: &Kind| matches!(kind, Kind::Ours(_));
        let fast_api = |kind: &Kind| matches!(kind, Kind::FastApi(_));
        for contestant in self.contestants {
            let peer = |kind: &Kind| std::ptr::eq(kind, contestant.kind());
            let rate = self.ratio(MANY, ours, peer, |round| round.rate);
            let cpu = self.ratio(MANY, ours, peer, |round| round.service_us);
            let name = contestant.name();
            match contestant.kind() {
                Kind::Noop => verdicts.judge(
                    format!("CPU an accepted purchase ÷ {name}, {MANY} connections"),
                    Must::AtMost(1.5),
                    " ×",
                    cpu,
                ),
                Kind::Plain { .. } => verdicts.judge(
                    format!("accepted/s ÷ {name}, {MANY} connections"),
                    Must::Exceed(1.0),
                    " ×",
                    rate,
                ),
                Kind::FastApi(_) => {
                    verdicts.judge(
                        format!("accepted/s ÷ {name}, {MANY} connections"),
                        Must::AtLeast(15.0),
                        " ×",
                        rate,
                    );
                    verdicts.judge(
                        format!("CPU an accepted purchase ÷ {name}, {MANY} connections"),
                        Must::AtMost(1.0 / 15.0),
                        " ×",
                        cpu,
                    );
                    let latency = self.ratio(FEW, ours, fast_api, |round| round.p99_ms);
                    verdicts.judge(
                        format!("p99 ÷ {name}, {FEW} connections"),
                        Must::AtMost(0.25),
                        " ×",
                        latency,
                    );
                }
                Kind::Ours(_) => {
                    let mine =
                        |pick: fn(&Round) -> f64| Sample::of(self.everywhere(ours).map(pick));
                    verdicts.judge(
                        "producer-svc: start to ready",
                        Must::AtMost(1000.0),
                        " ms",
                        mine(|round| round.start_ms),
                    );
                    verdicts.judge(
                        "producer-svc: memory, idle",
                        Must::AtMost(30.0),
                        " MB",
                        mine(|round| round.idle_mb),
                    );
                    let peak = mine(|round| round.peak_mb).map(|sample| Sample {
                        median: sample.high,
                        ..sample
                    });
                    verdicts.judge(
                        "producer-svc: memory, highest under load",
                        Must::AtMost(100.0),
                        " MB",
                        peak,
                    );
                }
            }
        }
        verdicts
    }

    /// Round by round, one contestant's figure divided by another's.
    fn ratio(
        &self,
        connections: usize,
        above: impl Fn(&Kind) -> bool,
        below: impl Fn(&Kind) -> bool,
        pick: fn(&Round) -> f64,
    ) -> Option<Sample> {
        let figures = |who: &dyn Fn(&Kind) -> bool| -> Option<Vec<f64>> {
            let at = self
                .contestants
                .iter()
                .position(|contestant| who(contestant.kind()))?;
            Some(
                self.rounds
                    .get(&(connections, at))?
                    .iter()
                    .map(pick)
                    .collect(),
            )
        };
        Sample::ratio(&figures(&above)?, &figures(&below)?)
    }

    /// A contestant's rounds at any number of connections.
    fn everywhere(&self, who: impl Fn(&Kind) -> bool) -> impl Iterator<Item = &Round> {
        let rounds = self
            .rounds
            .iter()
            .filter(move |((_, at), _)| who(self.contestants[*at].kind()));
        rounds.flat_map(|(_, rounds)| rounds)
    }
}

fn show(sample: Option<Sample>) -> String {
    sample.map_or_else(|| "–".to_owned(), |sample| sample.to_string())
}
