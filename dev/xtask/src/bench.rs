//! `bench`: builds everything optimized and runs the measurements. In: which; out: the bench
//! program's figures. It must not measure anything itself.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use devstack::install::Given;

use crate::exit::Failure;
use crate::install;
use crate::place;

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
    let root = place::root();
    // It always starts a broker and database of its own, whatever the environment gives.
    install::for_up(&Given::default())?;
    let packages = ["producer-svc", "consumer-svc", "bench"];
    let mut build = place::cargo(&root);
    build.args(["build", "--release", "--bins"]);
    build.args(packages.iter().flat_map(|package| ["--package", package]));
    let built = build.status().map_err(Failure::doing("starting cargo"))?;
    if !built.success() {
        return Err(Failure::software(
            "the benchmark could not be built; see above",
        ));
    }
    let binaries = place::binaries(&root, "release");
    let program = binaries.join("bench");
    // Signals and the exit code are its own from here on.
    let error = Command::new(&program)
        .args(&args.what)
        .env("BENCH_BIN_DIR", &binaries)
        .current_dir(&root)
        .exec();
    Err(Failure::doing(format!("starting {}", program.display()))(
        error,
    ))
}
