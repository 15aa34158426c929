//! How much memory a process holds, and what the kernel still holds for it. In: its id, its port;
//! out: bytes, as the kernel counts them.

use std::net::SocketAddr;

/// Resident set of a process.
///
/// # Panics
/// If there is no such process.
pub fn resident(pid: u32) -> u64 {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes: u64 = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .and_then(|number| number.trim().parse().ok())
        .unwrap_or_else(|| panic!("{path} has no VmRSS: the process is gone"));
    kibibytes * 1024
}

/// Bytes that came for a port and that nobody has read yet, over all its connections.
///
/// # Panics
/// If the kernel's table is not readable.
pub fn unread(server: SocketAddr) -> u64 {
    let path = "/proc/net/tcp";
    let table = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let port = format!(":{:04X}", server.port());
    let waiting = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _remote, state) = (fields.next()?, fields.next()?, fields.next()?);
        let (_, received) = fields.next()?.split_once(':')?;
        // A listener counts connections here.
        (local.ends_with(&port) && state != "0A").then(|| u64::from_str_radix(received, 16).ok())?
    });
    waiting.sum()
}

/// Mebibytes, for messages and limits.
pub const MIB: u64 = 1024 * 1024;
