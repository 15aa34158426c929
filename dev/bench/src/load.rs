//! The load: a closed loop of keep-alive connections, as a process of its own so that its CPU is
//! nobody else's.
//!
//! In: an address and how many connections for how long. Out: one line of JSON on the standard
//! output. It also reads what the watched processes cost, because only it knows exactly when the
//! measured window begins and ends. One thread: the machine's cores are for the contestants.

mod answer;
pub(crate) mod client;
pub(crate) mod order;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use devstack::StackError;
use serde::{Deserialize, Serialize};
use tokio::task::LocalSet;

use crate::sample::percentile;
use crate::site::Site;
use crate::{Failure, proc_stat};

/// How long a request may wait for its answer before the run is given up.
const PATIENCE: Duration = Duration::from_secs(15);

/// One run of the load.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Where `POST /buy` is answered
    #[arg(long)]
    addr: SocketAddr,
    /// Connections, each with one request at a time
    #[arg(long)]
    connections: usize,
    /// Seconds that are not measured
    #[arg(long)]
    warm_up: f64,
    /// Seconds that are
    #[arg(long)]
    seconds: f64,
    /// Processes whose CPU in the measured window is told
    #[arg(long)]
    watch: Vec<u32>,
}

/// What a run of the load saw.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Length of the measured window.
    pub(crate) seconds: f64,
    /// Successes in the window.
    pub(crate) accepted: u64,
    /// Successes in the whole run.
    pub(crate) accepted_in_all: u64,
    /// Any other answers in the whole run, by status; 0 for a connection that failed.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// Why the first of them failed.
    pub(crate) first_failure: Option<String>,
    /// Half of the accepted were answered within this.
    pub(crate) p50_us: u32,
    /// 99 of 100 were.
    pub(crate) p99_us: u32,
    /// CPU time of the watched processes in the window, in their order.
    pub(crate) cpu_us: Vec<f64>,
    /// CPU time of the load itself.
    pub(crate) own_cpu_us: f64,
}

impl Report {
    /// Successes a second.
    pub(crate) fn rate(&self) -> f64 {
        self.accepted as f64 / self.seconds
    }
}

/// Runs the load in a process of its own and waits for what it says.
pub(crate) async fn apply(
    site: &Site,
    addr: SocketAddr,
    connections: usize,
    (warm_up, seconds): (f64, f64),
    watch: &[u32],
) -> Result<Report, Failure> {
    let numbers = [connections as f64, warm_up, seconds].map(|number| number.to_string());
    let [connections, warm_up, seconds_text] = &numbers;
    let mut spawn = site
        .myself("load")
        .args([
            "load",
            "--addr",
            &addr.to_string(),
            "--connections",
            connections,
        ])
        .args(["--warm-up", warm_up, "--seconds", seconds_text]);
    for pid in watch {
        spawn = spawn.args(["--watch", &pid.to_string()]);
    }
    let process = spawn.start()?;
    let patience = Duration::from_secs_f64(seconds + 10.0) + PATIENCE * 2;
    let ended = process.wait_exit(patience).await;
    let said = process.log_lines().read();
    match (ended, said.last()) {
        (Some(status), Some(line)) if status.success() => Ok(serde_json::from_str(line)?),
        (None, _) => Err(StackError::Overran {
            name: "load".to_owned(),
            waited: patience,
        }
        .into()),
        (Some(status), _) => {
            Err(format!("the load ended with {status}: {}", said.join("\n")).into())
        }
    }
}

/// Which part of the run it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Measured,
    Over,
}

/// What all connections write into.
struct Tally {
    phase: Cell<Phase>,
    accepted_in_all: Cell<u64>,
    latencies_us: RefCell<Vec<u32>>,
    refused: RefCell<BTreeMap<u16, u64>>,
    first_failure: RefCell<Option<String>>,
}

impl Tally {
    fn answered(&self, status: u16, took: Duration) {
        if !(200..300).contains(&status) {
            *self.refused.borrow_mut().entry(status).or_default() += 1;
            return;
        }
        self.accepted_in_all.set(self.accepted_in_all.get() + 1);
        if self.phase.get() == Phase::Measured {
            self.latencies_us
                .borrow_mut()
                .push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        }
    }

    fn failed(&self, error: &std::io::Error) {
        *self.refused.borrow_mut().entry(0).or_default() += 1;
        self.first_failure
            .borrow_mut()
            .get_or_insert_with(|| error.to_string());
    }
}

/// This process's part: applies the load and tells what it saw.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = LocalSet::new().block_on(&runtime, measured(args))?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

async fn measured(args: &Args) -> Result<Report, Failure> {
    let tally = Rc::new(Tally {
        phase: Cell::new(Phase::WarmUp),
        accepted_in_all: Cell::new(0),
        latencies_us: RefCell::new(Vec::with_capacity(1 << 20)),
        refused: RefCell::default(),
        first_failure: RefCell::default(),
    });
    let clients: Vec<_> = (0..args.connections)
        .map(|number| tokio::task::spawn_local(client::run(args.addr, number, Rc::clone(&tally))))
        .collect();
    tokio::time::sleep(Duration::from_secs_f64(args.warm_up)).await;
    let (began, before) = (Instant::now(), costs(args)?);
    tally.phase.set(Phase::Measured);
    tokio::time::sleep(Duration::from_secs_f64(args.seconds)).await;
    tally.phase.set(Phase::Over);
    let (seconds, after) = (began.elapsed().as_secs_f64(), costs(args)?);
    let all_answered = async {
        for client in clients {
            client.await?;
        }
        Ok::<_, Failure>(())
    };
    tokio::time::timeout(PATIENCE, all_answered)
        .await
        .map_err(|_| format!("no answer within {PATIENCE:?}"))??;
    let mut cpu_us: Vec<f64> = after
        .iter()
        .zip(before)
        .map(|(after, before)| after - before)
        .collect();
    let own_cpu_us = cpu_us.pop().unwrap_or_default();
    let mut latencies = tally.latencies_us.take();
    latencies.sort_unstable();
    Ok(Report {
        seconds,
        accepted: latencies.len() as u64,
        accepted_in_all: tally.accepted_in_all.get(),
        refused: tally.refused.take(),
        first_failure: tally.first_failure.take(),
        p50_us: percentile(&latencies, 0.5),
        p99_us: percentile(&latencies, 0.99),
        cpu_us,
        own_cpu_us,
    })
}

/// CPU time of the watched processes and, last, of this one, in microseconds.
fn costs(args: &Args) -> Result<Vec<f64>, Failure> {
    let all = args.watch.iter().copied().chain([std::process::id()]);
    all.map(|pid| Ok(proc_stat::cpu(pid)?.as_secs_f64() * 1e6))
        .collect()
}
