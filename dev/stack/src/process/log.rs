//! Reading a log file while it is being written. In: a path and where to begin; out: complete
//! lines. It must not assume that the file exists yet or that it only grows.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// How much of a log's end is looked at for a tail.
const TAIL_BYTES: u64 = 64 * 1024;

/// The lines of a growing log file, in order, each once.
#[derive(Debug)]
pub struct LogLines {
    path: PathBuf,
    at: u64,
    rest: Vec<u8>,
}

impl LogLines {
    /// Lines from this byte of the file on.
    pub fn from(path: PathBuf, at: u64) -> Self {
        Self {
            path,
            at,
            rest: Vec::new(),
        }
    }

    /// The complete lines written since the last call; never waits.
    pub fn read(&mut self) -> Vec<String> {
        let Ok(mut file) = File::open(&self.path) else {
            return Vec::new();
        };
        if file.metadata().is_ok_and(|meta| meta.len() < self.at) {
            // Truncated or replaced by a new run: begin again.
            self.at = 0;
            self.rest.clear();
        }
        let mut new = Vec::new();
        if file.seek(SeekFrom::Start(self.at)).is_err() || file.read_to_end(&mut new).is_err() {
            return Vec::new();
        }
        self.at += new.len() as u64;
        self.rest.extend_from_slice(&new);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let complete: Vec<u8> = self.rest.drain(..=end).collect();
        String::from_utf8_lossy(&complete)
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

/// The last `lines` lines after byte `from`, or a word on why there are none.
pub(super) fn tail(path: &Path, from: u64, lines: usize) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(end.saturating_sub(TAIL_BYTES))))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    match read() {
        Err(error) => format!("(no log: {error})"),
        Ok(text) => {
            let all: Vec<&str> = text.lines().collect();
            all[all.len().saturating_sub(lines)..].join("\n")
        }
    }
}
