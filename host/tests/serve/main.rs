//! The accept loop against real sockets: limits, drain, deadline, and hostile clients.

mod bodies;
mod client;
mod drain;
mod hostile;
mod limits;
mod origins;
mod shapes;
mod tls;
