//! One part of the stack, a broker or the database. In: orders to stop, die, freeze, thaw and
//! come back on the same port and data; out: whether it did. It must not know how a part is
//! configured (`broker`, `database`) or who proxies it (`stack`).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::StackError;
use crate::layout;
use crate::process::{Process, Signal, Spawn};
use crate::wait::wait_until;
use crate::wire;

/// A broker is ready in 3 s on a quiet machine; tests share theirs with compilers.
const READY_PATIENCE: Duration = Duration::from_secs(90);

/// An idle machine's broker or database ends in less than a second.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// The kernel ends a killed process at once, but a busy machine may let us wait for it.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// How a part shows that it is ready, beside its log.
#[derive(Debug, Clone)]
pub(crate) enum Answers {
    /// A Kafka node that knows itself as a member of the cluster.
    Broker { id: i32 },
    /// A MongoDB server that takes writes.
    Database,
    /// A MongoDB server that speaks TLS to users only: from here, it can only be seen to listen.
    SecuredDatabase,
}

/// How to start a part of our own.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) spawn: Spawn,
    pub(crate) dir: PathBuf,
    pub(crate) log: PathBuf,
    /// The words in the log after which it is worth asking.
    pub(crate) ready_words: &'static str,
    pub(crate) answers: Answers,
}

/// A broker or the database: ours to steer, or given by address.
#[derive(Debug)]
pub struct Part {
    name: String,
    address: String,
    recipe: Option<Recipe>,
    process: Mutex<Option<Arc<Process>>>,
}

impl Part {
    pub(crate) fn new(
        name: impl Into<String>,
        address: impl Into<String>,
        recipe: Option<Recipe>,
    ) -> Self {
        Self {
            name: name.into(),
            address: address.into(),
            recipe,
            process: Mutex::new(None),
        }
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens itself, behind any proxy (`host:port`, or what was given).
    pub fn address(&self) -> &str {
        &self.address
    }

    /// True if it was started here and can be steered.
    pub fn is_ours(&self) -> bool {
        self.recipe.is_some()
    }

    /// True while its process exists, also frozen.
    pub fn is_running(&self) -> bool {
        self.process().is_some_and(|process| process.is_running())
    }

    /// Its process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process()
            .filter(|process| process.is_running())
            .map(|process| process.pid())
    }

    /// Its log file, over all its runs.
    pub fn log_path(&self) -> Option<&Path> {
        self.recipe.as_ref().map(|recipe| recipe.log.as_path())
    }

    /// The last lines of its latest run.
    pub fn log_tail(&self, lines: usize) -> String {
        self.process()
            .map(|process| process.log_tail(lines))
            .unwrap_or_default()
    }

    /// Resolves when its process ends, whoever ended it; at once if there is none.
    pub async fn ended(&self) {
        if let Some(process) = self.process() {
            while process.wait_exit(Duration::from_secs(3600)).await.is_none() {}
        }
    }

    /// Asks it to end and waits until it has. Nothing happens if it is not running.
    pub async fn stop(&self) -> Result<(), StackError> {
        self.stop_within(STOP_PATIENCE).await
    }

    /// As [`Part::stop`]; one that takes longer is killed.
    pub(crate) async fn stop_within(&self, patience: Duration) -> Result<(), StackError> {
        self.recipe()?;
        match self.process() {
            Some(process) if process.is_running() => process.stop(patience).await.map(drop),
            _ => Ok(()),
        }
    }

    /// SIGKILL. It is dead when this returns.
    pub fn kill(&self) -> Result<(), StackError> {
        self.recipe()?;
        let process = self.running()?;
        process.signal(Signal::Kill);
        process.wait_exit_blocking(KILL_PATIENCE);
        Ok(())
    }

    /// SIGSTOP: it keeps its connections and answers nothing from the moment this returns.
    pub fn freeze(&self) -> Result<(), StackError> {
        self.recipe()?;
        self.running()?.freeze();
        Ok(())
    }

    /// SIGCONT: the end of a freeze.
    pub fn thaw(&self) -> Result<(), StackError> {
        self.recipe()?;
        self.running()?.signal(Signal::Cont);
        Ok(())
    }

    /// Starts it (after stopping it if it runs) on the same port and data, and waits until it is
    /// ready again.
    pub async fn restart(&self) -> Result<(), StackError> {
        self.stop().await?;
        self.launch()?;
        self.ready().await
    }

    /// Starts the process without waiting for it.
    pub(crate) fn launch(&self) -> Result<(), StackError> {
        let recipe = self.recipe()?;
        let process = Arc::new(recipe.spawn.start()?);
        layout::record(&recipe.dir, process.pid())?;
        *self.slot() = Some(process);
        Ok(())
    }

    /// Waits until it is usable: its log says so and it answers the protocol. If it ends or the
    /// patience does, it is not left running.
    pub(crate) async fn ready(&self) -> Result<(), StackError> {
        let recipe = self.recipe()?;
        let process = self.running()?;
        let began = Instant::now();
        let mut lines = process.log_lines();
        let mut said = false;
        let mut why = format!("its log does not say \"{}\" yet", recipe.ready_words);
        let outcome = wait_until(READY_PATIENCE, async || {
            if let Some(status) = process.exit() {
                return Some(Err(status));
            }
            said = said
                || lines
                    .read()
                    .iter()
                    .any(|line| line.contains(recipe.ready_words));
            if !said {
                return None;
            }
            match self.ask(&recipe.answers).await {
                Ok(()) => Some(Ok(())),
                Err(reason) => {
                    why = reason;
                    None
                }
            }
        })
        .await;
        let log = recipe.log.clone();
        match outcome {
            Some(Ok(())) => Ok(()),
            Some(Err(status)) => Err(StackError::Exited {
                name: self.name.clone(),
                status,
                log,
                tail: process.log_tail(12),
            }),
            None => {
                self.kill()?;
                Err(StackError::NotReady {
                    name: self.name.clone(),
                    waited: began.elapsed(),
                    why,
                    log,
                })
            }
        }
    }

    async fn ask(&self, answers: &Answers) -> Result<(), String> {
        match answers {
            Answers::Database => wire::mongo::hello(&self.address).await,
            Answers::SecuredDatabase => wire::listens(&self.address).await,
            Answers::Broker { id } => {
                let metadata = wire::kafka::metadata(&self.address, &[]).await?;
                if metadata.controller < 0 {
                    return Err("the cluster has no controller yet".to_owned());
                }
                let known = metadata.brokers.iter().any(|(broker, _)| broker == id);
                if known {
                    Ok(())
                } else {
                    Err("it is not a member of the cluster yet".to_owned())
                }
            }
        }
    }

    /// Sends SIGTERM without waiting, so that several parts can end side by side.
    pub(crate) fn ask_to_end(&self) {
        if let (Some(_), Some(process)) = (&self.recipe, self.process()) {
            process.signal(Signal::Term);
        }
    }

    fn recipe(&self) -> Result<&Recipe, StackError> {
        self.recipe
            .as_ref()
            .ok_or_else(|| StackError::NotOurs(self.name.clone()))
    }

    fn running(&self) -> Result<Arc<Process>, StackError> {
        let running = self.process().filter(|process| process.is_running());
        running.ok_or_else(|| StackError::NotRunning(self.name.clone()))
    }

    fn process(&self) -> Option<Arc<Process>> {
        self.slot().clone()
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Process>>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Someone may still hold the process to watch its end; the part's end is the process' end.
        if let Some(process) = self.process()
            && process.signal(Signal::Kill)
        {
            process.wait_exit_blocking(KILL_PATIENCE);
        }
    }
}
