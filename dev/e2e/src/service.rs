//! One service as a process, and what can be asked of it.
//!
//! In: a binary and variables. Out: a running process with its two ports. When the proof fails,
//! the end of its log is shown.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use devstack::free_port;
use devstack::process::{Process, Signal, Spawn};
use serde_json::Value;

use crate::http::{self, Answer};
use crate::{bins, until_text};

/// Debug binaries on a machine that compiles meanwhile.
const READY: Duration = Duration::from_secs(60);

/// How to start a service; the same ports every time.
#[derive(Clone, Debug)]
pub struct Plan {
    name: String,
    spawn: Spawn,
    log: PathBuf,
    /// Where it serves.
    pub http: SocketAddr,
    /// Where its operators look.
    pub admin: SocketAddr,
}

impl Plan {
    /// `name` is for messages and the log; `binary` is what is started.
    pub fn new(name: &str, binary: &str, logs: &Path) -> Self {
        let local = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let (http, admin) = (local(), local());
        let log = logs.join(format!("{name}.log"));
        let spawn = Spawn::new(name, bins::binary(binary))
            .env_clear()
            .env("RUST_LOG", "info")
            .env("RUST_BACKTRACE", "1")
            .env("HTTP_ADDR", http.to_string())
            .env("ADMIN_ADDR", admin.to_string())
            .log(&log);
        Self {
            name: name.to_owned(),
            spawn,
            log,
            http,
            admin,
        }
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.spawn = self.spawn.env(name, value.as_ref());
        self
    }

    /// The same variables under another plan's name, log and ports.
    #[must_use]
    pub(crate) fn at(&self, other: Plan) -> Self {
        let (http, admin) = (other.http, other.admin);
        let spawn = self.spawn.clone().log(other.log.clone());
        let same = Self {
            name: other.name,
            spawn,
            log: other.log,
            http,
            admin,
        };
        same.env("HTTP_ADDR", http.to_string())
            .env("ADMIN_ADDR", admin.to_string())
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.spawn = self.spawn.arg(argument);
        self
    }

    /// Starts it and waits for nothing.
    ///
    /// # Panics
    /// If the binary cannot be started at all.
    pub fn start(&self) -> Service {
        let process = self.spawn.start().unwrap_or_else(|error| panic!("{error}"));
        Service {
            plan: self.clone(),
            process,
        }
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready.
    pub async fn ready(&self) -> Service {
        let service = self.start();
        service.becomes_ready().await;
        service
    }
}

/// A running service. Dropping it kills it.
#[derive(Debug)]
pub struct Service {
    plan: Plan,
    process: Process,
}

impl Service {
    /// Where it serves.
    pub fn http(&self) -> SocketAddr {
        self.plan.http
    }

    /// Where its operators look.
    pub fn admin_addr(&self) -> SocketAddr {
        self.plan.admin
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The process, for its log.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits until `/readyz` says so.
    ///
    /// # Panics
    /// If it ends or does not.
    pub async fn becomes_ready(&self) {
        until_text(&format!("{} is ready", self.plan.name), READY, async || {
            assert!(
                self.process.is_running(),
                "{} ended:\n{}",
                self.plan.name,
                self.process.log_tail(20)
            );
            match http::get(self.plan.admin, "/readyz").await {
                Ok(answer) if answer.status == 200 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// Asks its public port.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn get(&self, path: &str) -> Answer {
        let answer = http::get(self.plan.http, path).await;
        answer.unwrap_or_else(|error| panic!("{} {path}: {error:?}", self.plan.name))
    }

    /// Asks its admin port.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn admin(&self, path: &str) -> Answer {
        let answer = http::get(self.plan.admin, path).await;
        answer.unwrap_or_else(|error| panic!("{} {path}: {error:?}", self.plan.name))
    }

    /// The live tree.
    pub async fn tree(&self) -> Value {
        self.admin("/actors").await.json()
    }

    /// The sum of a metric over all lines that have these labels, each as `name="value"`; 0 where
    /// there is none.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.admin("/metrics").await.text();
        let lines = text.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        });
        lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// SIGKILL, and waits for its end.
    ///
    /// # Panics
    /// If it does not end.
    pub async fn kill(self) {
        self.process.signal(Signal::Kill);
        assert!(
            self.process.wait_exit(READY).await.is_some(),
            "{} survived SIGKILL",
            self.plan.name
        );
    }

    /// Waits for its end and tells its exit code.
    ///
    /// # Panics
    /// If it does not end in time, or by a signal.
    pub async fn exit_code(&self, within: Duration) -> i32 {
        let ended = self.process.wait_exit(within).await;
        let status =
            ended.unwrap_or_else(|| panic!("{} still runs after {within:?}", self.plan.name));
        status
            .code()
            .unwrap_or_else(|| panic!("{} ended by a signal: {status}", self.plan.name))
    }

    /// Its exit code, if it has ended.
    ///
    /// # Panics
    /// If it ended by a signal.
    pub async fn exit_code_if_ended(&self) -> Option<i32> {
        if self.process.is_running() {
            return None;
        }
        Some(self.exit_code(READY).await)
    }

    /// SIGTERM; it must drain and end with 0 in time. Tells what its log said.
    ///
    /// # Panics
    /// If it does not.
    pub async fn drains(&self, within: Duration) -> Vec<String> {
        self.drains_on(Signal::Term, within).await
    }

    /// The same on another signal.
    ///
    /// # Panics
    /// If it does not.
    pub async fn drains_on(&self, signal: Signal, within: Duration) -> Vec<String> {
        self.process.signal(signal);
        let code = self.exit_code(within).await;
        let name = &self.plan.name;
        assert_eq!(
            code,
            0,
            "{name} after {signal:?}:\n{}",
            self.process.log_tail(20)
        );
        self.process.log_lines().read()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- the end of {}'s log:\n{}\n---",
                self.plan.name,
                self.process.log_tail(40)
            );
        }
    }
}
