//! The rules, and the tables they are made of. Where a rule names files, a file that is gone is a
//! finding too: a renamed file must not slip out of its rule.

use super::code::{Code, Named};
use super::{File, Finding};

/// Longer files are two rooms in one.
const LONGEST: usize = 400;
const SOURCES: [&str; 7] = [".rs", ".js", ".mjs", ".css", ".html", ".sh", ".py"];

/// The crates whose folders are held to the house's rules; `dev/` holds tools, which may use anything.
const CRATES: [&str; 5] = [
    "actors",
    "purchases",
    "host",
    "producer-svc",
    "consumer-svc",
];

/// Each service and its stages: they know `flow`, not each other, and meet in `app`.
const STAGES: [(&str, &[&str]); 2] = [
    (
        "producer-svc",
        &["intake", "select", "publish", "history", "restock"],
    ),
    (
        "consumer-svc",
        &[
            "assign",
            "read",
            "write",
            "commit",
            "dead_letter",
            "query",
            "stats",
        ],
    ),
];

/// Names of a client library, and the modules of a service that may speak them.
const CLIENTS: [(&[&str], &[&str]); 2] = [
    (&["rdkafka"], &["kafka"]),
    (&["mongodb", "bson"], &["mongo", "document"]),
];

/// Decisions without a runtime: they are tested as plain functions. Other files may say of
/// themselves that they are pure, and are then held to it.
const PURE: [&str; 9] = [
    "actors/src/batch.rs",
    "actors/src/restart.rs",
    "actors/src/track.rs",
    "actors/src/tree.rs",
    "consumer-svc/src/commit/ledger.rs",
    "consumer-svc/src/tally.rs",
    "producer-svc/src/catalog.rs",
    "producer-svc/src/selection.rs",
    "purchases/src/lib.rs",
];

/// Where an exception to clippy's bans (see clippy.toml) may stand.
const EXCEPTED: [&str; 2] = ["metrics", "env"];

/// Marks of work that was left for later. Put together here, or this file would carry them.
const UNFINISHED: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("HA", "CK"),
    concat!("#[ig", "nore"),
    concat!("|| ", "true"),
];

/// The page that tells for each fault which tests show that it is borne.
const FAULTS: &str = "docs/faults.md";

/// Homes and workplaces: a path of one machine is wrong on every other.
const MACHINE_PATHS: [&str; 4] = [
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
];

/// Rules that hold between files.
pub(super) fn about_the_tree(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut missing = |path: String| {
        if !files.iter().any(|file| file.path == path) {
            let what = "a rule of dev/xtask/src/tidy/rules.rs names this file, and it is not there";
            let (line, what) = (1, what.to_owned());
            findings.push(Finding { path, line, what });
        }
    };
    for path in PURE {
        missing(path.to_owned());
    }
    for (service, stages) in STAGES {
        for stage in stages {
            missing(format!("{service}/src/{stage}.rs"));
        }
    }
    findings.extend(promised_tests(files));
    findings
}

/// Tests that the page about faults names and that are not there: it must not promise more than is
/// shown. A name of a test is a sentence, which tells it from other words between backquotes.
fn promised_tests(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path == FAULTS) {
        for (number, line) in file.text.lines().enumerate() {
            let quoted = line.split('`').skip(1).step_by(2);
            for name in quoted.filter(|name| name.matches('_').count() >= 4) {
                let head = format!("fn {name}(");
                let sources = files.iter().filter(|file| file.path.ends_with(".rs"));
                if !sources
                    .map(|file| &file.text)
                    .any(|text| text.contains(&head))
                {
                    let (path, what) = (FAULTS.to_owned(), format!("there is no test {name}"));
                    let line = number + 1;
                    findings.push(Finding { path, line, what });
                }
            }
        }
    }
    findings
}

/// Rules for every text file.
pub(super) fn about_text(file: &File, findings: &mut Vec<Finding>) {
    let mut add = |line: usize, what: String| {
        let path = file.path.clone();
        findings.push(Finding { path, line, what });
    };
    if file.path == "Cargo.lock" || file.path == "LICENSE" {
        return;
    }
    let lines = file.text.lines().count();
    if lines > LONGEST && SOURCES.iter().any(|end| file.path.ends_with(end)) {
        add(
            LONGEST,
            format!("{lines} lines; a file has at most {LONGEST}, and hardly over 300"),
        );
    }
    if file.path.ends_with(".rs") && !file.text.starts_with("//! ") {
        add(
            1,
            "open with `//!`: what this is, what comes in and goes out, what it must not do".into(),
        );
    }
    for (index, line) in file.text.lines().enumerate() {
        for mark in UNFINISHED {
            if stands_alone(line, mark) {
                add(
                    index + 1,
                    format!("`{mark}`: finish it, or say so in the closing note"),
                );
            }
        }
        for path in MACHINE_PATHS {
            if line.contains(path) {
                add(index + 1, format!("`{path}…` is a path of one machine"));
            }
        }
    }
}

