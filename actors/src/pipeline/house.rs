//! Who of a pipeline's workers and writers is there. In: their comings and goings. Out: whether all are,
//! and a word when that changes.
//!
//! A lane that comes back sooner than the writer it failed with would only fail again, at nobody's, and
//! spend its restarts on that. So nothing is sent on while somebody is missing.

use std::sync::Arc;

use tokio::sync::watch;

/// The parts of a pipeline that have to be there for records to pass.
pub(super) struct House {
    missing: watch::Sender<usize>,
}

impl House {
    /// One where nobody of so many is there yet.
    pub(super) fn of(parts: usize) -> Arc<Self> {
        let missing = watch::Sender::new(parts);
        Arc::new(Self { missing })
    }

    /// How many are missing, and whenever that changes.
    pub(super) fn missing(&self) -> watch::Receiver<usize> {
        self.missing.subscribe()
    }
}

/// One incarnation of a part; it leaves when this is dropped, whatever it spawned and left running.
pub(super) struct Presence {
    house: Arc<House>,
    here: bool,
}

impl Presence {
    /// Not there yet.
    pub(super) fn in_house(house: &Arc<House>) -> Self {
        Self {
            house: Arc::clone(house),
            here: false,
        }
    }

    pub(super) fn come(&mut self) {
        if !std::mem::replace(&mut self.here, true) {
            self.house.missing.send_modify(|missing| *missing -= 1);
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if self.here {
            self.house.missing.send_modify(|missing| *missing += 1);
        }
    }
}
