//! The crate as its users see it, through public names only.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod batching;
mod children;
mod draining;
mod lanes;
mod metrics;
mod models;
mod panics;
mod pipelines;
mod restarting;
mod stage;
mod starting;
mod support;
mod watching;
