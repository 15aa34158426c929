//! The side-by-side figures: our services beside their peers, in one run on one machine.
//!
//! In: what to measure. Out: Markdown tables on the standard output, progress on the standard
//! error. Every contestant and the load itself are processes of their own (this program again,
//! where they are written in Rust), so that what each costs can be read from the kernel.
//! It must not change the services, and what it calls a target stands in `verdict.rs` and nowhere else.

mod buy;
mod connect;
mod corpus;
mod drain;
mod latency;
mod load;
mod peers;
mod proc_stat;
mod python;
mod sample;
mod site;
mod table;
mod verdict;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use devstack::StackError;

use crate::site::Site;
use crate::verdict::Verdicts;

/// The services' allocator: what differs between contestants is not to be that.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Anything that ends a measurement.
type Failure = Box<dyn Error + Send + Sync>;

const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;
const SOFTWARE: u8 = 70;
const INTERRUPTED: u8 = 130;

/// Measures the services beside their peers, all in one run, and compares with the targets.
///
/// Starts a broker and database of its own. Figures are ratios within the run: close other
/// programs first. The optimized services are looked for beside this program, or in `BENCH_BIN_DIR`.
/// Without a command, everything is measured.
#[derive(Parser)]
#[command(name = "bench", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// POST /buy: ours beside a no-op, plain warp + rdkafka, and the original Python service
    Buy(buy::Args),
    /// A backlog into the database: ours beside bare inserts, Python consumers and Kafka Connect
    Drain(drain::Args),
    /// From bought to shown in the history, at several rates
    Latency(latency::Args),
    /// The load, as a process of its own
    #[command(hide = true)]
    Load(load::Args),
    /// A contestant, as a process of its own
    #[command(hide = true)]
    Peer(peers::Args),
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
    let done = match cli.command {
        Some(Command::Load(args)) => load::run(&args).map(|()| 0),
        Some(Command::Peer(args)) => peers::run(args).map(|()| 0),
        Some(Command::Buy(args)) => measure(Plan {
            buy: Some(args),
            ..Plan::default()
        }),
        Some(Command::Drain(args)) => measure(Plan {
            drain: Some(args),
            ..Plan::default()
        }),
        Some(Command::Latency(args)) => measure(Plan {
            latency: Some(args),
            ..Plan::default()
        }),
        None => measure(Plan::everything()),
    };
    done.map_or_else(
        |failure| {
            eprintln!("bench: {failure}");
            let missing = failure
                .downcast_ref::<StackError>()
                .is_some_and(StackError::is_missing_tool);
            ExitCode::from(if missing { UNAVAILABLE } else { SOFTWARE })
        },
        ExitCode::from,
    )
}

/// What to measure.
#[derive(Default)]
struct Plan {
    buy: Option<buy::Args>,
    drain: Option<drain::Args>,
    latency: Option<latency::Args>,
}

impl Plan {
    fn everything() -> Self {
        Self {
            buy: Some(buy::Args::default()),
            drain: Some(drain::Args::default()),
            latency: Some(latency::Args::default()),
        }
    }

    fn is_strict(&self) -> bool {
        self.buy.as_ref().is_some_and(|args| args.strict)
            || self.drain.as_ref().is_some_and(|args| args.strict)
            || self.latency.as_ref().is_some_and(|args| args.strict)
    }
}

/// Runs the measurements on one stack. A target that is not met is an exit code of 1 only if
/// that was asked for: figures of a busy machine are no failure of the program.
fn measure(plan: Plan) -> Result<u8, Failure> {
    let strict = plan.is_strict();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let interrupted = host::signal::shutdown()?;
        tokio::select! {
            // Dropping the work kills every child and removes what it wrote.
            () = interrupted.cancelled() => Ok(INTERRUPTED),
            verdicts = all(plan) => verdicts.map(|verdicts| u8::from(strict && !verdicts.all_met())),
        }
    })
}

async fn all(plan: Plan) -> Result<Verdicts, Failure> {
    let site = Site::open().await?;
    println!("{}\n", site.machine());
    let mut verdicts = Verdicts::default();
    if let Some(args) = plan.buy {
        verdicts.extend(buy::run(&site, &args).await?);
    }
    if let Some(args) = plan.drain {
        verdicts.extend(drain::run(&site, &args).await?);
    }
    if let Some(args) = plan.latency {
        verdicts.extend(latency::run(&site, &args).await?);
    }
    println!("## Targets\n\n{verdicts}");
    site.close().await?;
    Ok(verdicts)
}
