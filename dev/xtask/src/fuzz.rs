//! `fuzz`: searches for inputs that break a rule. In: targets and a time; out: nothing, or the input
//! that did it. What the rules are stands in `dev/fuzz`.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::exit::Failure;
use crate::install;
use crate::place;
use crate::say::say;

/// Longest input: a whole body of a purchase.
const LONGEST: &str = "-max_len=16384";

/// Search for inputs that break a rule, guided by coverage
///
/// Bodies and headers of purchases, and events that others write. What was found interesting is
/// kept under the target directory, and the next search begins with it. An input that breaks a rule is
/// kept and named; exit code 1. The tests run the same targets on fixed inputs.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Search only these [default: all]
    #[arg(value_enum)]
    targets: Vec<Target>,
    /// How long to search each
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    seconds: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// The body of POST /buy
    Buy,
    /// A whole head, request line and all, at the real routes
    Head,
    /// The headers of POST /buy
    Headers,
    /// An event on the topic
    Event,
}

impl Target {
    const ALL: [Self; 4] = [Self::Buy, Self::Head, Self::Headers, Self::Event];

    fn name(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Head => "head",
            Self::Headers => "headers",
            Self::Event => "event",
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let root = place::root();
    install::for_build()?;
    let fuzz = root.join("dev/fuzz");
    let mut build = place::cargo(&root);
    build
        .args([
            "build",
            "--package",
            "fuzz",
            "--features",
            "search",
            "--bins",
        ])
        .env("RUSTC_WORKSPACE_WRAPPER", fuzz.join("src/instrument.sh"));
    let built = build.status().map_err(Failure::doing("starting cargo"))?;
    if !built.success() {
        return Err(Failure::software(
            "the targets could not be built; see above",
        ));
    }
    let binaries = place::binaries(&root, "debug");
    let chosen = match args.targets.as_slice() {
        [] => &Target::ALL[..],
        some => some,
    };
    let mut failed = Vec::new();
    for target in chosen {
        let name = target.name();
        say(&format!("\n== {name}, {} s", args.seconds));
        if !search(name, args.seconds, &binaries, &fuzz)? {
            failed.push(name);
        }
    }
    match failed.as_slice() {
        [] => Ok(()),
        some => Err(Failure::new(
            1,
            format!(
                "a rule was broken: {}; the input is named above",
                some.join(", ")
            ),
        )),
    }
}

/// True if nothing was found.
fn search(name: &str, seconds: u32, binaries: &Path, fuzz: &Path) -> Result<bool, Failure> {
    let made = |dir: PathBuf| {
        let doing = format!("creating {}", dir.display());
        std::fs::create_dir_all(&dir)
            .map_err(Failure::doing(doing))
            .map(|()| dir)
    };
    let found = made(binaries.join("fuzz-found").join(name))?;
    let broke = made(binaries.join("fuzz-broke"))?;
    let program = binaries.join(format!("fuzz-{name}"));
    let status = Command::new(&program)
        .arg(LONGEST)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/{name}-", broke.display()))
        .args(["-timeout=5", "-rss_limit_mb=1024", "-print_final_stats=1"])
        .arg(&found)
        .arg(fuzz.join("seeds").join(name))
        .status()
        .map_err(Failure::doing(format!("starting {}", program.display())))?;
    Ok(status.success())
}
