//! `up`: the whole system on this machine, from broker to web page. In: ports and wishes; out: a
//! running system with its addresses and logs on the terminal, until Ctrl-C. It keeps the data in
//! `.data/up` and leaves nothing running.

mod banner;
mod http;
mod keeper;
mod ports;
mod services;
mod stop_signal;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use devstack::Stack;
use devstack::install::Given;

use self::keeper::{Ending, Keeper};
use self::ports::Ports;
use self::services::Launch;
pub(crate) use self::stop_signal::StopSignal;
use crate::exit::{Failure, USAGE};
use crate::install;
use crate::place;
use crate::run_lock::{self, RunLock};
use crate::say::say;

/// Start everything: broker, database, both services, the web page
///
/// Ctrl-C (or `cargo xtask down` from elsewhere) drains the services and stops everything. Data
/// stays in .data/up for the next start. `KAFKA_BOOTSTRAP_SERVERS` and `MONGODB_URI` are used instead
/// of a broker and a database of its own if they are set; every other variable of the services
/// (`producer-svc --help`, `consumer-svc --help`) and `RUST_LOG` reach them as well.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Begin with an empty broker and database
    #[arg(long)]
    fresh: bool,
    /// Build the services unoptimized, which is quicker
    #[arg(long)]
    debug: bool,
    #[command(flatten)]
    wishes: ports::Wishes,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::doing("starting the runtime"))?;
    runtime.block_on(whole(args))
}

async fn whole(args: &Args) -> Result<(), Failure> {
    let mut stop = StopSignal::listen()?;
    let root = place::root();
    let lock = lock(&root)?;
    let ports = Ports::choose(&args.wishes)?;
    let began = Instant::now();

    // Installing and building may be cut short: there is nothing yet that would have to drain.
    let given = Given::from_environment();
    let wanted = given.clone();
    say("looking for what is needed on this machine");
    let prepared = async move {
        let joined = tokio::task::spawn_blocking(move || install::for_up(&wanted)).await;
        joined.unwrap_or_else(|error| Err(Failure::software(error.to_string())))
    };
    let building = async {
        prepared.await?;
        let profile = if args.debug {
            "unoptimized"
        } else {
            "optimized"
        };
        say(&format!("building both services, {profile}"));
        build(&root, args.debug).await
    };
    let Some(built) = stop.or(building).await else {
        say("stopped before anything was started");
        // An installation may still be running on a thread; it ends with the process.
        std::process::exit(130);
    };
    built?;
    let built_at = Instant::now();
    let binaries = place::binaries(&root, if args.debug { "debug" } else { "release" });
    say("asking both services about their variables");
    check_configuration(&binaries)?;

    say("starting what the services need");
    let starting = start_stack(
        &root,
        args.fresh,
        given.bootstrap_servers.is_some() && given.secured,
    );
    let Some(stack) = stop.or(starting).await else {
        say("stopped while starting; nothing is left running");
        return Ok(());
    };
    let stack = stack?;
    let launch = Launch {
        root: &root,
        dir: &run_lock::dir(&root),
        binaries: &binaries,
        ports,
        stack: &stack,
    };
    let mut keeper = Keeper::new(launch.services()?);

    let ending = match stop.or(keeper.start()).await {
        None => Ending::Asked,
        Some(Err(failure)) => Ending::GaveUp(failure),
        Some(Ok(())) => {
            banner::show(&stack, ports, &given, &lock, began, built_at)?;
            keeper.keep(&stack, &mut stop).await
        }
    };
    let stopped = stop_all(keeper, stack, &mut stop).await;
    match ending {
        Ending::Asked => stopped,
        Ending::GaveUp(failure) => Err(failure),
    }
}

fn lock(root: &Path) -> Result<RunLock, Failure> {
    run_lock::take(root)?.map_err(|holder| {
        let page = holder.page.map_or_else(
            || "it is still starting".to_owned(),
            |page| format!("its page is {page}"),
        );
        let pid = holder
            .pid
            .map_or_else(String::new, |pid| format!(" (process {pid})"));
        Failure::unavailable(format!(
            "already running{pid}: {page}. `cargo xtask down` stops it"
        ))
    })
}

/// Cargo's own output is shown: on a first run it is minutes.
async fn build(root: &Path, debug: bool) -> Result<(), Failure> {
    let mut command = place::cargo(root);
    command.args([
        "build",
        "--package",
        "producer-svc",
        "--package",
        "consumer-svc",
        "--bins",
    ]);
    if !debug {
        command.arg("--release");
    }
    command.stdin(Stdio::null());
    let mut child = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .spawn()
        .map_err(Failure::doing("starting cargo"))?;
    let status = child
        .wait()
        .await
        .map_err(Failure::doing("waiting for cargo"))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::software(
            "the services could not be built; see above",
        ))
    }
}

/// Asks each service what it thinks of its variables, before a broker is started for it.
fn check_configuration(binaries: &Path) -> Result<(), Failure> {
    let mut wrong = String::new();
    for name in ["consumer-svc", "producer-svc"] {
        let mut command = Command::new(binaries.join(name));
        command.arg("check-config").stdin(Stdio::null());
        for ours in services::SET_BY_US {
            command.env_remove(ours);
        }
        let output = command
            .output()
            .map_err(Failure::doing(format!("starting {name}")))?;
        if output.status.code() == Some(i32::from(USAGE)) {
            wrong.push_str(&String::from_utf8_lossy(&output.stderr));
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(USAGE, wrong.trim_end()))
    }
}

async fn start_stack(root: &Path, fresh: bool, secured: bool) -> Result<Stack, Failure> {
    let dir = run_lock::dir(root).join("stack");
    let stack = Stack::builder()
        .dir(dir)
        .fresh(fresh)
        .progress(install::progress())
        .start()
        .await?;
    let name = |variable: &str, default: &str| {
        std::env::var(variable)
            .ok()
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| default.to_owned())
    };
    let topics = [
        (name("KAFKA_TOPIC", "purchases"), 3),
        (name("KAFKA_DLQ_TOPIC", "purchases.dlq"), 1),
    ];
    if secured {
        let [(topic, _), (dead_letters, _)] = &topics;
        say(&format!(
            "  the given broker is secured: topics {topic} and {dead_letters} must exist there"
        ));
        return Ok(stack);
    }
    for (topic, partitions) in topics {
        stack.create_topic(&topic, partitions).await?;
    }
    Ok(stack)
}

/// In this order: nobody new comes in, what was accepted is written, what was written is stored.
async fn stop_all(keeper: Keeper, stack: Stack, stop: &mut StopSignal) -> Result<(), Failure> {
    let orderly = async {
        let services = keeper.stop().await;
        let stack = async {
            if stack.database().is_ours() {
                say("stopping the database …");
                stack.stop_database().await?;
            }
            if stack.broker(0).is_ours() {
                say("stopping the broker …");
                stack.stop_brokers().await?;
            }
            Ok(())
        };
        services.and(stack.await)
    };
    match stop.or(orderly).await {
        Some(outcome) => {
            say("nothing is left running");
            outcome
        }
        None => {
            say("stopped at once, as asked twice; nothing is left running");
            std::process::exit(130);
        }
    }
}

/// How long a request to a service's own port may take before it counts as no answer.
pub(crate) const ANSWER_PATIENCE: Duration = Duration::from_secs(2);
