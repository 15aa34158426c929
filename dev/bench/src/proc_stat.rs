//! What a process has cost, as the kernel counts it. In: a process id; out: CPU time and memory.
//! Works for any process, whatever it is written in.

use std::fs;
use std::time::Duration;

use crate::Failure;

/// Looks at a process's memory before it is called idle.
const SETTLING: u32 = 20;

/// User and system time of all its threads since it began.
pub(crate) fn cpu(pid: u32) -> Result<Duration, Failure> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    ticks(&stat)
        .map(|ticks| {
            Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
        })
        .ok_or_else(|| format!("{path} is not as expected").into())
}

/// The name in brackets may hold anything, also brackets: fields are counted after the last one.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Resident memory in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Now.
    pub(crate) now: u64,
    /// The most it ever was.
    pub(crate) peak: u64,
}

/// Memory of a process.
pub(crate) fn memory(pid: u32) -> Result<Memory, Failure> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let field = |name| kibibytes(&status, name).map(|size| size * 1024);
    match (field("VmRSS:"), field("VmHWM:")) {
        (Some(now), Some(peak)) => Ok(Memory { now, peak }),
        _ => Err(format!("{path} is not as expected").into()),
    }
}

/// Memory once it no longer grows; one that never settles is shown as it was last.
pub(crate) async fn settled(pid: u32) -> Result<Memory, Failure> {
    let mut last = memory(pid)?;
    for _ in 0..SETTLING {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let before = std::mem::replace(&mut last, memory(pid)?);
        if before.now == last.now {
            break;
        }
    }
    Ok(last)
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))?
        .trim()
        .strip_suffix(" kB")?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::{kibibytes, ticks};

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 700 33 9 9 20 0 5 0 1234";
        assert_eq!(ticks(stat), Some(733));
        assert_eq!(ticks("42 (a) S 1"), None);
    }

    #[test]
    fn memory_is_found_by_name() {
        let status = "VmPeak:\t  900 kB\nVmHWM:\t   512 kB\nVmRSS:\t    64 kB\n";
        assert_eq!(kibibytes(status, "VmHWM:"), Some(512));
        assert_eq!(kibibytes(status, "VmRSS:"), Some(64));
        assert_eq!(kibibytes(status, "VmSwap:"), None);
    }
}
