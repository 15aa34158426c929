//! The command runner: `cargo xtask up | down | test | torture | bench | fuzz | lint`.
//! In: the command line; out: an exit code. Each command stands in a file of its own name; nothing is decided here.

mod bench;
mod down;
mod exit;
mod fuzz;
mod install;
mod lint;
mod optimized;
mod place;
mod run_lock;
mod say;
mod test;
mod tidy;
mod torture;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit::Failure;

/// Runs, tests and measures the Purchase Management System on this machine.
///
/// What the machine lacks is installed by the command itself where it may (Debian or Ubuntu, as
/// root or with passwordless sudo); elsewhere the exact line to type is printed.
///
/// Exit codes: 0 done; 1 a check failed; 64 wrong usage; 69 something is missing or in the way;
/// 70 something of ours ended with an error.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Up(up::Args),
    /// Stop a running `up`, gracefully
    ///
    /// Works from any terminal: it asks the `up` of this checkout to drain and end, and waits until
    /// nothing is left running.
    Down,
    Test(test::Args),
    Torture(torture::Args),
    Bench(bench::Args),
    Fuzz(fuzz::Args),
    /// Run the static checks: format, clippy, docs, dependencies, house rules
    ///
    /// The first run builds cargo-deny into the cache, which takes some minutes.
    Lint,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { exit::USAGE } else { 0 };
            // Nobody to show it to is no reason to change the exit code.
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    let done = match cli.command {
        Command::Up(args) => up::run(&args),
        Command::Down => down::run(),
        Command::Test(args) => test::run(&args),
        Command::Torture(args) => torture::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Lint => lint(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say::complain(&format!("error: {failure}"));
            ExitCode::from(failure.code)
        }
    }
}

fn lint() -> Result<(), Failure> {
    install::for_build()?;
    lint::run(&place::root(), &devstack::cache_dir())
        .map_err(|failed| Failure::new(1, failed.to_string()))
}
