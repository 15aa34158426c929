//! `torture`: builds everything optimized and runs a campaign. In: its options; out: the campaign's
//! report. What it does, and what must hold, stands in `dev/torture`.

use crate::exit::Failure;
use crate::optimized::become_program;

/// Buy while everything is killed, frozen, cut off and rebalanced, then count exactly
///
/// 1,000,000 purchases while consumers, producers, broker and database are hurt at random. A seed
/// decides what happens when; it is printed, and `--seed` does the same again. Exit code 1 if a
/// purchase was lost, doubled or invented, committed too early, or counted wrongly.
/// `cargo xtask torture -- --help` shows the options (`--seed`, `--minutes`, `--purchases`, `--plan`, …).
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Options of the campaign
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "OPTIONS"
    )]
    options: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    become_program("torture", "E2E_BIN_DIR", &args.options)
}
