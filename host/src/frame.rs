//! The frame that every service's `main` shares.
//!
//! In: a service's name, its variables, how it reads its configuration and how it
//! runs. Out: the exit code. Command line, all configuration errors at once, logs,
//! metrics, signals and the runtime are dealt with here, so that a service's
//! `main.rs` is a table of contents.

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::env::{ConfigErrors, Env, ProcessEnv, Reader, Var, help_text};
use crate::exit::{Code, Failure};
use crate::healthcheck::{self, Page};
use crate::levels::Levels;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::span::{self, SpanSettings, Tracer};
use crate::telemetry::{self, LogSettings};

/// What a service is called and what it can be told.
#[derive(Debug, Clone, Copy)]
pub struct Service<C: 'static> {
    /// Its name, as in the image and the logs.
    pub name: &'static str,
    /// Its version: `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// One line for `--help`.
    pub about: &'static str,
    /// Its variables; those for logs and spans are added here.
    pub vars: &'static [&'static [Var]],
    /// Reads its variables. `None` says that the reader noted an error.
    pub configure: fn(&mut Reader<'_>) -> Option<C>,
    /// What it can do beside running.
    pub commands: &'static [Command<C>],
}

/// Something a service can do beside running: it reads the same configuration, does its work, and
/// ends. It prints to standard output and logs nothing.
#[derive(Debug, Clone, Copy)]
pub struct Command<C: 'static> {
    /// Its name, the first argument.
    pub name: &'static str,
    /// One line for the service's `--help`.
    pub about: &'static str,
    /// What its own `--help` prints.
    pub usage: &'static str,
    /// Does it, with the arguments behind its name.
    pub run: fn(C, Vec<String>) -> CommandFuture,
}

/// A command at work.
pub type CommandFuture = Pin<Box<dyn Future<Output = Result<(), Failure>>>>;

/// What the frame gives to a running service.
#[derive(Debug, Clone)]
pub struct Process {
    /// The service's name.
    pub name: &'static str,
    /// The service's version.
    pub version: &'static str,
    /// Cancelled by SIGTERM or SIGINT.
    pub shutdown: CancellationToken,
    /// Not ready until its latches are met; create them first.
    pub readiness: Readiness,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// What is logged, changeable.
    pub levels: Levels,
    /// Where spans begin. Who drains closes it in what is left of the time for that; otherwise it is
    /// closed here.
    pub tracer: Tracer,
}

/// What the frame's own variables say.
#[derive(Debug, Clone)]
pub struct Settings {
    logs: LogSettings,
    spans: SpanSettings,
}

/// How long blocked threads may hold up the end, after the service has drained.
const LAST_THREADS: Duration = Duration::from_secs(2);

/// The same for spans, of a service that ended otherwise than by draining.
const LAST_SPANS: Duration = Duration::from_secs(1);

const USAGE: &str = "Usage: no arguments run the service. Others:
  check-config     read the configuration, say what is wrong with it, and end
  healthcheck      ask the running service at ADMIN_ADDR for /readyz: ends with 0 if it is
                   ready, else with 1; with --live for /livez: whether it answers at all
  -h, --help       print this
  -V, --version    print the version";

/// Runs a service from this process's arguments and environment to its exit code.
pub fn main<C: 'static, R, F>(service: &Service<C>, body: R) -> ExitCode
where
    R: FnOnce(C, Process) -> F,
    F: Future<Output = Result<(), Failure>>,
{
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run(service, &arguments, &ProcessEnv, body).into()
}

/// As [`main`], with arguments and environment of the caller's choice.
pub fn run<C: 'static, R, F>(
    service: &Service<C>,
    arguments: &[&str],
    env: &dyn Env,
    body: R,
) -> Code
where
    R: FnOnce(C, Process) -> F,
    F: Future<Output = Result<(), Failure>>,
{
    let check = match arguments {
        [] => false,
        ["check-config"] => true,
        ["healthcheck"] => return healthy(service, Page::Ready, env),
        ["healthcheck", "--live"] => return healthy(service, Page::Live, env),
        ["-h" | "--help"] => return printed(&service.help()),
        ["-V" | "--version"] => return printed(&format!("{} {}\n", service.name, service.version)),
        unknown => {
            let command = unknown
                .split_first()
                .and_then(|(name, rest)| Some((service.command(name)?, rest)));
            if let Some((command, rest)) = command {
                return service.commanded(command, rest, env);
            }
            let (unknown, usage) = (unknown.join(" "), service.usage());
            eprintln!("{}: unknown argument {unknown:?}\n\n{usage}", service.name);
            return Code::Usage;
        }
    };
    match service.configured(env) {
        Err(errors) => {
            eprintln!("{}: {errors}", service.name);
            Code::Usage
        }
        Ok(_) if check => printed("the configuration is valid\n"),
        Ok((config, own)) => started(service, &own, |process| body(config, process))
            .unwrap_or_else(|failure| {
                eprintln!("{}: {failure}", service.name);
                failure.code()
            }),
    }
}

