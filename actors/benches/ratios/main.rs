//! What the toolkit costs, as ratios to bare ractor in one run: `cargo bench -p actors`.
//!
//! Each pair runs in turn, several times, and the medians are compared. With arguments only the
//! parts named are run: `hops`, `batches`, `memory`, `children`. Exits with a failure if a limit is
//! passed.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark, not a library"
)]

mod bare;
mod children;
mod memory;
mod ours;

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

const ROUNDS: usize = 7;
pub(crate) const MESSAGES: u64 = 300_000;
pub(crate) const BATCH: usize = 100;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    let mut within = true;
    let run = |part: &str| wanted.is_empty() || wanted.iter().any(|name| name == part);
    if run("hops") {
        let ratio = compare(
            "three hops, one message a cast",
            MESSAGES,
            bare::single,
            ours::single,
        );
        within &= verdict(ratio, 2.0);
    }
    if run("batches") {
        let messages = MESSAGES * 10;
        let ratio = compare(
            "three hops, batches of 100",
            messages,
            bare::batched,
            ours::batched,
        );
        within &= verdict(ratio, 4.0);
    }
    if run("children") {
        let count = children::COUNT as u64;
        within &= verdict(
            compare(
                "10,000 children, start and stop in order",
                count,
                children::bare,
                children::ours,
            ),
            3.0,
        );
    }
    if run("memory") {
        within &= memory::run();
    }
    if within {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn verdict(ratio: f64, limit: f64) -> bool {
    let within = ratio <= limit;
    let word = if within { "within" } else { "OVER" };
    println!("  ratio {ratio:.2}, {word} the limit of {limit:.1}\n");
    within
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap()
}

/// Runs both in turn and gives the ratio of the medians.
fn compare<B, O>(what: &str, per: u64, bare: impl Fn(u64) -> B, ours: impl Fn(u64) -> O) -> f64
where
    B: Future<Output = Duration> + Send + 'static,
    O: Future<Output = Duration> + Send + 'static,
{
    let (mut bares, mut ourss) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bares.push(runtime().block_on(bare(per)));
        ourss.push(runtime().block_on(ours(per)));
    }
    let each = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_nanos() as f64 / per as f64
    };
    let (bare, ours) = (each(bares), each(ourss));
    println!("{what}:\n  bare ractor {bare:.1} ns each, actors {ours:.1} ns each");
    ours / bare
}
