//! `cargo xtask torture`: a campaign from the command line. In: a seed and how much. Out: what
//! happens, as it happens, and a report; exit code 1, with the command that does the same again, if
//! anything was wrong.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Parser;
use torture::Campaign;
use torture::plan::{Plan, Shape};

const USAGE: u8 = 64;
const INTERRUPTED: u8 = 130;
/// The default number of purchases.
const PURCHASES: usize = 1_000_000;
/// Time enough for the default number, with the outages in between.
const MINUTES: f64 = 20.0;

/// Buys while consumers, producers, broker and database are killed, frozen, cut off and rebalanced
/// at random; then counts exactly.
///
/// Every 201 must have exactly one document, under its id and with its price, and there must be no
/// other document; no commit may ever be ahead of what is stored; the statistics must be a recount;
/// every bad record among them must have a dead letter, and nothing else. What happens when is decided by the seed alone.
#[derive(Parser)]
#[command(name = "cargo xtask torture")]
struct Cli {
    /// Decides what happens when [default: another one each time, printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Faults and purchases end after so many minutes, or when all is bought [default: 20]
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// Purchases; fewer before the time is over are a failure [default: 1000000, or with --minutes as many as fit]
    #[arg(long, value_name = "N")]
    purchases: Option<usize>,
    /// Purchases a second, at most
    #[arg(long, value_name = "N", default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..))]
    per_second: u32,
    /// Consumers that stay; one more comes and goes
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=5))]
    consumers: u8,
    /// Producers
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=5))]
    producers: u8,
    /// Brokers: 1, or 3 with three replicas of everything
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = brokers)]
    brokers: usize,
    /// Only print what would happen
    #[arg(long)]
    plan: bool,
}

fn brokers(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("is neither 1 nor 3".to_owned()),
    }
}

impl Cli {
    fn campaign(&self) -> Campaign {
        let seed = self.seed.unwrap_or_else(another);
        let minutes = self.minutes.unwrap_or(MINUTES);
        let fit = (minutes * 60.0 * f64::from(self.per_second)) as usize;
        let (purchases, at_least) = match (self.purchases, self.minutes) {
            (Some(purchases), _) => (purchases, purchases),
            // As many as fit if nothing stood in their way, and much does.
            (None, Some(_)) => (fit.max(1), fit / 20),
            (None, None) => (PURCHASES, PURCHASES),
        };
        let bought = match (self.purchases, self.minutes) {
            (None, Some(_)) => String::new(),
            _ => format!(" --purchases {purchases}"),
        };
        let shape = Shape {
            consumers: usize::from(self.consumers),
            producers: usize::from(self.producers),
            brokers: self.brokers,
        };
        let again = format!(
            "cargo xtask torture --seed {seed} --minutes {minutes}{bought} --per-second {} \
             --consumers {} --producers {} --brokers {}",
            self.per_second, self.consumers, self.producers, self.brokers
        );
        Campaign {
            seed,
            purchases,
            at_least,
            per_second: self.per_second,
            at_most: Duration::from_secs_f64(minutes * 60.0),
            shape,
            again,
        }
    }
}

/// A seed that nobody chose.
fn another() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // Short enough to be typed again.
    now.unwrap_or_default().as_micros() as u64 % 1_000_000_000
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            // Nobody to show it to is no reason to change the exit code.
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    let campaign = cli.campaign();
    if cli.plan {
        println!("{}", campaign.again);
        let until = campaign.at_most.as_millis();
        let plan = Plan::new(campaign.seed, campaign.shape);
        plan.take_while(|act| u128::from(act.at) < until)
            .for_each(|act| println!("{act}"));
        return ExitCode::SUCCESS;
    }
    // What is wrong ends in a panic, after whose words nothing is left to be said.
    let done = std::panic::catch_unwind(AssertUnwindSafe(|| run(campaign)));
    match done {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            eprintln!("torture: {error}");
            ExitCode::FAILURE
        }
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(campaign: Campaign) -> std::io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        tokio::select! {
            // Children die with this process.
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(INTERRUPTED)),
            report = campaign.run(|line| println!("{line}")) => {
                println!("\n{report}\nnothing is wrong");
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}
