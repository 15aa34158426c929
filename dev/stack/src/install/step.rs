//! One long installation command. In: what to run and where its output goes; out: success, or
//! the end of that output. While it runs, it tells every few seconds what it is at.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::StackError;
use crate::process::Spawn;
use crate::progress::Progress;

/// How often a line is told while a step runs.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// As much of the command's own last line as is shown with it.
const LINE_WIDTH: usize = 90;

/// Runs the command to its end. Its output goes to `log`, which is begun anew.
pub fn run(what: &str, command: &Spawn, log: &Path, progress: &Progress) -> Result<(), StackError> {
    if let Some(dir) = log.parent() {
        std::fs::create_dir_all(dir).map_err(StackError::io("create", dir))?;
    }
    std::fs::write(log, "").map_err(StackError::io("write", log))?;
    let began = Instant::now();
    progress.install(format!("{what} …"));
    let process = command.clone().log(log).start()?;
    let mut lines = process.log_lines();
    let mut last = String::new();
    let status = loop {
        let ended = process.wait_exit_blocking(TELL_EVERY);
        if let Some(line) = lines
            .read()
            .into_iter()
            .rfind(|line| !line.trim().is_empty())
        {
            last = line.trim().chars().take(LINE_WIDTH).collect();
        }
        match ended {
            Some(status) => break status,
            None => progress.install(format!("  {:>4} s  {last}", began.elapsed().as_secs())),
        }
    };
    if status.success() {
        progress.install(format!("{what}: done in {} s", began.elapsed().as_secs()));
        return Ok(());
    }
    let detail = format!("{status}\n{}", process.log_tail(15));
    Err(StackError::Install {
        what: what.to_owned(),
        detail,
        log: log.to_owned(),
    })
}
