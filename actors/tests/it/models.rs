//! Random lives of whole trees and pipelines, on real actors and a virtual clock, against what must
//! always hold: nothing settled twice, nothing unsettled after a drain, credits conserved, no orphan,
//! order per key, restart counts exact.

mod flows;
mod trees;

use actors::testkit::{Callback, Fault};
use proptest::prelude::*;
use proptest::strategy::Strategy as Random;

use crate::support::SECOND;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn virtual_time<F: Future<Output = ()>>(life: F) {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(life);
}

/// What goes wrong where, and at which call.
type Plan = Vec<(Callback, u64, Fault)>;

fn plan(
    callbacks: &'static [Callback],
    hangs: &'static [Fault],
    most: usize,
) -> impl Random<Value = Plan> {
    let callback = prop::sample::select(callbacks);
    let fault = prop_oneof![
        Just(Fault::Panic),
        Just(Fault::Error),
        Just(Fault::Slow(SECOND)),
        prop::sample::select(hangs),
    ];
    proptest::collection::vec((callback, 2..30u64, fault), 0..most)
}
