//! What killed runs left behind: processes and temporary directories. In: a directory that is
//! ours; out: nothing of theirs. It must not touch what somebody still holds.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};

use super::{TEMP_PREFIX, hold};
use crate::error::StackError;
use crate::progress::Progress;

const PID: &str = "pid";

/// A temporary directory whose test was killed stays; the next stack removes it after this long.
const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Writes down which process serves a part, so that a later run can find it.
pub(crate) fn record(dir: &Path, pid: u32) -> Result<(), StackError> {
    let path = dir.join(PID);
    let line = format!("{pid} {}", born(pid).unwrap_or_default());
    fs::write(&path, line).map_err(StackError::io("write", &path))
}

/// Processes of a run that died without taking them along (we hold the lock, so nobody owns them).
pub(super) fn end(dir: &Path, progress: &Progress) -> Result<(), StackError> {
    let entries = fs::read_dir(dir).map_err(StackError::io("read", dir))?;
    for part in entries.flatten().map(|entry| entry.path()) {
        let Ok(line) = fs::read_to_string(part.join(PID)) else {
            continue;
        };
        let mut words = line.split_whitespace();
        let pid: Option<u32> = words.next().and_then(|word| word.parse().ok());
        if let Some(pid) = pid
            && born(pid).as_deref() == words.next()
        {
            progress.warn(format!(
                "ending process {pid}, left by an earlier run in {}",
                part.display()
            ));
            end_process(pid)?;
        }
    }
    Ok(())
}

fn end_process(pid: u32) -> Result<(), StackError> {
    let Some(target) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Ok(());
    };
    for (signal, patience) in [
        (Signal::TERM, Duration::from_secs(10)),
        (Signal::KILL, Duration::from_secs(5)),
    ] {
        if kill_process(target, signal).is_err() {
            return Ok(());
        }
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if born(pid).is_none() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Err(StackError::Overran {
        name: format!("process {pid}"),
        waited: Duration::from_secs(15),
    })
}

/// When a living process was started, in the kernel's clock ticks: with it, an id means one
/// process and not whoever got the number later. A zombie does not count as living.
pub(crate) fn born(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold blanks; the fields after it do not.
    let mut fields = stat.rsplit_once(") ")?.1.split_whitespace();
    let alive = fields.next()? != "Z";
    let born = fields.nth(18)?.to_owned();
    alive.then_some(born)
}

/// Removes old temporary stacks that nobody holds. Their owner was killed, or a test failed and
/// its logs had a day to be read.
pub(super) fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let old = entry
            .metadata()
            .and_then(|meta| meta.modified())
            .is_ok_and(|at| {
                SystemTime::now()
                    .duration_since(at)
                    .is_ok_and(|age| age > LEFTOVER_AGE)
            });
        if old && entry.file_name().to_string_lossy().starts_with(TEMP_PREFIX) {
            let path = entry.path();
            if hold(&path).is_ok() {
                // Another user's, or just being removed by another test: not ours to report.
                drop(fs::remove_dir_all(&path));
            }
        }
    }
}
