//! producer-svc: the process. Configuration, logs, signals and exit codes are the frame's; what is
//! built from the configuration is `app`.

use std::process::ExitCode;

/// Gives memory back that a burst of connections took, where the system's allocator keeps it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    host::main(&producer_svc::config::SERVICE, producer_svc::app::run)
}
