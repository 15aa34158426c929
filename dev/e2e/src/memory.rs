//! How much memory a process holds. In: its id; out: its resident bytes, as the kernel counts them.

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

/// Mebibytes, for messages and limits.
pub const MIB: u64 = 1024 * 1024;
