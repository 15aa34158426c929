//! What to start and how. In: a program, arguments, environment, a log file; out: a running
//! [`Process`]. It can be kept and started again. It must not wait for anything.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{Process, Signal, spawner};
use crate::error::StackError;
use crate::install::{self, Tool};

/// What to start. Can be kept and started again.
#[derive(Debug, Clone)]
pub struct Spawn {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    clear_env: bool,
    dir: Option<PathBuf>,
    log: Option<PathBuf>,
    on_parent_death: Signal,
}

impl Spawn {
    /// `name` is what messages call it; `program` a path, or a name looked up on the PATH.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            clear_env: false,
            dir: None,
            log: None,
            on_parent_death: Signal::Kill,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable of the child.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes an inherited environment variable.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// The child inherits no environment, whatever the order of the calls.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.clear_env = true;
        self
    }

    /// The child's working directory.
    #[must_use]
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Both output streams are appended to this file; without it they are discarded.
    #[must_use]
    pub fn log(mut self, path: impl Into<PathBuf>) -> Self {
        self.log = Some(path.into());
        self
    }

    /// What the kernel sends when we die; SIGKILL unless said otherwise. A program with workers
    /// of its own (nginx) needs a signal on which it takes them along.
    #[must_use]
    pub fn on_parent_death(mut self, signal: Signal) -> Self {
        self.on_parent_death = signal;
        self
    }

    /// Starts it.
    pub fn start(&self) -> Result<Process, StackError> {
        let setpriv = Tool::SETPRIV.require()?;
        let failed = |source| StackError::Spawn {
            name: self.name.clone(),
            program: self.program.clone(),
            source,
        };
        let program = install::find(&self.program).ok_or_else(|| {
            failed(std::io::Error::new(
                std::io::ErrorKind::NotFound,
                "no such program",
            ))
        })?;
        let mut command = Command::new(setpriv);
        command
            .arg("--pdeathsig")
            .arg(self.on_parent_death.name())
            .arg("--")
            .arg(program)
            .args(&self.args);
        if self.clear_env {
            command.env_clear();
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command.stdin(Stdio::null());
        let mut log_start = 0;
        match &self.log {
            None => command.stdout(Stdio::null()).stderr(Stdio::null()),
            Some(path) => {
                let file = File::options()
                    .create(true)
                    .append(true)
                    .open(path)
                    .map_err(StackError::io("open", path))?;
                log_start = file.metadata().map_err(StackError::io("read", path))?.len();
                let again = file.try_clone().map_err(StackError::io("open", path))?;
                command.stdout(file).stderr(again)
            }
        };
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = spawner::spawn(command).map_err(failed)?;
        Process::watch(self.name.clone(), child, self.log.clone(), log_start).map_err(failed)
    }
}
