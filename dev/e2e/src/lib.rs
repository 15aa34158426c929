//! Support for the proofs under `tests/`: the whole shop as processes, load over real HTTP
//! connections, and independent witnesses of what the broker and the database hold.
//!
//! In: the services' binaries and a stack. Out: facts to be asserted. It trusts no service: what
//! is in the topic is read from the topic, what is stored from the collection, what is committed
//! from the broker. A witness that cannot testify panics with the reason, which fails the proof.

pub mod answer;
pub mod bins;
pub mod check;
pub mod collector;
pub mod commits;
pub mod documents;
pub mod failing;
pub mod fenced;
pub mod ground;
pub mod http;
pub mod invariants;
pub mod load;
pub mod memory;
pub mod open_files;
pub mod permissions;
pub mod reading;
pub mod records;
pub mod recount;
pub mod service;
pub mod shop;
pub mod topic;
pub mod trial;
mod wait;
pub mod wrongs;

pub use wait::{until, until_text};
