//! `down`: asks a running `up` of this checkout to end, and waits until it has. In: its lock file;
//! out: nothing left running. It must not kill: `up` drains first.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::exit::Failure;
use crate::place;
use crate::run_lock;
use crate::say::say;

/// Both services' drain deadlines, the database's and the broker's, one after the other.
const PATIENCE: Duration = Duration::from_secs(150);

pub(crate) fn run() -> Result<(), Failure> {
    let root = place::root();
    let holder = match run_lock::take(&root)? {
        Ok(_free) => {
            say("nothing is running");
            return Ok(());
        }
        Err(holder) => holder,
    };
    let pid = holder.pid.and_then(Pid::from_raw).ok_or_else(|| {
        Failure::unavailable(
            "an `up` is running in this checkout but has not said its process id; try again",
        )
    })?;
    say(&format!("asking process {} to stop", pid.as_raw_nonzero()));
    kill_process(pid, Signal::TERM).map_err(|error| {
        Failure::unavailable(format!(
            "cannot signal process {}: {error}",
            pid.as_raw_nonzero()
        ))
    })?;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if run_lock::take(&root)?.is_ok() {
            say("stopped; nothing is left running");
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(Failure::unavailable(format!(
        "process {} has not stopped within {} s; `kill -9 {0}` ends it and everything it started",
        pid.as_raw_nonzero(),
        PATIENCE.as_secs()
    )))
}
