//! `test`: every test of the repository, in one go. In: an optional filter; out: a summary and an
//! exit code. It only runs: the tests stand with what they test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::exit::Failure;
use crate::install::{self, Tools};
use crate::place;
use crate::say::say;

/// Run all tests, against the real broker, database and browser
///
/// Broker, database, browser and their tools are installed first if they are missing (the first
/// time takes some minutes). Exit code 1 if any test failed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only tests whose name contains this
    filter: Option<String>,
    /// Run only these suites [default: all]
    #[arg(long, value_enum, value_name = "SUITE")]
    only: Vec<Suite>,
    /// What the short campaign does to the system: a number, or `random` [default: always the same]
    #[arg(long, value_name = "SEED", value_parser = seed)]
    torture_seed: Option<String>,
    /// What follows `--` is passed to each Rust test program
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Every crate's own tests
    Crates,
    /// The whole system, with crashes and load
    E2e,
    /// The web page, with nginx and Chromium
    Frontend,
    /// The Kubernetes manifests
    Manifests,
}

impl Suite {
    const ALL: [Suite; 4] = [Suite::Crates, Suite::Frontend, Suite::Manifests, Suite::E2e];

    fn title(self) -> &'static str {
        match self {
            Suite::Crates => "tests of the crates",
            Suite::E2e => "end to end",
            Suite::Frontend => "frontend",
            Suite::Manifests => "manifests",
        }
    }
}

/// What became of one suite.
struct Outcome {
    suite: Suite,
    passed: bool,
    took: Duration,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let root = place::root();
    let tools = install::for_tests(&root)?;
    let suites = Suite::ALL
        .into_iter()
        .filter(|suite| args.only.is_empty() || args.only.contains(suite));
    let mut outcomes = Vec::new();
    for suite in suites {
        say(&format!("\n== {}", suite.title()));
        let began = Instant::now();
        let mut passed = true;
        for mut command in commands(suite, &root, &tools, args)? {
            // The first failure ends the suite: what follows builds on it.
            passed = passed && run_command(&mut command)?;
        }
        outcomes.push(Outcome {
            suite,
            passed,
            took: began.elapsed(),
        });
    }
    summarise(&outcomes)
}

fn run_command(command: &mut Command) -> Result<bool, Failure> {
    let program = PathBuf::from(command.get_program());
    let status = command
        .status()
        .map_err(Failure::doing(format!("starting {}", program.display())))?;
    Ok(status.success())
}

fn summarise(outcomes: &[Outcome]) -> Result<(), Failure> {
    say("\n== summary");
    for outcome in outcomes {
        let word = if outcome.passed { "passed" } else { "FAILED" };
        say(&format!(
            "{word}  {:<22} {:>5} s",
            outcome.suite.title(),
            outcome.took.as_secs()
        ));
    }
    let failed: Vec<&str> = outcomes
        .iter()
        .filter(|one| !one.passed)
        .map(|one| one.suite.title())
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(1, format!("failed: {}", failed.join(", "))))
    }
}

fn commands(
    suite: Suite,
    root: &Path,
    tools: &Tools,
    args: &Args,
) -> Result<Vec<Command>, Failure> {
    Ok(match suite {
        Suite::Crates => {
            let mut test = place::cargo(root);
            // Every suite to its end, so that one run tells all that is wrong.
            test.args(["test", "--workspace", "--exclude", "e2e", "--no-fail-fast"]);
            vec![filtered(with_tools(test, tools), args, &[])]
        }
        Suite::E2e => {
            let mut build = place::cargo(root);
            build.args(["build", "--workspace", "--bins"]);
            let mut test = with_tools(place::cargo(root), tools);
            test.args(["test", "--package", "e2e", "--no-fail-fast"]);
            test.env("E2E_BIN_DIR", place::binaries(root, "debug"));
            if let Some(seed) = &args.torture_seed {
                test.env("TORTURE_SEED", seed);
            }
            // Each of them wants the whole machine.
            vec![build, filtered(test, args, &["--test-threads=1"])]
        }
        Suite::Frontend => {
            let frontend = root.join("frontend");
            let mut test = with_tools(Command::new(&tools.node), tools);
            test.args(["--test", "--test-reporter=spec"]);
            if let Some(filter) = &args.filter {
                test.arg(format!("--test-name-pattern={filter}"));
            }
            test.args(files(&frontend.join("tests"), ".test.mjs")?)
                .current_dir(&frontend);
            vec![test]
        }
        Suite::Manifests => {
            let mut test = Command::new(root.join("kustomize/tests/render.sh"));
            if let Some(filter) = &args.filter {
                test.args(["-k", filter]);
            }
            vec![with_tools(test, tools)]
        }
    })
}

/// Read again by the campaign; here, so that a mistake is told before everything is built.
fn seed(text: &str) -> Result<String, String> {
    if text == "random" || text.parse::<u64>().is_ok() {
        Ok(text.to_owned())
    } else {
        Err("is neither a number nor `random`".to_owned())
    }
}

fn filtered(mut test: Command, args: &Args, own: &[&str]) -> Command {
    test.args(&args.filter);
    test.arg("--").args(own).args(&args.rest);
    test
}

/// Tests find their tools by variable or on the PATH.
fn with_tools(mut command: Command, tools: &Tools) -> Command {
    let own = [&tools.node, &tools.promtool]
        .into_iter()
        .filter_map(|tool| tool.parent().map(Path::to_owned));
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let system = [PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")];
    // A colon in a directory's name cannot be expressed in a PATH; then the inherited one has to do.
    if let Ok(path) =
        std::env::join_paths(own.chain(std::env::split_paths(&inherited)).chain(system))
    {
        command.env("PATH", path);
    }
    command
        .env("PLAYWRIGHT_CORE", &tools.playwright)
        .env("CHROMIUM", &tools.chromium);
    command
        .env("PROMTOOL", &tools.promtool)
        .env("NODE", &tools.node)
        .env("SCHEMATHESIS_PYTHON", &tools.schemathesis);
    command
}

fn files(dir: &Path, ending: &str) -> Result<Vec<PathBuf>, Failure> {
    let entries =
        std::fs::read_dir(dir).map_err(Failure::doing(format!("reading {}", dir.display())))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    files.sort();
    Ok(files)
}
