//! From bought to shown: how long until a purchase is in its buyer's history. In: rates; out: a
//! table and verdicts.
//!
//! Both services run as they would in life. Purchases leave at a fixed rate whatever the answers
//! do. Every buyer buys once, so that the history of a sampled one says 404 until the purchase is
//! stored, and then 200.

mod pace;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use devstack::process::Process;
use devstack::{free_port, wait_until};

use crate::Failure;
use crate::peers::loopback;
use crate::proc_stat;
use crate::sample::Sample;
use crate::site::{Site, is_ready, say};
use crate::table::Table;
use crate::verdict::{Must, Verdicts};
use pace::{Doors, Shown};

/// The topic and the database.
const NAME: &str = "latency";
/// How often the consumer is asked at its start: this is how exactly that is known.
const ASK_EVERY: Duration = Duration::from_millis(5);
/// How long a service may take to be ready.
const PATIENCE: Duration = Duration::from_secs(30);
/// The rate that the promise is about.
const PROMISED_RATE: u32 = 500;

/// How the time from bought to shown is measured.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Purchases a second
    #[arg(long, value_delimiter = ',', default_values_t = [50, 500, 2000], value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rates: Vec<u32>,
    /// Rounds; in each, every rate has its turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds a turn
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// Histories that are watched, a second
    #[arg(long, default_value_t = 50)]
    watched: u32,
    /// End with exit code 1 if a target is not met
    #[arg(long)]
    pub(crate) strict: bool,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            rates: vec![50, 500, 2000],
            rounds: 3,
            seconds: 8.0,
            watched: 50,
            strict: false,
        }
    }
}

/// Measures, prints the table, and judges.
pub(crate) async fn run(site: &Site, args: &Args) -> Result<Verdicts, Failure> {
    site.stack().create_topic(NAME, 3).await?;
    site.stack().create_topic(&format!("{NAME}.dlq"), 1).await?;
    let (services, doors, beginning) = start(site).await?;
    let Beginning { start_ms, idle_mb } = beginning;
    say(&format!(
        "latency: consumer-svc ready after {start_ms:.0} ms, {idle_mb:.1} MB idle"
    ));
    say("latency: warming up");
    pace::run(doors, "warm-up", PROMISED_RATE, 3.0, args.watched).await?;
    let mut rounds: BTreeMap<u32, Vec<Shown>> = BTreeMap::new();
    for number in 1..=args.rounds {
        for &rate in &args.rates {
            let shown = pace::run(
                doors,
                &format!("{number}-{rate}"),
                rate,
                args.seconds,
                args.watched,
            )
            .await?;
            say(&format!(
                "latency: round {number}, {rate} buys/s: shown p50 {:.1} ms, p99 {:.1} ms of {}",
                shown.p50_ms, shown.p99_ms, shown.watched
            ));
            rounds.entry(rate).or_default().push(shown);
        }
    }
    let [_, consumer] = &services;
    let peak_mb = proc_stat::memory(consumer.pid())?.peak as f64 / 1e6;
    for service in services {
        let status = service.stop(PATIENCE).await?;
        if !status.success() {
            return Err(format!(
                "{}: {status} after SIGTERM\n{}",
                service.name(),
                service.log_tail(10)
            )
            .into());
        }
    }
    println!("## From bought to in the history\n\n{}", table(&rounds));
    Ok(verdicts(&rounds, &beginning, peak_mb))
}

/// What the consumer took before it had anything to do.
struct Beginning {
    start_ms: f64,
    idle_mb: f64,
}

/// Starts both services, one after the other, and waits until they can be given work.
async fn start(site: &Site) -> Result<([Process; 2], Doors, Beginning), Failure> {
    let [buy, history, buy_admin, history_admin] = std::array::from_fn(|_| loopback(free_port()));
    let began = Instant::now();
    let consumer = site
        .service("consumer-svc", &[])
        .env("HTTP_ADDR", history.to_string())
        .env("ADMIN_ADDR", history_admin.to_string())
        .env("KAFKA_TOPIC", NAME)
        .env("KAFKA_DLQ_TOPIC", format!("{NAME}.dlq"))
        .env("MONGODB_DATABASE", NAME)
        .start()?;
    // No growing pauses: the time itself is a figure here.
    while !is_ready(history_admin).await {
        if !consumer.is_running() || began.elapsed() > PATIENCE {
            return Err(never_ready(&consumer).into());
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    let start_ms = began.elapsed().as_secs_f64() * 1e3;
    let idle_mb = proc_stat::settled(consumer.pid()).await?.now as f64 / 1e6;
    let producer = site
        .service("producer-svc", &[])
        .env("HTTP_ADDR", buy.to_string())
        .env("ADMIN_ADDR", buy_admin.to_string())
        .env("KAFKA_TOPIC", NAME)
        .env("CUSTOMER_MANAGEMENT_API_URL", format!("http://{history}"))
        .start()?;
    let ready = wait_until(PATIENCE, async || is_ready(buy_admin).await.then_some(())).await;
    ready.ok_or_else(|| never_ready(&producer))?;
    let beginning = Beginning { start_ms, idle_mb };
    Ok(([producer, consumer], Doors { buy, history }, beginning))
}

fn never_ready(service: &Process) -> String {
    let (name, tail) = (service.name(), service.log_tail(15));
    format!("{name} did not become ready:\n{tail}")
}

fn table(rounds: &BTreeMap<u32, Vec<Shown>>) -> Table {
    let head = [
        "buys/s asked",
        "accepted/s",
        "answer p50 ms",
        "answer p99 ms",
        "shown p50 ms",
        "shown p99 ms",
        "histories watched",
    ];
    let mut table = Table::new(&head);
    for (rate, rounds) in rounds {
        let figure = |pick: fn(&Shown) -> f64| {
            Sample::of(rounds.iter().map(pick))
                .map_or_else(|| "–".to_owned(), |sample| sample.to_string())
        };
        table.row([
            rate.to_string(),
            figure(|shown| shown.rate),
            figure(|shown| shown.answer_p50_ms),
            figure(|shown| shown.answer_p99_ms),
            figure(|shown| shown.p50_ms),
            figure(|shown| shown.p99_ms),
            rounds
                .iter()
                .map(|shown| shown.watched)
                .sum::<usize>()
                .to_string(),
        ]);
    }
    table
}

fn verdicts(rounds: &BTreeMap<u32, Vec<Shown>>, beginning: &Beginning, peak_mb: f64) -> Verdicts {
    let figure = |pick: fn(&Shown) -> f64| Sample::of(rounds.get(&PROMISED_RATE)?.iter().map(pick));
    let mut verdicts = Verdicts::default();
    let what = |share: &str| format!("bought to in the history, {PROMISED_RATE} buys/s, {share}");
    verdicts.judge(
        what("p50"),
        Must::AtMost(15.0),
        " ms",
        figure(|shown| shown.p50_ms),
    );
    verdicts.judge(
        what("p99"),
        Must::AtMost(50.0),
        " ms",
        figure(|shown| shown.p99_ms),
    );
    for (what, most, unit, figure) in [
        ("start to ready", 1000.0, " ms", beginning.start_ms),
        ("memory, idle", 30.0, " MB", beginning.idle_mb),
        ("memory, highest under load", 100.0, " MB", peak_mb),
    ] {
        verdicts.judge(
            format!("consumer-svc: {what}"),
            Must::AtMost(most),
            unit,
            Sample::of([figure]),
        );
    }
    verdicts
}
