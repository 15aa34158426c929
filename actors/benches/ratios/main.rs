//! What the toolkit costs, as ratios to bare ractor in one run: `cargo xtask bench actors`.
//!
//! In each round every part runs once bare and once with the toolkit, one after the other, so that
//! what else the machine does meets both alike; the table has the medians over the rounds. With
//! arguments only the parts named are run; `--rounds N` and `--messages N` change the effort. Exits
//! with a failure if a limit is passed.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark, not a library"
)]

mod bare;
mod children;
mod flow;
mod memory;
mod ours;
mod plan;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use plan::Plan;
use table::{Part, Table};

pub(crate) const BATCH: usize = 100;

fn main() -> ExitCode {
    let plan = match Plan::from_args(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(mistake) => {
            eprintln!("{mistake}");
            return ExitCode::from(64);
        }
    };
    let mut parts: Vec<Part> = parts(plan.messages)
        .into_iter()
        .filter(|part| plan.wants(part.name))
        .collect();
    let rounds = if parts.is_empty() { 0 } else { plan.rounds };
    for round in 1..=rounds {
        for part in &mut parts {
            part.run();
        }
        eprintln!("round {round} of {rounds}");
    }
    let table = Table(&parts);
    if !parts.is_empty() {
        println!("{table}");
    }
    let flat = !plan.wants("memory") || memory::run();
    if table.is_within() && flat {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What is compared. A batched message costs a tenth, so there are ten times as many.
fn parts(messages: u64) -> Vec<Part> {
    let batched = messages * 10;
    vec![
        Part::new(
            "hops",
            "three hops, one message a cast, a credit and a receipt each",
        )
        .limit(2.0)
        .each(messages)
        .bare(move || bare::single(messages))
        .ours(move || ours::single(messages)),
        Part::new("batches", "the same in batches of 100, a credit a batch")
            .limit(4.0)
            .each(batched)
            .bare(move || bare::batched(batched))
            .ours(move || ours::batched(batched)),
        Part::new(
            "flow",
            "source, map, batches by key, sink, commit, beside the same bare hops",
        )
        .each(batched)
        .bare(move || bare::batched(batched))
        .ours(move || flow::keyed(batched)),
        Part::new("children", "10,000 children started and stopped in order")
            .limit(3.0)
            .each(children::COUNT as u64)
            .bare(children::bare)
            .ours(children::ours),
    ]
}

/// Runs it on a runtime of its own.
pub(crate) fn timed(work: impl Future<Output = Duration>) -> Duration {
    runtime().block_on(work)
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap()
}
