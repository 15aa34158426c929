//! Child processes that never outlive their parent. In: a [`Spawn`]; out: a [`Process`] with its
//! log, signals and end. It must not know what the program is.
//!
//! Children are started through `setpriv --pdeathsig`, which keeps the process id: the kernel
//! signals them when the thread that started them ends, also when this process is killed with
//! SIGKILL. Each child leads a process group of its own, so Ctrl-C in a terminal reaches only us.

mod log;
mod spawn;
mod spawner;

pub use log::LogLines;
pub use spawn::Spawn;

use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions};
use tokio::sync::watch;

use crate::error::StackError;

/// A signal to a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Please end.
    Term,
    /// As from Ctrl-C.
    Int,
    /// Some programs' word for "finish what you have and end".
    Quit,
    /// Please read your files again.
    Hup,
    /// Ends at once, together with the child's own process group.
    Kill,
    /// Freeze.
    Stop,
    /// Thaw.
    Cont,
}

impl Signal {
    fn number(self) -> rustix::process::Signal {
        use rustix::process::Signal as Number;
        match self {
            Signal::Term => Number::TERM,
            Signal::Int => Number::INT,
            Signal::Quit => Number::QUIT,
            Signal::Hup => Number::HUP,
            Signal::Kill => Number::KILL,
            Signal::Stop => Number::STOP,
            Signal::Cont => Number::CONT,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Signal::Term => "TERM",
            Signal::Int => "INT",
            Signal::Quit => "QUIT",
            Signal::Hup => "HUP",
            Signal::Kill => "KILL",
            Signal::Stop => "STOP",
            Signal::Cont => "CONT",
        }
    }
}

struct State {
    child: Child,
    exit: Option<ExitStatus>,
}

struct Shared {
    pid: Pid,
    state: Mutex<State>,
    ended: Condvar,
    exit: watch::Sender<Option<ExitStatus>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running (or ended) child. Dropping it kills it and waits for its end.
pub struct Process {
    name: String,
    log: Option<PathBuf>,
    log_start: u64,
    shared: Arc<Shared>,
}

impl Process {
    fn watch(
        name: String,
        child: Child,
        log: Option<PathBuf>,
        log_start: u64,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            pid: Pid::from_child(&child),
            state: Mutex::new(State { child, exit: None }),
            ended: Condvar::new(),
            exit: watch::Sender::new(None),
        });
        let reaper = Arc::clone(&shared);
        std::thread::Builder::new()
            .name(format!("reap {name}"))
            .spawn(move || reap(&reaper))?;
        Ok(Self {
            name,
            log,
            log_start,
            shared,
        })
    }

    /// The name it has in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id (also after its end).
    pub fn pid(&self) -> u32 {
        self.shared.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// How it ended, if it did.
    pub fn exit(&self) -> Option<ExitStatus> {
        self.shared.state().exit
    }

    /// True until it has ended. A frozen process is running.
    pub fn is_running(&self) -> bool {
        self.exit().is_none()
    }

    /// Sends a signal; false if it had already ended.
    pub fn signal(&self, signal: Signal) -> bool {
        // Under the lock the child is not reaped, so the id cannot belong to anyone else yet.
        let state = self.shared.state();
        if state.exit.is_some() {
            return false;
        }
        let sent = match signal {
            Signal::Kill => rustix::process::kill_process_group(self.shared.pid, signal.number()),
            _ => rustix::process::kill_process(self.shared.pid, signal.number()),
        };
        sent.is_ok()
    }

    /// SIGSTOP, and returns when all its threads have stopped; false if it had ended.
    pub fn freeze(&self) -> bool {
        if !self.signal(Signal::Stop) {
            return false;
        }
        // The kernel tells the parent of a stop when the last thread has stopped. The signal alone
        // leaves a busy thread on another core running for a while.
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        loop {
            match rustix::process::waitid(WaitId::Pid(self.shared.pid), stopped) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(Some(status)) => return status.stopped(),
                Ok(None) | Err(_) => return false,
            }
        }
    }

    /// Waits for its end; `None` if it still runs after `patience`.
    pub async fn wait_exit(&self, patience: Duration) -> Option<ExitStatus> {
        let mut exit = self.shared.exit.subscribe();
        let ended = exit.wait_for(Option::is_some);
        match tokio::time::timeout(patience, ended).await {
            Ok(Ok(status)) => *status,
            Ok(Err(_)) | Err(_) => None,
        }
    }

    /// Waits for its end without a runtime; `None` if it still runs after `patience`.
    pub fn wait_exit_blocking(&self, patience: Duration) -> Option<ExitStatus> {
        let state = self.shared.state();
        let waited = self
            .shared
            .ended
            .wait_timeout_while(state, patience, |state| state.exit.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.exit
    }

    /// SIGTERM, and SIGKILL if it has not ended after `patience` (which is then the error).
    pub async fn stop(&self, patience: Duration) -> Result<ExitStatus, StackError> {
        self.signal(Signal::Term);
        // A frozen process takes the request only once it is thawed.
        self.signal(Signal::Cont);
        if let Some(status) = self.wait_exit(patience).await {
            return Ok(status);
        }
        self.signal(Signal::Kill);
        self.wait_exit(Duration::from_secs(5)).await;
        Err(StackError::Overran {
            name: self.name.clone(),
            waited: patience,
        })
    }

    /// The log file, if one was asked for.
    pub fn log_path(&self) -> Option<&Path> {
        self.log.as_deref()
    }

    /// The lines of this run from its first on; more come as they are written.
    pub fn log_lines(&self) -> LogLines {
        LogLines::from(self.log.clone().unwrap_or_default(), self.log_start)
    }

    /// The last lines of this run.
    pub fn log_tail(&self, lines: usize) -> String {
        log::tail(&self.log.clone().unwrap_or_default(), self.log_start, lines)
    }

    /// The first line of this run that contains `text`, waited for at most `patience`. Ends
    /// early (with `None`) if the process ends without having written it.
    pub async fn wait_for_log(&self, text: &str, patience: Duration) -> Option<String> {
        let mut lines = self.log_lines();
        crate::wait_until(patience, async || {
            // Asked before reading: what it wrote until its end is then surely in the file.
            let over = !self.is_running();
            let found = lines.read().into_iter().find(|line| line.contains(text));
            (found.is_some() || over).then_some(found)
        })
        .await
        .flatten()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.signal(Signal::Kill) {
            self.wait_exit_blocking(Duration::from_secs(5));
        }
    }
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process")
            .field("name", &self.name)
            .field("pid", &self.pid())
            .finish_non_exhaustive()
    }
}

/// Waits for the end without collecting it, then collects it under the lock (see `signal`).
fn reap(shared: &Shared) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) =
        rustix::process::waitid(WaitId::Pid(shared.pid), options)
    {}
    let mut state = shared.state();
    if let Ok(status) = state.child.wait() {
        state.exit = Some(status);
        drop(state);
        shared.ended.notify_all();
        shared.exit.send_replace(Some(status));
    }
}
