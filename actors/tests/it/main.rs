//! The crate as its users see it, through public names only.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod batching;
mod behind;
mod blocking;
mod bursts;
mod children;
mod closing;
mod draining;
mod ending;
mod flushing;
mod homing;
mod lanes;
mod limits;
mod metrics;
mod misuse;
mod models;
mod nested;
mod panics;
mod pipelines;
mod poison;
mod restarting;
mod roles;
mod stage;
mod starting;
mod stuck;
mod supervisors;
mod support;
mod unusable;
mod watching;
