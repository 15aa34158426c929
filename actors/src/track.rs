//! Out-of-order completions of one lane in one epoch. In: admitted and settled numbers. Out: how far
//! everything is settled without a hole.
//!
//! Pure: imports neither tokio nor ractor, and knows no clock.

use thiserror::Error;

use crate::Epoch;
use crate::window::Window;

/// Why a number was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TrackError {
    /// The settlement belongs to another generation: harmless, to be counted.
    #[error("settled under epoch {theirs}, the lane is in {ours}")]
    Fenced {
        /// Epoch the tracker is in.
        ours: Epoch,
        /// Epoch the settlement came with.
        theirs: Epoch,
    },
    /// Never admitted.
    #[error("sequence {0} was never admitted")]
    Unknown(u64),
    /// Settled before, or behind the prefix.
    #[error("sequence {0} is settled already")]
    Twice(u64),
    /// Admitted numbers have to rise.
    #[error("sequence {seq} is below {last}, the least that may come now")]
    NotRising {
        /// The number refused.
        seq: u64,
        /// The least number that would have been taken.
        last: u64,
    },
    /// The greatest number there is: no position comes after it.
    #[error("sequence {0} has no position after it")]
    OutOfRange(u64),
}

/// Moves over the contiguous prefix only: [`next`](Self::next) never passes a number that was
/// admitted and is not settled.
///
/// ```
/// use actors::{Epoch, Tracker};
/// let epoch = Epoch::next();
/// let mut lane = Tracker::new(epoch, 10);
/// for seq in [10, 11, 15] {
///     lane.admit(seq)?;
/// }
/// lane.settle(11, epoch)?;
/// assert_eq!(lane.next(), 10);
/// lane.settle(10, epoch)?;
/// assert_eq!(lane.next(), 12);
/// # Ok::<(), actors::TrackError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tracker {
    window: Window<()>,
}

impl Tracker {
    /// A lane whose next unread number is `next`.
    pub fn new(epoch: Epoch, next: u64) -> Self {
        Self {
            window: Window::new(epoch, next),
        }
    }

    /// Takes a number into the lane. Numbers rise; gaps are allowed (deleted or filtered records).
    ///
    /// # Errors
    /// [`TrackError::NotRising`], or [`TrackError::OutOfRange`] for `u64::MAX`.
    pub fn admit(&mut self, seq: u64) -> Result<(), TrackError> {
        self.window.admit(seq)
    }

    /// Marks a number as done and moves the prefix as far as it goes.
    ///
    /// # Errors
    /// [`TrackError::Fenced`], [`TrackError::Unknown`] or [`TrackError::Twice`]; the tracker is then as
    /// it was.
    pub fn settle(&mut self, seq: u64, epoch: Epoch) -> Result<(), TrackError> {
        let settled = self.window.settle(seq, epoch, (), &mut ());
        settled.map_err(|(error, ())| error)
    }

    /// The position to commit: one past the last number of the settled prefix.
    pub fn next(&self) -> u64 {
        self.window.next()
    }

    /// How many numbers are admitted and not settled.
    pub fn pending(&self) -> usize {
        self.window.pending()
    }

    /// How many numbers the prefix has not passed: those not settled, and those settled before their
    /// turn. It is what the lane keeps in memory.
    pub fn ahead(&self) -> usize {
        self.window.ahead()
    }

    /// The generation settlements have to carry.
    pub fn epoch(&self) -> Epoch {
        self.window.epoch()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane() -> (Tracker, Epoch) {
        let epoch = Epoch::next();
        (Tracker::new(epoch, 100), epoch)
    }

    #[test]
    fn the_prefix_waits_for_its_oldest_number() {
        let (mut lane, epoch) = lane();
        for seq in [100, 101, 105] {
            lane.admit(seq).unwrap();
        }
        lane.settle(105, epoch).unwrap();
        lane.settle(101, epoch).unwrap();
        assert_eq!((lane.next(), lane.pending()), (100, 1));
        assert_eq!(lane.ahead(), 3);
        lane.settle(100, epoch).unwrap();
        assert_eq!((lane.next(), lane.pending()), (106, 0));
        assert_eq!(lane.ahead(), 0);
    }

    #[test]
    fn a_number_without_a_position_after_it_is_refused_and_changes_nothing() {
        let (mut lane, epoch) = lane();
        let out_of_range = TrackError::OutOfRange(u64::MAX);
        assert_eq!(lane.admit(u64::MAX), Err(out_of_range));
        assert_eq!((lane.next(), lane.pending()), (100, 0));
        lane.admit(u64::MAX - 1).unwrap();
        lane.settle(u64::MAX - 1, epoch).unwrap();
        assert_eq!(lane.next(), u64::MAX);
    }

    #[test]
    fn a_settlement_of_another_epoch_is_fenced() {
        let (mut lane, ours) = lane();
        lane.admit(100).unwrap();
        let theirs = Epoch::next();
        assert_eq!(
            lane.settle(100, theirs),
            Err(TrackError::Fenced { ours, theirs })
        );
        assert_eq!(lane.next(), 100);
    }

    #[test]
    fn what_is_unknown_or_settled_is_named() {
        let (mut lane, epoch) = lane();
        lane.admit(100).unwrap();
        lane.admit(102).unwrap();
        assert_eq!(lane.settle(101, epoch), Err(TrackError::Unknown(101)));
        lane.settle(102, epoch).unwrap();
        assert_eq!(lane.settle(102, epoch), Err(TrackError::Twice(102)));
        lane.settle(100, epoch).unwrap();
        assert_eq!(lane.settle(100, epoch), Err(TrackError::Twice(100)));
        assert_eq!(
            lane.admit(102),
            Err(TrackError::NotRising {
                seq: 102,
                last: 103
            })
        );
    }
}
