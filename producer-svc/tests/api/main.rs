//! The service as its customers meet it: the whole tree behind a real port, on a log in memory.
//!
//! Nothing is stubbed: the log keeps what it is given, reports when it is told to, and can refuse,
//! fail and be away, as Kafka can.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod askers;
mod away;
mod buying;
mod catalog;
mod drain;
mod edge;
mod faults;
mod history;
mod hostile;
mod http;
mod in_its_place;
mod log_lines;
mod memory_log;
mod overload;
mod pages;
mod passed_on;
mod retry;
#[path = "../../../host/tests/serve/shapes.rs"]
mod shapes;
mod shop;
