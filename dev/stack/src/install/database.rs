//! The database: a `mongod` on the PATH, else `secantus-mdb`, built once by Cargo. In: a compiler
//! and cmake; out: which engine and where. The built one is a separate program under a licence of
//! its own and must never be linked.

use std::fs;
use std::path::PathBuf;

use super::{Tool, find, step};
use crate::cache::{cache_dir, exclusively};
use crate::error::StackError;
use crate::process::Spawn;
use crate::progress::Progress;

const CRATE: &str = "secantus-mdb";
const VERSION: &str = "0.5.3-beta.196";
const BINARY: &str = "bin/secantusd-rs";

/// Which program serves the database.
#[derive(Debug, Clone)]
pub(crate) enum Engine {
    /// A MongoDB server that was there.
    Mongod(PathBuf),
    /// The one from the cache.
    Secantus(PathBuf),
}

fn name() -> String {
    format!("secantus-{VERSION}")
}

pub(super) fn is_installed() -> bool {
    find("mongod").is_some() || cache_dir().join(name()).is_dir()
}

/// The engine to use, installed first if needed.
pub(crate) fn ensure(progress: &Progress) -> Result<Engine, StackError> {
    if let Some(path) = find("mongod") {
        return Ok(Engine::Mongod(path));
    }
    let home = exclusively(&name(), progress, |dir| {
        let needed = [Tool::CMAKE, Tool::CXX, Tool::MAKE];
        let missing: Vec<Tool> = needed
            .into_iter()
            .filter(|tool| tool.path().is_none())
            .collect();
        if !missing.is_empty() {
            return Err(StackError::Missing(missing));
        }
        let build = cache_dir().join("build-secantus");
        let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
        let mut command = Spawn::new("cargo install", cargo)
            .args([
                "install",
                CRATE,
                "--locked",
                "--ignore-rust-version",
                "--version",
                VERSION,
                "--root",
            ])
            .arg(dir)
            .env("CARGO_TARGET_DIR", &build);
        for name in inherited_build_settings() {
            command = command.env_remove(name);
        }
        let log = cache_dir().join("logs/install-database.log");
        let what = format!("building the database {CRATE} {VERSION} (once, 4 to 8 minutes)");
        step::run(&what, &command, &log, progress)?;
        let binary = dir.join(BINARY);
        fs::metadata(&binary).map_err(StackError::io("find", &binary))?;
        fs::remove_dir_all(&build).map_err(StackError::io("remove", &build))
    })?;
    Ok(Engine::Secantus(home.join(BINARY)))
}

/// Settings of the build we may be running in (`cargo xtask`, `cargo test`) that are meant for
/// this workspace and not for the database: flags, wrappers, profiles, package variables. Where
/// Cargo lives and how it reaches the network stays.
fn inherited_build_settings() -> Vec<String> {
    const KEEP: [&str; 6] = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
    ];
    const DROP: [&str; 6] = [
        "RUSTFLAGS",
        "RUSTDOCFLAGS",
        "RUSTC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_ENCODED_RUSTFLAGS",
    ];
    std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| {
            let kept = KEEP.iter().any(|keep| name.starts_with(keep)) || name == "CARGO_TARGET_DIR";
            DROP.contains(&name.as_str()) || (name.starts_with("CARGO_") && !kept)
        })
        .collect()
}
