//! The process around a service: configuration from the environment, logs,
//! metrics, signals, readiness, the admin port and the HTTP accept loop.
//!
//! In: a service's table of variables and its `run` function. Out: a process that
//! starts, reports and stops the way its operator expects. It knows no purchase,
//! no Kafka client, no database, and no actor.

pub mod admin;
pub mod env;
pub mod exit;
mod files;
pub mod frame;
mod healthcheck;
pub mod kafka;
pub mod levels;
pub mod metrics;
mod panics;
pub mod problem;
pub mod readiness;
pub mod serve;
pub mod signal;
pub mod span;
pub mod telemetry;
pub mod trace;
pub mod web;

pub use frame::{Process, Service, main};
