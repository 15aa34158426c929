//! `POST /buy` beside its peers. In: connections, rounds, seconds; out: a table and verdicts.
//!
//! Every measurement has a fresh process and a fresh topic, and the contestants take turns within
//! a round, so that what the machine does to a round it does to all of them.

mod contestant;
mod figures;

use std::collections::BTreeMap;

use crate::python::Python;
use crate::site::{Setting, Site, say};
use crate::verdict::Verdicts;
use crate::{Failure, load, proc_stat};
use contestant::{Allocator, Contestant, Kind, Running};
use figures::{Figures, Round};

/// Few, many, and more than anybody should have.
const CONNECTIONS: [usize; 3] = [64, 256, 1024];

/// How `POST /buy` is measured.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Connections, each with one request at a time
    #[arg(long, value_delimiter = ',', default_values_t = CONNECTIONS)]
    connections: Vec<usize>,
    /// Rounds; in each, every contestant has its turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measured seconds a turn
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Seconds before them
    #[arg(long, default_value_t = 1.5)]
    warm_up: f64,
    /// What plain warp + `FutureProducer` waits for company, in milliseconds; several make several peers
    #[arg(long, value_delimiter = ',', default_values_t = [2])]
    linger: Vec<u32>,
    /// Leave out the original Python service
    #[arg(long)]
    no_python: bool,
    /// A variable for producer-svc, to try another configuration than its own; may be given again
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<Setting>,
    /// End with exit code 1 if a target is not met
    #[arg(long)]
    pub(crate) strict: bool,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS.to_vec(),
            rounds: 3,
            seconds: 5.0,
            warm_up: 1.5,
            linger: vec![2],
            no_python: false,
            settings: Vec::new(),
            strict: false,
        }
    }
}

/// Measures, prints the table, and judges.
pub(crate) async fn run(site: &Site, args: &Args) -> Result<Verdicts, Failure> {
    let mut connections = args.connections.clone();
    connections.sort_unstable();
    connections.dedup();
    let mut contestants = vec![Contestant::new(Kind::Noop)];
    for &linger_ms in &args.linger {
        for allocator in [Allocator::System, Allocator::Ours] {
            contestants.push(Contestant::new(Kind::Plain {
                linger_ms,
                allocator,
            }));
        }
    }
    if !args.no_python {
        contestants.push(Contestant::new(Kind::FastApi(Python::ready(site).await?)));
    }
    contestants.push(Contestant::new(Kind::Ours(args.settings.clone())));

    say("buy: warming up the broker");
    if let Some(ours) = contestants.last() {
        turn(site, ours, "buy-warm-up", 64, (1.0, args.seconds.min(3.0))).await?;
    }
    let mut rounds: BTreeMap<(usize, usize), Vec<Round>> = BTreeMap::new();
    for number in 1..=args.rounds {
        for &connections in &connections {
            for (at, contestant) in contestants.iter().enumerate() {
                let topic = format!("buy-{at}-{connections}-{number}");
                let round = turn(
                    site,
                    contestant,
                    &topic,
                    connections,
                    (args.warm_up, args.seconds),
                )
                .await?;
                say(&format!(
                    "buy: round {number}, {connections} connections, {}: {:.0}/s, p99 {:.1} ms, {:.1} µs",
                    contestant.name(),
                    round.rate,
                    round.p99_ms,
                    round.service_us
                ));
                rounds.entry((connections, at)).or_default().push(round);
            }
        }
    }
    let figures = Figures::new(&contestants, rounds);
    println!("## POST /buy\n\n{}", figures.table());
    Ok(figures.verdicts())
}

/// One contestant's turn: a fresh process, the load, and what it cost.
async fn turn(
    site: &Site,
    contestant: &Contestant,
    topic: &str,
    connections: usize,
    time: (f64, f64),
) -> Result<Round, Failure> {
    site.stack().create_topic(topic, 3).await?;
    let Running {
        process,
        addr,
        start,
        idle,
    } = contestant.start(site, topic).await?;
    let watched = [process.pid(), site.broker()?];
    let report = load::apply(site, addr, connections, time, &watched)
        .await
        .map_err(|error| format!("{}: {error}\n{}", contestant.name(), process.log_tail(10)))?;
    if let Some(why) = &report.first_failure {
        say(&format!(
            "buy: {}: connections failed, the first: {why}",
            contestant.name()
        ));
    }
    let memory = proc_stat::memory(process.pid())?;
    let stored: i64 = site.stack().end_offsets(topic).await?.iter().sum();
    drop(process);
    if contestant.writes() && stored < i64::try_from(report.accepted_in_all)? {
        let (name, said) = (contestant.name(), report.accepted_in_all);
        return Err(format!(
            "{name} said {said} times that it had stored a purchase, the topic has {stored}"
        )
        .into());
    }
    Ok(Round::new(&report, memory, start, idle))
}
