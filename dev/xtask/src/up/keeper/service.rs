//! One service of `up` while it is kept. In: orders to launch, look and stop; out: its log lines
//! on the terminal and what became of it.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use devstack::process::{LogLines, Process, Signal};

use super::restarts::{Restarts, Verdict};
use crate::exit::{Failure, SOFTWARE, UNAVAILABLE, USAGE};
use crate::say::{relay, say};
use crate::up::http;
use crate::up::services::Service;

/// How long a service may take until it is ready; a second is usual.
const READY_PATIENCE: Duration = Duration::from_secs(60);

enum State {
    /// It has not been started, or has been stopped.
    Off,
    /// Its process runs but has not been ready since.
    Starting(Instant),
    /// It was ready once.
    Ready,
    /// It ended and is started again at this moment.
    Pausing(Instant),
}

/// A service and its process.
pub(super) struct Running {
    service: Service,
    process: Option<Process>,
    lines: Option<LogLines>,
    state: State,
    restarts: Restarts,
}

impl Running {
    pub(super) fn new(service: Service) -> Self {
        Self {
            service,
            process: None,
            lines: None,
            state: State::Off,
            restarts: Restarts::default(),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.service.name
    }

    pub(super) fn launch(&mut self) -> Result<(), Failure> {
        self.relay_log();
        let process = self.service.spawn.start()?;
        self.lines = Some(process.log_lines());
        self.process = Some(process);
        self.state = State::Starting(Instant::now());
        Ok(())
    }

    /// Shows what it has logged since the last time.
    pub(super) fn relay_log(&mut self) {
        if let Some(lines) = &mut self.lines {
            lines
                .read()
                .iter()
                .for_each(|line| relay(self.service.name, line));
        }
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.process.as_ref()?.exit()?;
        // What it wrote last is what one wants to read now.
        self.relay_log();
        Some(status)
    }

    /// The reason for giving it up, with the end of its log. Wrong configuration and something in
    /// the way keep their exit codes.
    pub(super) fn failure(&self, status: ExitStatus) -> Failure {
        let tail = self
            .process
            .as_ref()
            .map(|process| process.log_tail(8))
            .unwrap_or_default();
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        let code = code
            .filter(|code| [USAGE, UNAVAILABLE].contains(code))
            .unwrap_or(SOFTWARE);
        Failure::new(
            code,
            format!(
                "{} {}; the end of its log:\n{tail}",
                self.name(),
                described(status)
            ),
        )
    }

    /// Sees whether it is ready by now; what it answers while it is not.
    async fn is_ready(&mut self) -> Result<(), Option<u16>> {
        let (port, path) = self.service.ready;
        match http::status(port, path).await {
            Some(200) => {
                self.state = State::Ready;
                Ok(())
            }
            other => Err(other),
        }
    }

    /// True once it is ready; an error if it takes too long. For the first start only: later, one that is not
    /// ready waits for what it needs, and says so itself.
    pub(super) async fn look_whether_ready(&mut self) -> Result<bool, Failure> {
        let State::Starting(since) = self.state else {
            return Ok(true);
        };
        let answer = match self.is_ready().await {
            Ok(()) => return Ok(true),
            Err(_) if since.elapsed() < READY_PATIENCE => return Ok(false),
            Err(answer) => answer,
        };
        let (port, path) = self.service.ready;
        let said = answer.map_or_else(|| "no answer".to_owned(), |code| format!("status {code}"));
        let tail = self
            .process
            .as_ref()
            .map(|process| process.log_tail(8))
            .unwrap_or_default();
        Err(Failure::software(format!(
            "{} was not ready after {} s: http://127.0.0.1:{port}{path} gives {said}; the end of its log:\n{tail}",
            self.name(),
            READY_PATIENCE.as_secs()
        )))
    }

    /// One look: shows its log, starts it again if it ended, tells when it is back.
    pub(super) async fn keep(&mut self) -> Result<(), Failure> {
        self.relay_log();
        match self.state {
            State::Off => Ok(()),
            State::Pausing(until) if Instant::now() < until => Ok(()),
            State::Pausing(_) => self.launch(),
            State::Starting(_) | State::Ready => {
                if let Some(status) = self.ended() {
                    return self.start_again(status);
                }
                if matches!(self.state, State::Starting(_)) && self.is_ready().await.is_ok() {
                    say(&format!("! {} is back", self.name()));
                }
                Ok(())
            }
        }
    }

    fn start_again(&mut self, status: ExitStatus) -> Result<(), Failure> {
        if status.code() == Some(i32::from(USAGE)) {
            // A wrong configuration does not get better by waiting.
            return Err(self.failure(status));
        }
        match self.restarts.after_failure(Instant::now()) {
            Verdict::GiveUp { failures } => {
                let mut failure = self.failure(status);
                failure.message = format!("{failures} times within a minute: {}", failure.message);
                Err(failure)
            }
            Verdict::Again { after, nth } => {
                say(&format!(
                    "! {} {}; starting it again ({nth}) in {:.1} s",
                    self.name(),
                    described(status),
                    after.as_secs_f64()
                ));
                self.state = State::Pausing(Instant::now() + after);
                Ok(())
            }
        }
    }

    /// Asks it to end and waits. Overrunning is an error, and so is a bad exit code.
    pub(super) async fn stop(&mut self) -> Result<(), Failure> {
        self.state = State::Off;
        let Some(process) = self.process.take().filter(Process::is_running) else {
            return Ok(());
        };
        let name = self.service.name;
        say(&format!("stopping {name} …"));
        process.signal(self.service.stop);
        let began = Instant::now();
        let mut ended = None;
        while ended.is_none() && began.elapsed() < self.service.stop_patience {
            ended = process.wait_exit(Duration::from_millis(100)).await;
            self.relay_log();
        }
        match ended {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(Failure::software(format!(
                "while stopping, {name} {}",
                described(status)
            ))),
            None if self.service.stop == Signal::Quit => {
                // Streams that nobody closes: cutting them is its ordinary end.
                process
                    .stop(Duration::from_secs(5))
                    .await
                    .map(drop)
                    .map_err(Failure::from)
            }
            None => {
                process.signal(Signal::Kill);
                let seconds = self.service.stop_patience.as_secs();
                Err(Failure::software(format!(
                    "{name} did not stop within {seconds} s and was killed"
                )))
            }
        }
    }
}

/// How a process ended, in words.
fn described(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
