//! A real broker and a durable database on this machine, for tests, benches and the demo.
//!
//! In: a directory (or a temporary one) and a few wishes. Out: a running [`Stack`] with
//! addresses, topics, and a handle on each part to stop, kill, freeze and restart it or to put
//! faults on its connections. What the machine lacks is installed once into a cache outside the
//! checkout. Addresses given in the environment (`KAFKA_BOOTSTRAP_SERVERS`, `MONGODB_URI`) are
//! used as they are.
//!
//! It must not depend on a Kafka or MongoDB client library: the command runner builds this crate
//! first on a machine where the system packages for those are still missing.

mod broker;
mod cache;
mod database;
mod error;
pub mod install;
mod layout;
mod part;
mod port;
pub mod process;
mod progress;
mod proxy;
mod secured;
mod stack;
#[cfg(test)]
mod tests;
mod wait;
mod wire;

pub use cache::{cache_dir, exclusively};
pub use error::StackError;
pub use install::Given;
pub use part::Part;
pub use port::{free_port, is_free, reserve};
pub use progress::{Notice, Progress};
pub use proxy::{Fault, Proxy};
pub use secured::{Listener, Secured};
pub use stack::{Builder, Stack};
pub use wait::wait_until;
