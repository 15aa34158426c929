//! The plain peer of `POST /buy` as one writes it in an afternoon, with the system's allocator.
//!
//! In: a port, a broker, a topic. Out: answers, until it is killed. The allocator is linked into a program
//! and not chosen at its start, so this one is a program of its own; `bench peer plain` is the same with
//! the services' allocator.

use std::error::Error;

use clap::Parser;

#[path = "../peers/plain.rs"]
mod plain;

/// Anything that ends it.
type Failure = Box<dyn Error + Send + Sync>;

/// warp and rdkafka's `FutureProducer`, for `bench buy` to measure
#[derive(Parser)]
#[command(name = "plain-warp")]
struct Cli {
    #[command(flatten)]
    args: plain::Args,
}

fn main() -> Result<(), Failure> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(plain::serve(cli.args))
}
