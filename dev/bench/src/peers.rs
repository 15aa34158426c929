//! The contestants that this program plays itself, each in a process of its own. In: a role; out:
//! that role, until it is killed (or, for the inserts, done).

pub(crate) mod insert;
mod noop;
mod plain;

use std::net::{Ipv4Addr, SocketAddr};

use crate::Failure;

/// Which contestant to be.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(clap::Subcommand)]
enum Role {
    /// The services' HTTP server with nothing behind it
    Noop {
        #[arg(long)]
        port: u16,
    },
    /// warp and rdkafka's `FutureProducer`, with none of our guarantees
    Plain(plain::Args),
    /// Unordered `insert_many`, with nothing before it
    Insert(insert::Args),
}

/// Plays the role.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match args.role {
            Role::Noop { port } => noop::serve(loopback(port)).await,
            Role::Plain(args) => plain::serve(args).await,
            Role::Insert(args) => insert::run(args).await,
        }
    })
}

/// No contestant listens anywhere else.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
