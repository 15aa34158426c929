//! A backlog into the database, beside its peers. In: records and rounds; out: a table and verdicts.
//!
//! Every turn has a fresh process, consumer group and database; one that is not counted comes first. What is stored is seen from
//! outside, the same way for everyone, and counted exactly when the turn is over.

mod contestant;
mod figures;
mod prefill;
mod shape;
mod watch;

use std::collections::BTreeSet;
use std::time::Duration;

use bson::doc;
use mongodb::options::IndexOptions;
use mongodb::{Client, IndexModel};

use crate::connect::{Connect, Model};
use crate::peers::insert;
use crate::python::Python;
use crate::site::{Setting, Site, say};
use crate::verdict::Verdicts;
use crate::{Failure, corpus};
use contestant::{Bare, Contestant, Kind, Pace};
use figures::{Figures, Round};
use watch::Watch;

/// How long a contestant may take to end by itself once it is told to.
const STOP_PATIENCE: Duration = Duration::from_secs(35);

/// How draining is measured.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Records of the backlog
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1000..=5_000_000))]
    records: u32,
    /// Rounds; in each, every contestant has its turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Bare `insert_many`, as batch×writers
    #[arg(long, value_delimiter = ',', default_values = ["500x1", "1000x3", "2000x1", "2000x2", "2000x3", "2000x4", "5000x2"])]
    bare: Vec<Bare>,
    /// Leave out the Python consumers
    #[arg(long)]
    no_python: bool,
    /// Records that the tuned Python consumers store in a turn
    #[arg(long, default_value_t = 200_000)]
    tuned_records: u32,
    /// Records that the original one-insert-a-message consumer stores in a turn
    #[arg(long, default_value_t = 10_000)]
    original_records: u32,
    /// Leave out Kafka Connect with MongoDB's sink
    #[arg(long)]
    no_connect: bool,
    /// Records that Kafka Connect stores in a turn with its default write model
    #[arg(long, default_value_t = 40_000)]
    connect_replace_records: u32,
    /// A variable for consumer-svc, to try another configuration than its own; may be given again
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<Setting>,
    /// End with exit code 1 if a target is not met
    #[arg(long)]
    pub(crate) strict: bool,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            records: 500_000,
            rounds: 3,
            bare: [
                (500, 1),
                (1000, 3),
                (2000, 1),
                (2000, 2),
                (2000, 3),
                (2000, 4),
                (5000, 2),
            ]
            .map(|(batch, writers)| Bare::new(batch, writers))
            .to_vec(),
            no_python: false,
            tuned_records: 200_000,
            original_records: 10_000,
            no_connect: false,
            connect_replace_records: 40_000,
            settings: Vec::new(),
            strict: false,
        }
    }
}

/// Measures, prints the table, and judges.
pub(crate) async fn run(site: &Site, args: &Args) -> Result<Verdicts, Failure> {
    let mut contestants: Vec<_> = args
        .bare
        .iter()
        .map(|&bare| Contestant::new(Kind::Bare(bare), args.records))
        .collect();
    let of_all = |records: u32| records.min(args.records);
    if !args.no_python {
        let python = Python::ready(site).await?;
        contestants.push(Contestant::new(
            Kind::Original(python.clone()),
            of_all(args.original_records),
        ));
        for pace in [Pace::InTurn, Pace::Overlapping] {
            contestants.push(Contestant::new(
                Kind::Tuned(python.clone(), pace),
                of_all(args.tuned_records),
            ));
        }
    }
    if !args.no_connect {
        let connect = Connect::ready(site).await?;
        contestants.push(Contestant::new(
            Kind::Connect(connect.clone(), Model::Replace),
            of_all(args.connect_replace_records),
        ));
        contestants.push(Contestant::new(
            Kind::Connect(connect, Model::Insert),
            args.records,
        ));
    }
    contestants.push(Contestant::new(
        Kind::Ours(args.settings.clone()),
        args.records,
    ));

    let backlogs: BTreeSet<_> = contestants.iter().map(Contestant::backlog).collect();
    for backlog in backlogs {
        let topic = backlog.topic();
        say(&format!(
            "drain: writing a backlog of {} records to {topic}",
            backlog.records
        ));
        site.stack().create_topic(&topic, 3).await?;
        site.stack()
            .create_topic(&format!("{topic}.dlq"), 1)
            .await?;
        prefill::write(site.stack().bootstrap_servers(), backlog).await?;
    }
    let client = Client::with_uri_str(site.stack().mongodb_uri()).await?;
    // A broker whose JVM has never answered a fetch is slow for whoever reads first, and a database that has
    // stored nothing for whoever writes first. That is nobody's merit, so one turn goes before all that count.
    if let Some(ours) = contestants.last() {
        let round = turn(site, &client, ours, "drain_warm_up")
            .await
            .map_err(|error| format!("{}, warming up: {error}", ours.name()))?;
        say(&format!(
            "drain: warming up, not counted: {:.0} docs/s",
            round.rate
        ));
    }
    let mut rounds = vec![Vec::new(); contestants.len()];
    for number in 1..=args.rounds {
        for (at, contestant) in contestants.iter().enumerate() {
            let name = format!("drain_{at}_{number}");
            let round = turn(site, &client, contestant, &name)
                .await
                .map_err(|error| format!("{}: {error}", contestant.name()))?;
            say(&format!(
                "drain: round {number}, {}: {:.0} docs/s, {:.1} µs each, first after {:.0} ms",
                contestant.name(),
                round.rate,
                round.service_us,
                round.first_ms
            ));
            rounds[at].push(round);
        }
    }
    let figures = Figures::new(&contestants, rounds);
    println!(
        "## Draining {} records\n\n{}",
        args.records,
        figures.table()
    );
    Ok(figures.verdicts())
}

/// One contestant's turn. `name` is that of its database and its consumer group.
async fn turn(
    site: &Site,
    client: &Client,
    contestant: &Contestant,
    name: &str,
) -> Result<Round, Failure> {
    let collection = insert::collection(client, name);
    let options = IndexOptions::builder()
        .name(corpus::INDEX.to_owned())
        .build();
    let index = IndexModel::builder()
        .keys(corpus::index_keys())
        .options(options)
        .build();
    collection.create_index(index).await?;
    if !contestant.makes_its_schema() {
        let rules = doc! { "collMod": collection.name(), "validator": corpus::validator(), "validationLevel": "moderate" };
        client.database(name).run_command(rules).await?;
    }
    let records = contestant.records();
    let process = contestant.spawn(site, name)?.start()?;
    let watch = Watch {
        collection: &collection,
        process: &process,
        database: site.database()?,
        records,
    };
    let seen = watch.until_stored(contestant.patience()).await;
    let seen = seen.map_err(|error| format!("{error}\n{}", process.log_tail(10)))?;
    if contestant.ends_well() {
        let status = process.stop(STOP_PATIENCE).await?;
        if !status.success() {
            return Err(format!("{status} after SIGTERM\n{}", process.log_tail(10)).into());
        }
    }
    drop(process);
    if contestant.stores_our_form() {
        shape::same(&collection, records).await?;
    }
    client.database(name).drop().await?;
    Ok(Round::new(&seen))
}
