//! Who of a pipeline's workers and writers is there. In: their comings and goings. Out: whether all are,
//! and a word when that changes.
//!
//! A lane that comes back sooner than the writer it failed with would only fail again, at nobody's, and
//! spend its restarts on that. So nothing is sent on while somebody is missing.

use std::sync::Arc;

use tokio::sync::watch;

/// The parts of a pipeline that have to be there for records to pass.
pub(super) struct House {
    /// How many incarnations of each part are there: one that blocks its thread may be late to leave.
    parts: watch::Sender<Vec<usize>>,
}

impl House {
    /// One where nobody of so many is there yet.
    pub(super) fn of(parts: usize) -> Arc<Self> {
        let parts = watch::Sender::new(vec![0; parts]);
        Arc::new(Self { parts })
    }

    /// Who is there, and whenever that changes.
    pub(super) fn parts(&self) -> watch::Receiver<Vec<usize>> {
        self.parts.subscribe()
    }

    fn change(&self, part: usize, change: impl FnOnce(usize) -> usize) {
        self.parts.send_modify(|parts| {
            if let Some(incarnations) = parts.get_mut(part) {
                *incarnations = change(*incarnations);
            }
        });
    }
}

/// Whether nobody is missing.
pub(super) fn is_whole(parts: &[usize]) -> bool {
    !parts.contains(&0)
}

/// One incarnation of a part; it leaves when this is dropped, whatever it spawned and left running.
pub(super) struct Presence {
    house: Arc<House>,
    part: usize,
    here: bool,
}

impl Presence {
    /// Not there yet.
    pub(super) fn in_house(house: &Arc<House>, part: usize) -> Self {
        Self {
            house: Arc::clone(house),
            part,
            here: false,
        }
    }

    pub(super) fn come(&mut self) {
        if !std::mem::replace(&mut self.here, true) {
            self.house
                .change(self.part, |incarnations| incarnations + 1);
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if self.here {
            self.house
                .change(self.part, |incarnations| incarnations.saturating_sub(1));
        }
    }
}
