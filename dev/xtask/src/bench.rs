//! `bench`: builds everything optimized and runs the measurements. In: which; out: the bench
//! program's figures. It must not measure anything itself.

use crate::exit::Failure;
use crate::optimized::become_program;

/// Measure the services beside their peers, in one run
///
/// Everything is built optimized and runs on a broker and database of its own. Figures are ratios
/// within one run; close other programs first. `cargo xtask bench -- --help` shows what can be
/// measured and how.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to measure (`buy`, `drain`, `latency`; all without it), and options of the bench program
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "WHAT"
    )]
    what: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    become_program("bench", "BENCH_BIN_DIR", &args.what)
}
