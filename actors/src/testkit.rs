//! For tests of stages and pipelines, this crate's own among them (feature `testkit`).
//!
//! In: stages under test. Out: what they did, and faults where they should be. Nothing in here
//! sleeps in real time: with tokio's paused clock (`#[tokio::test(start_paused = true)]`) time is
//! virtual, everything in the crate follows it, and it moves only when nothing else can.

mod faults;
mod memory;
mod probe;
mod settlements;

use std::time::Duration;

pub use faults::{Callback, Fault, Faults, Faulty};
pub use memory::{MemoryLane, MemorySink, MemorySource, Ran, run_pipeline};
pub use probe::{Probe, ProbeStage};
pub use settlements::Settlements;

use crate::{Addr, Children, Pipeline};

/// Kills the actor that lives at the address, as an outsider would: not through its supervisor.
/// False if nobody lives there.
pub fn kill<M: Send + 'static>(addr: &Addr<M>) -> bool {
    let live = addr.live();
    if let Some(live) = &live {
        live.actor.kill();
    }
    live.is_some()
}

/// Kills a dynamic supervisor as an outsider would. False if it does not run.
pub fn kill_supervisor(children: &Children) -> bool {
    children.kill_supervisor()
}

/// Has a dynamic supervisor panic in its own work, as a defect in it would. False if it does not run.
pub fn panic_supervisor(children: &Children) -> bool {
    children.panic_supervisor()
}

/// Kills a part of a pipeline as an outsider would: `work-0`, `write-1`, or `lanes/7`. False if it is
/// not there.
pub fn kill_part<I, N>(pipeline: &Pipeline<I, N>, id: &str) -> bool
where
    I: Send + Sync + 'static,
    N: Send + 'static,
{
    pipeline.kill_part(id)
}

/// Records of a pipeline that were sent on and whose receipts nobody settled yet, and how often a
/// record was settled that was settled before: always 0, if nothing is wrong with the pipeline.
pub fn unsettled_and_twice<I, N>(pipeline: &Pipeline<I, N>) -> (u64, u64)
where
    I: Send + Sync + 'static,
    N: Send + 'static,
{
    pipeline.tally()
}

/// Waits until a condition holds.
///
/// # Panics
/// With `what`, if it does not hold within ten seconds of the runtime's clock.
pub async fn until(what: &str, holds: impl FnMut() -> bool) {
    until_within(Duration::from_secs(10), what, holds).await;
}

/// The same with a limit of its own.
///
/// # Panics
/// With `what`, if it does not hold within the limit.
pub async fn until_within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + limit;
    while !holds() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "waited in vain until {what}"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
