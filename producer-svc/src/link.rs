//! What is known about a dependency right now: the broker, the management service.
//!
//! In: reports of whoever talks to it. Out: its state, which any thread reads without waiting. It
//! asks nobody itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Never reached.
const NEVER: u64 = 0;
/// It answered last time.
const UP: u64 = 1;
// Every larger number: lost, that many milliseconds after the link was made, plus `LOST_AT`.
const LOST_AT: u64 = 2;

/// State of one dependency; clones share it.
#[derive(Clone, Debug)]
pub struct Link(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    made: Instant,
    state: AtomicU64,
}

/// What a report changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: it was known.
    None,
    /// Reached for the first time.
    First,
    /// Reached again.
    Back,
    /// Lost.
    Lost,
}

impl Default for Link {
    fn default() -> Self {
        Self(Arc::new(Inner {
            made: Instant::now(),
            state: AtomicU64::new(NEVER),
        }))
    }
}

impl Link {
    /// It answered.
    pub fn up(&self) -> Change {
        match self.0.state.swap(UP, Ordering::Relaxed) {
            NEVER => Change::First,
            UP => Change::None,
            _ => Change::Back,
        }
    }

    /// It did not. Before the first contact this changes nothing.
    pub fn down(&self) -> Change {
        let now = LOST_AT + self.0.made.elapsed().as_millis() as u64;
        match self
            .0
            .state
            .compare_exchange(UP, now, Ordering::Relaxed, Ordering::Relaxed)
        {
            Ok(_) => Change::Lost,
            Err(_) => Change::None,
        }
    }

    /// Whether it answered last time.
    pub fn is_up(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) == UP
    }

    /// Whether it ever answered.
    pub fn was_reached(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) != NEVER
    }

    /// Whether waiting for it is pointless: it was never reached, or is lost for longer than this.
    pub fn is_hopeless(&self, patience: Duration) -> bool {
        match self.0.state.load(Ordering::Relaxed) {
            NEVER => true,
            UP => false,
            lost => self.0.made.elapsed() > Duration::from_millis(lost - LOST_AT) + patience,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once() {
        let link = Link::default();
        assert_eq!(link.down(), Change::None, "it was never up");
        assert!(!link.was_reached());
        assert_eq!(link.up(), Change::First);
        assert_eq!(link.up(), Change::None);
        assert_eq!(link.down(), Change::Lost);
        assert!(link.was_reached() && !link.is_up());
        assert_eq!(link.down(), Change::None);
        assert_eq!(link.up(), Change::Back);
    }

    #[test]
    fn there_is_hope_while_it_is_up_or_lost_only_a_moment_ago() {
        let link = Link::default();
        assert!(link.is_hopeless(Duration::MAX / 2), "never reached");
        link.up();
        assert!(!link.is_hopeless(Duration::ZERO));
        link.down();
        assert!(!link.is_hopeless(Duration::from_secs(3600)));
        let deadline = Instant::now() + Duration::from_secs(5);
        while !link.is_hopeless(Duration::ZERO) {
            assert!(Instant::now() < deadline, "a lost link stays hopeful");
            std::thread::yield_now();
        }
    }
}
