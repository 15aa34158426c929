//! `bench`: builds everything optimized and runs the measurements. In: which; out: the bench
//! programs' figures. It must not measure anything itself.

use crate::exit::Failure;
use crate::install;
use crate::optimized::become_program;
use crate::place;

/// Measure the services beside their peers, or the toolkit beside bare ractor, in one run
///
/// Everything is built optimized; the services run on a broker and database of their own. Figures
/// are ratios within one run: close other programs first. `cargo xtask bench -- --help` shows what can
/// be measured of the services and how.
///
/// `cargo xtask bench actors` measures the toolkit: `hops`, `batches`, `flow`, `children`
/// and `memory`, or those of them that are named, in `--rounds N`. Exit code 1 if a limit is missed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to measure (`buy`, `drain`, `latency`, these three without it; or `actors`), and options
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "WHAT"
    )]
    what: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match args.what.split_first() {
        Some((what, options)) if what == "actors" => toolkit(options),
        _ => become_program("bench", "BENCH_BIN_DIR", &args.what),
    }
}

fn toolkit(options: &[String]) -> Result<(), Failure> {
    let root = place::root();
    install::for_build()?;
    let bench = |last: &[String]| {
        let mut cargo = place::cargo(&root);
        cargo.args([
            "bench",
            "--quiet",
            "--package",
            "actors",
            "--bench",
            "ratios",
        ]);
        let status = cargo.args(last).status();
        Ok::<_, Failure>(status.map_err(Failure::doing("starting cargo"))?.success())
    };
    if !bench(&["--no-run".to_owned()])? {
        return Err(Failure::software("actors could not be built; see above"));
    }
    let options = [&["--".to_owned()], options].concat();
    if !bench(&options)? {
        return Err(Failure::new(
            1,
            "a limit was missed, or nothing could be measured; see above",
        ));
    }
    Ok(())
}
