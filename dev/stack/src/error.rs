//! What can go wrong while installing, starting or steering the stack, in words that name the
//! thing and the remedy. It must not print anything.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use crate::install::Tool;

/// Why a part of the stack could not be installed, started or steered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// Programs that only the system's package manager can bring.
    #[error("missing on this machine: {}\nremedy: {}", list(.0), crate::install::apt_line(.0))]
    Missing(Vec<Tool>),
    /// An installation step ended with an error.
    #[error("installing {what} failed: {detail}\nits full output: {}", log.display())]
    Install {
        /// What was being installed.
        what: String,
        /// The last lines of its output.
        detail: String,
        /// Where all of its output is.
        log: PathBuf,
    },
    /// A program could not be started at all.
    #[error("cannot start {name} ({}): {source}", program.display())]
    Spawn {
        /// The name it has in messages.
        name: String,
        /// The program that was asked for.
        program: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A program ended although it should have run.
    #[error("{name} ended by itself ({status}); the end of {}:\n{tail}", log.display())]
    Exited {
        /// The name it has in messages.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// Its log file.
        log: PathBuf,
        /// The end of its log.
        tail: String,
    },
    /// A program runs but did not become usable in time.
    #[error("{name} was not ready after {waited:?}: {why}; see {}", log.display())]
    NotReady {
        /// The name it has in messages.
        name: String,
        /// How long was waited.
        waited: Duration,
        /// What was still missing.
        why: String,
        /// Its log file.
        log: PathBuf,
    },
    /// A program did not end in time when asked to, and was killed.
    #[error("{name} did not stop within {waited:?} and was killed")]
    Overran {
        /// The name it has in messages.
        name: String,
        /// How long it was given.
        waited: Duration,
    },
    /// Another living process uses the directory.
    #[error(
        "{} is in use by process {holder}; stop that one first, or use another directory",
        dir.display()
    )]
    InUse {
        /// The stack's directory.
        dir: PathBuf,
        /// Who holds it, as far as it is known.
        holder: String,
    },
    /// The kept data belongs to a stack of another shape.
    #[error(
        "{} holds data of {found} broker(s), {wanted} were asked for; start fresh or use another \
         directory",
        dir.display()
    )]
    OtherShape {
        /// The stack's directory.
        dir: PathBuf,
        /// Brokers whose data is there.
        found: usize,
        /// Brokers that were asked for.
        wanted: usize,
    },
    /// An address from the environment does not answer.
    #[error(
        "{variable}={address} does not answer: {detail}; correct it, or unset it to start one here"
    )]
    Unreachable {
        /// The environment variable it came from.
        variable: &'static str,
        /// Its value.
        address: String,
        /// What was tried and what came back.
        detail: String,
    },
    /// A request to the broker or database was refused or not understood.
    #[error("{what}: {detail}")]
    Refused {
        /// What was asked.
        what: String,
        /// What came back.
        detail: String,
    },
    /// The part was given from outside, so it cannot be stopped, killed or proxied from here.
    #[error("the {0} was given by address in the environment and is not ours to steer")]
    NotOurs(String),
    /// The part has no process at the moment.
    #[error("{0} is not running")]
    NotRunning(String),
    /// A file or directory could not be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// The verb.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
}

impl StackError {
    /// Wraps an input/output error with the verb and the path it happened at.
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StackError {
        let path = path.to_owned();
        move |source| StackError::Io { what, path, source }
    }

    /// True if a package has to be installed before another try makes sense.
    pub fn is_missing_tool(&self) -> bool {
        matches!(self, StackError::Missing(_))
    }
}

fn list(tools: &[Tool]) -> String {
    let each: Vec<String> = tools
        .iter()
        .map(|tool| format!("{} ({})", tool.name, tool.purpose))
        .collect();
    each.join(", ")
}
