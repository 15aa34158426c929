//! The consumer-svc process.

use std::process::ExitCode;

use consumer_svc::config::{self, Config};
use consumer_svc::{app, dlq};
use host::Service;

/// Returns memory to the system better than the default under a load that moves buffers between
/// threads, which keeps the memory promise after a backlog.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SERVICE: Service<Config> = Service {
    name: "consumer-svc",
    version: env!("CARGO_PKG_VERSION"),
    about: "stores purchases from Kafka in MongoDB and serves their history",
    vars: config::VARS,
    configure: Config::read,
    commands: &[dlq::COMMAND],
};

fn main() -> ExitCode {
    host::main(&SERVICE, app::run)
}
