//! Generations. In: nothing. Out: numbers that only rise.
//!
//! Pure: imports neither tokio nor ractor.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// One counter for the whole process, so that two generations are never equal, whatever they belong to.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Generation of a child or of an assignment; strictly increasing within the process.
///
/// What was started under an older epoch is recognised by it and fenced: a late settlement of a
/// partition that was lost and won again carries the old number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Epoch(u64);

impl Epoch {
    /// A generation newer than every one handed out before.
    pub fn next() -> Self {
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The bare number, for logs and labels.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_rise_across_threads_and_never_repeat() {
        let mut all: Vec<Epoch> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1000).map(|_| Epoch::next()).collect::<Vec<_>>()))
                .collect();
            workers
                .into_iter()
                .flat_map(|worker| {
                    let epochs = worker.join().unwrap();
                    assert!(epochs.is_sorted_by(|a, b| a < b));
                    epochs
                })
                .collect()
        });
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 4000);
    }
}
