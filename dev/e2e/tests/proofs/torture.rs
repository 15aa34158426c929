//! Half a minute of everything at once: purchases while consumers, producers, broker and database are
//! killed, frozen, cut off and rebalanced. `cargo xtask torture` does it for longer.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use torture::Campaign;
use torture::plan::Shape;

/// The seed of every run that is not told another one.
const SEED: u64 = 1;
const SECONDS: u64 = 36;
/// What debug binaries do with ease on two cores that they share with everything else.
const PER_SECOND: u32 = 800;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_minute_of_every_fault_at_once_loses_doubles_and_invents_nothing() {
    let seed = match std::env::var("TORTURE_SEED").as_deref() {
        Err(_) => SEED,
        Ok("random") => RandomState::new().hash_one(()) % 1_000_000_000,
        Ok(seed) => seed.parse().expect("TORTURE_SEED is a number or `random`"),
    };
    let campaign = Campaign {
        seed,
        purchases: SECONDS as usize * PER_SECOND as usize,
        at_least: SECONDS as usize * PER_SECOND as usize / 20,
        per_second: PER_SECOND,
        at_most: Duration::from_secs(SECONDS),
        shape: Shape {
            consumers: 2,
            producers: 2,
            brokers: 1,
        },
        again: format!("cargo xtask test --only e2e --torture-seed {seed} half_a_minute"),
    };
    println!("{}", campaign.run(|line| println!("{line}")).await);
}