impl<C: 'static> Service<C> {
    /// Reads the configuration, or says everything that is wrong with it.
    pub fn configured(&self, env: &dyn Env) -> Result<(C, Settings), ConfigErrors> {
        let mut reader = Reader::new(&self.tables(), env);
        let config = (self.configure)(&mut reader);
        let logs = LogSettings::read(&mut reader);
        let spans = SpanSettings::read(&mut reader);
        reader.finish(|| {
            let (logs, spans) = (logs?, spans?);
            Some((config?, Settings { logs, spans }))
        })
    }

    /// What `--help` prints.
    pub fn help(&self) -> String {
        help_text(self.name, self.about, &self.usage(), &self.tables())
    }

    fn usage(&self) -> String {
        let mut usage = USAGE.to_owned();
        for Command { name, about, .. } in self.commands {
            usage.push_str(&format!("\n  {name:<16} {about}"));
        }
        usage
    }

    fn command(&self, name: &str) -> Option<&Command<C>> {
        self.commands.iter().find(|command| command.name == name)
    }

    fn commanded(&self, command: &Command<C>, arguments: &[&str], env: &dyn Env) -> Code {
        if arguments.iter().any(|one| matches!(*one, "-h" | "--help")) {
            return printed(command.usage);
        }
        let done = match self.configured(env) {
            Err(errors) => Err(Failure::new(Code::Usage, errors)),
            Ok((config, _)) => {
                let arguments = arguments.iter().map(|one| (*one).to_owned()).collect();
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(broken)
                    .and_then(|runtime| runtime.block_on((command.run)(config, arguments)))
            }
        };
        match done {
            Ok(()) => Code::Ok,
            Err(failure) => {
                eprintln!("{} {}: {failure}", self.name, command.name);
                failure.code()
            }
        }
    }

    fn tables(&self) -> Vec<&'static [Var]> {
        let own = [telemetry::VARS, span::VARS];
        self.vars.iter().copied().chain(own).collect()
    }
}

/// Needs no more of the configuration than where the admin port is.
fn healthy<C: 'static>(service: &Service<C>, page: Page, env: &dyn Env) -> Code {
    healthcheck::run(service.name, page, &service.tables(), env)
}

fn started<C: 'static, F>(
    service: &Service<C>,
    own: &Settings,
    body: impl FnOnce(Process) -> F,
) -> Result<Code, Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let levels = telemetry::init(&own.logs).map_err(broken)?;
    crate::files::raise_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(broken)?;
    let ended = runtime.block_on(async {
        let shutdown = crate::signal::shutdown().map_err(broken)?;
        let metrics = Metrics::install().map_err(broken)?;
        let (name, version) = (service.name, service.version);
        tracing::info!(service = name, version, "starting");
        let tracer = own.spans.start(name, version).map_err(broken)?;
        let readiness = Readiness::new(shutdown.clone());
        let spans = tracer.clone();
        let ended = body(Process {
            name,
            version,
            shutdown,
            readiness,
            metrics,
            levels,
            tracer,
        })
        .await;
        spans.close(LAST_SPANS).await;
        Ok::<_, Failure>(ended)
    })?;
    runtime.shutdown_timeout(LAST_THREADS);
    Ok(match ended {
        Ok(()) => {
            tracing::info!(service = service.name, "stopped");
            Code::Ok
        }
        Err(failure) => {
            let code = failure.code();
            tracing::error!(service = service.name, code = code as u8, error = %failure, "stopped by a failure");
            code
        }
    })
}

fn broken(cause: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::new(Code::Software, cause)
}

/// A reader that went away, as `--help | head` does, is no failure.
fn printed(text: &str) -> Code {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) | Err(_) => Code::Ok,
    }
}
