//! Numbers in order, and what is known of each once it is settled. In: admitted numbers, settlements in
//! any order. Out: settlements in order, as far as there is no hole.
//!
//! Pure: imports neither tokio nor ractor, and knows no clock.

use std::collections::VecDeque;

use crate::{Epoch, TrackError};

#[derive(Clone, Debug)]
struct Entry<T> {
    seq: u64,
    /// Present once settled.
    settled: Option<T>,
}

/// The part of a lane that is under way in one epoch.
#[derive(Clone, Debug)]
pub(crate) struct Window<T> {
    epoch: Epoch,
    next: u64,
    /// Least number `admit` takes.
    open: u64,
    /// Rising by `seq`; the first one, if any, is not settled.
    entries: VecDeque<Entry<T>>,
    settled_ahead: usize,
}

impl<T> Window<T> {
    pub(crate) fn new(epoch: Epoch, next: u64) -> Self {
        Self {
            epoch,
            next,
            open: next,
            entries: VecDeque::new(),
            settled_ahead: 0,
        }
    }

    pub(crate) fn admit(&mut self, seq: u64) -> Result<(), TrackError> {
        if seq < self.open {
            return Err(TrackError::NotRising {
                seq,
                last: self.open,
            });
        }
        self.open = seq.checked_add(1).ok_or(TrackError::OutOfRange(seq))?;
        self.entries.push_back(Entry { seq, settled: None });
        Ok(())
    }

    /// Settles a number, and gives out what the prefix passes by that, in order. What is not taken comes back.
    pub(crate) fn settle(
        &mut self,
        seq: u64,
        epoch: Epoch,
        value: T,
        passed: &mut impl Extend<T>,
    ) -> Result<(), (TrackError, T)> {
        let at = match self.awaited(seq, epoch) {
            Ok(at) => at,
            Err(error) => return Err((error, value)),
        };
        self.entries[at].settled = Some(value);
        self.settled_ahead += 1;
        if at == 0 {
            passed.extend(std::iter::from_fn(|| self.pass()));
        }
        Ok(())
    }

    /// Where a number stands that is to be settled.
    fn awaited(&self, seq: u64, epoch: Epoch) -> Result<usize, TrackError> {
        if epoch != self.epoch {
            return Err(TrackError::Fenced {
                ours: self.epoch,
                theirs: epoch,
            });
        }
        if seq < self.next {
            return Err(TrackError::Twice(seq));
        }
        let at = self.position(seq).ok_or(TrackError::Unknown(seq))?;
        if self.entries[at].settled.is_some() {
            return Err(TrackError::Twice(seq));
        }
        Ok(at)
    }

    /// The first one, if it is settled.
    fn pass(&mut self) -> Option<T> {
        let first = self.entries.front_mut()?;
        let value = first.settled.take()?;
        self.next = first.seq + 1;
        self.settled_ahead -= 1;
        self.entries.pop_front();
        Some(value)
    }

    fn position(&self, seq: u64) -> Option<usize> {
        let first = self.entries.front()?.seq;
        // Numbers rise, so it stands there if there is no gap before it, and never behind that.
        let most = usize::try_from(seq.checked_sub(first)?).unwrap_or(usize::MAX);
        if self.entries.get(most).is_some_and(|entry| entry.seq == seq) {
            return Some(most);
        }
        self.entries
            .binary_search_by_key(&seq, |entry| entry.seq)
            .ok()
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn pending(&self) -> usize {
        self.entries.len() - self.settled_ahead
    }

    pub(crate) fn ahead(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }
}
