//! `cargo xtask lint`: every static check, one after the other. In: the workspace and a cache for
//! tools. Out: a line a check with its time, and which checks failed. Starts nothing that serves.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::place;
use crate::tidy;

/// Pinned, so that a new release cannot turn a passing tree into a failing one.
const CARGO_DENY: &str = "0.20.2";

/// The checks that did not pass, by name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed(Vec<&'static str>);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lint failed: {}", self.0.join(", "))
    }
}

impl std::error::Error for Failed {}

/// Runs all checks on the workspace at `root`; tools they need are kept in `cache`.
///
/// A failing check does not keep the later ones from running: one run tells everything.
pub(crate) fn run(root: &Path, cache: &Path) -> Result<(), Failed> {
    let lint = Lint { root, cache };
    let checks: [(&'static str, &dyn Fn() -> io::Result<bool>); 7] = [
        ("tidy", &|| lint.tidy()),
        ("format", &|| lint.cargo(&["fmt", "--all", "--check"], &[])),
        // Alone, so that a feature it needs is not lent by another crate of the workspace.
        ("actors alone", &|| {
            lint.cargo(&["check", "--locked", "--package", "actors"], &[])
        }),
        ("clippy", &|| {
            let scope = ["--workspace", "--all-targets", "--all-features"];
            let deny = ["--", "--deny", "warnings"];
            lint.cargo(&[&["clippy", "--locked"], &scope[..], &deny].concat(), &[])
        }),
        ("doc", &|| {
            let scope = ["--workspace", "--no-deps", "--document-private-items"];
            let deny = [("RUSTDOCFLAGS", "--deny warnings")];
            lint.cargo(&[&["doc", "--locked"], &scope[..]].concat(), &deny)
        }),
        ("licenses and sources", &|| {
            lint.deny(&["check", "licenses", "sources"])
        }),
        // Without development dependencies: tests may use anything. A tool that may use a crate need not.
        ("bans", &|| {
            lint.deny(&[
                "--exclude-dev",
                "check",
                "--allow",
                "unused-wrapper",
                "bans",
            ])
        }),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        let begun = Instant::now();
        let verdict = match check() {
            Ok(true) => "ok",
            Ok(false) => "FAILED",
            Err(error) => {
                eprintln!("lint: {name}: {error}");
                "FAILED"
            }
        };
        println!("lint: {name}: {verdict} ({:.1?})", begun.elapsed());
        if verdict != "ok" {
            failed.push(name);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failed(failed))
    }
}

struct Lint<'a> {
    root: &'a Path,
    cache: &'a Path,
}

impl Lint<'_> {
    fn tidy(&self) -> io::Result<bool> {
        let findings = tidy::check(self.root)?;
        for finding in &findings {
            eprintln!("{finding}");
        }
        Ok(findings.is_empty())
    }

    fn cargo(&self, arguments: &[&str], variables: &[(&str, &str)]) -> io::Result<bool> {
        let mut command = place::cargo(self.root);
        command.args(arguments).envs(variables.iter().copied());
        succeeds(command)
    }

    fn deny(&self, arguments: &[&str]) -> io::Result<bool> {
        let mut command = Command::new(self.cargo_deny()?);
        command
            .args(["--log-level", "warn", "--locked", "--manifest-path"])
            .arg(self.root.join("Cargo.toml"))
            .args(arguments);
        succeeds(command)
    }

    /// The pinned cargo-deny, built into the cache if it is not there yet.
    fn cargo_deny(&self) -> io::Result<PathBuf> {
        let home = self.cache.join(format!("cargo-deny-{CARGO_DENY}"));
        let program = home.join("bin/cargo-deny");
        if program.is_file() {
            return Ok(program);
        }
        println!("lint: building cargo-deny {CARGO_DENY} once, 2 to 5 minutes …");
        // Built beside, not below, the workspace: its toolchain file and target directory are ours.
        let build = home.join("build");
        std::fs::create_dir_all(&build)?;
        let mut install = place::cargo(self.root);
        install
            .args(["install", "--quiet", "--locked", "cargo-deny", "--version"])
            .args([CARGO_DENY, "--root"])
            .arg(&home)
            .env("CARGO_TARGET_DIR", &build)
            .current_dir(&build);
        if !succeeds(install)? {
            return Err(io::Error::other(format!(
                "cargo-deny {CARGO_DENY} could not be built; try: cargo install --locked cargo-deny --version {CARGO_DENY} --root {}",
                home.display()
            )));
        }
        // Hundreds of megabytes that nothing needs again.
        std::fs::remove_dir_all(&build)?;
        Ok(program)
    }
}

fn succeeds(mut command: Command) -> io::Result<bool> {
    match command.stdin(Stdio::null()).status() {
        Ok(status) => Ok(status.success()),
        Err(error) => {
            let program = command.get_program().to_string_lossy();
            Err(io::Error::other(format!(
                "{program} did not start: {error}"
            )))
        }
    }
}