/// A word that is not part of a longer one.
fn stands_alone(line: &str, mark: &str) -> bool {
    let is_name = |letter: Option<char>| {
        letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
    };
    line.match_indices(mark).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + mark.len()..]);
        !is_name(before.chars().next_back()) && !is_name(after.chars().next())
    })
}

/// Rules for what a Rust file of the house names.
pub(super) fn about_rust(file: &File, code: &Code, findings: &mut Vec<Finding>) {
    let Some(place) = Place::of(&file.path) else {
        return;
    };
    let mut add = |line: usize, what: String| {
        let path = file.path.clone();
        findings.push(Finding { path, line, what });
    };
    for Named { line, name: path } in &code.paths {
        if let Some(what) = place.wrong_import(path, file) {
            add(*line, what);
        }
    }
    for Named { line, name } in &code.macros {
        if UNFINISHED_MACROS.contains(&name.as_str()) {
            add(
                *line,
                format!("`{name}!`: finish it, or say so in the closing note"),
            );
        }
    }
    for Named { line, name } in &code.words {
        let excepts = ["disallowed_methods", "disallowed_macros"].contains(&name.as_str());
        if excepts && !EXCEPTED.iter().any(|module| place.is_in(module)) {
            add(
                *line,
                format!(
                    "an exception to `{name}` may stand only in: {}",
                    EXCEPTED.join(", ")
                ),
            );
        }
    }
}

const UNFINISHED_MACROS: [&str; 2] = [concat!("to", "do"), "unimplemented"];

/// Where in the house a file of non-test code stands.
struct Place<'a> {
    /// The crate's folder.
    room: &'a str,
    /// The module path; empty for the crate's root.
    module: Vec<&'a str>,
}

impl<'a> Place<'a> {
    /// `None` for what the import rules leave free: tools and tests.
    fn of(path: &'a str) -> Option<Self> {
        let (room, inside) = path.split_once("/src/")?;
        if !CRATES.contains(&room) {
            return None;
        }
        let mut module: Vec<&str> = inside.strip_suffix(".rs")?.split('/').collect();
        if matches!(module[..], ["lib" | "main"]) {
            module.clear();
        }
        (!module.contains(&"tests")).then_some(Self { room, module })
    }

    fn is_in(&self, module: &str) -> bool {
        self.module.contains(&module)
    }

    fn stages(&self) -> &'static [&'static str] {
        let service = STAGES.iter().find(|(service, _)| *service == self.room);
        service.map_or(&[], |(_, stages)| stages)
    }

    fn wrong_import(&self, path: &[String], file: &File) -> Option<String> {
        let first = path[0].as_str();
        if let Some((_, homes)) = CLIENTS.iter().find(|(names, _)| names.contains(&first)) {
            let home = homes.iter().any(|home| self.is_in(home));
            let is_service = !self.stages().is_empty();
            if !(home && is_service) {
                return Some(format!(
                    "only a service's {} may name `{first}`",
                    homes.join(".rs and ") + ".rs"
                ));
            }
        }
        if ["tokio", "ractor"].contains(&first) && is_pure(file) {
            return Some(format!(
                "a pure file does not import `{first}`: it must run without a runtime"
            ));
        }
        if first == "tokio"
            && path.get(1).is_some_and(|name| name == "signal")
            && !(self.room == "host" && self.is_in("signal"))
        {
            return Some("signals are taken in host/src/signal.rs only".into());
        }
        if path.iter().any(|name| name == "ProcessEnv")
            && self.room != "host"
            && !(self.module.is_empty() || self.is_in("config"))
        {
            return Some("the environment is read in config.rs only".into());
        }
        if ["producer_svc", "consumer_svc"].contains(&first) && !self.module.is_empty() {
            return Some("the services meet in Kafka and over HTTP, never in code".into());
        }
        self.other_stage(path).map(|other| {
            let own = self.module[0];
            format!("stage `{own}` imports stage `{other}`: stages meet in app.rs, what they share stands outside of them")
        })
    }

    /// The stage that a path leads into, where this file is in another one.
    fn other_stage(&self, path: &[String]) -> Option<&'static str> {
        let stages = self.stages();
        let own = self.module.first().filter(|own| stages.contains(own))?;
        let target = self.resolve(path)?;
        stages
            .iter()
            .copied()
            .find(|stage| *stage == target && stage != own)
    }

    /// The top module that a path of this crate leads to.
    fn resolve<'p>(&'p self, path: &'p [String]) -> Option<&'p str> {
        let ups = path.iter().take_while(|name| *name == "super").count();
        let mut full: Vec<&str> = match path[0].as_str() {
            "crate" => Vec::new(),
            "super" => self.module[..self.module.len().checked_sub(ups)?].to_vec(),
            _ => return None,
        };
        full.extend(path[ups.max(1)..].iter().map(String::as_str));
        full.first().copied()
    }
}

/// Pure by the table, by its crate, or by its own word.
fn is_pure(file: &File) -> bool {
    let header = file.text.lines().take_while(|line| line.starts_with("//!"));
    PURE.contains(&file.path.as_str())
        || file.path.starts_with("purchases/src/")
        || header.into_iter().any(|line| line.starts_with("//! Pure"))
}
