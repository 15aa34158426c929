//! Python for the peers that are written in it. In: nothing; out: the interpreter of an
//! environment of its own in the cache, with pinned packages, and the programs as files.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use devstack::install::{Tool, run_step};
use devstack::process::Spawn;
use devstack::{StackError, cache_dir, exclusively};

use crate::Failure;
use crate::site::{Site, progress};

const REQUIREMENTS: &str = include_str!("../python/requirements.txt");
const PROGRAMS: [(&str, &str); 3] = [
    ("buy_service.py", include_str!("../python/buy_service.py")),
    (
        "consumer_original.py",
        include_str!("../python/consumer_original.py"),
    ),
    (
        "consumer_tuned.py",
        include_str!("../python/consumer_tuned.py"),
    ),
];

const PYTHON: Tool = Tool {
    name: "python3",
    purpose: "runs the Python peers; or leave them out",
    packages: &["python3", "python3-venv"],
};

#[derive(Clone)]
/// An interpreter with the peers' packages, and the directory of their programs.
pub(crate) struct Python {
    interpreter: PathBuf,
    programs: PathBuf,
}

impl Python {
    /// Installs what is missing, once.
    pub(crate) async fn ready(site: &Site) -> Result<Self, Failure> {
        let interpreter = tokio::task::spawn_blocking(environment).await??;
        let programs = site.logs().join("python");
        std::fs::create_dir_all(&programs)?;
        for (name, text) in PROGRAMS {
            std::fs::write(programs.join(name), text)?;
        }
        Ok(Self {
            interpreter,
            programs,
        })
    }

    /// How to start one of the programs, or `-m module`; it is told where broker and database are.
    pub(crate) fn spawn(&self, site: &Site, name: &str, args: &[&str]) -> Spawn {
        site.child(name, self.interpreter.clone())
            .args(args)
            .current_dir(&self.programs)
            .env("KAFKA_BOOTSTRAP_SERVERS", site.stack().bootstrap_servers())
            .env("MONGODB_URI", site.stack().mongodb_uri())
    }
}

/// The environment's name holds what is in it, so that other pins make another one.
fn environment() -> Result<PathBuf, StackError> {
    let mut hash = DefaultHasher::new();
    REQUIREMENTS.hash(&mut hash);
    let name = format!("bench-python-{:016x}", hash.finish());
    let home = exclusively(&name, &progress(), fill)?;
    Ok(home.join("bin/python"))
}

fn fill(dir: &Path) -> Result<(), StackError> {
    let python = PYTHON.require()?;
    let log = cache_dir().join("logs/install-bench-python.log");
    let step = |what: &str, command: Spawn| run_step(what, &command, &log, &progress());
    step(
        "making a Python environment for the peers",
        Spawn::new("python3", python).args(["-m", "venv"]).arg(dir),
    )?;
    let requirements = dir.join("requirements.txt");
    let failed = |source| StackError::Io {
        what: "write",
        path: requirements.clone(),
        source,
    };
    std::fs::write(&requirements, REQUIREMENTS).map_err(failed)?;
    let pip = Spawn::new("pip", dir.join("bin/python"))
        .args([
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--requirement",
        ])
        .arg(&requirements);
    step(
        "installing the Python peers' packages (once, half a minute)",
        pip,
    )
}
