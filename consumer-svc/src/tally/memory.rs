//! Tallies in memory, for tests: the port with the rules of the real one, and with outages.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::{Tally, TallyError, TallyStore};

/// One database for any number of owners.
pub(crate) struct MemoryTallies {
    saved: Mutex<BTreeMap<i32, Tally>>,
    /// Every save that took effect, in order.
    log: Mutex<Vec<(i32, u64)>>,
    down: Mutex<bool>,
    /// What is wrong with the documents, if anything is.
    garbled: Mutex<Option<&'static str>>,
    /// Loads and saves need one of these and give it back: without any, they hang.
    open: Semaphore,
}

impl Default for MemoryTallies {
    fn default() -> Self {
        Self {
            saved: Mutex::default(),
            log: Mutex::default(),
            down: Mutex::default(),
            garbled: Mutex::default(),
            open: Semaphore::new(1),
        }
    }
}

impl MemoryTallies {
    pub(crate) fn set_down(&self, down: bool) {
        *self.down.lock().unwrap_or_else(PoisonError::into_inner) = down;
    }

    /// What is saved cannot be read any more, for this reason.
    pub(crate) fn garble(&self, reason: Option<&'static str>) {
        *self.garbled.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// Everything from now on waits until [`thaw`](Self::thaw).
    pub(crate) async fn freeze(&self) {
        self.open.acquire().await.expect("never closed").forget();
    }

    pub(crate) fn thaw(&self) {
        self.open.add_permits(1);
    }

    pub(crate) fn get(&self, partition: i32) -> Option<Tally> {
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        saved.get(&partition).cloned()
    }

    /// Another owner has saved this meanwhile.
    pub(crate) fn put(&self, partition: i32, tally: Tally) {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        saved.insert(partition, tally);
    }

    pub(crate) fn log(&self) -> Vec<(i32, u64)> {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn answers(&self) -> Result<(), TallyError> {
        let _open = self.open.acquire().await.expect("never closed");
        if *self.down.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(TallyError::Unavailable("down".to_owned()));
        }
        Ok(())
    }
}

impl TallyStore for MemoryTallies {
    async fn load(&self, partition: i32) -> Result<Option<Tally>, TallyError> {
        self.answers().await?;
        match *self.garbled.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(reason) => Err(TallyError::Malformed(reason.to_owned())),
            None => Ok(self.get(partition)),
        }
    }

    async fn save(&self, partition: i32, tally: &Tally) -> Result<(), TallyError> {
        self.answers().await?;
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let (there, ours) = (saved.get(&partition).map(Tally::reach), tally.reach());
        match there {
            Some(theirs) if theirs.covers(&ours) => return Ok(()),
            Some(theirs) if !ours.covers(&theirs) => {
                return Err(TallyError::Overtaken { theirs, ours });
            }
            _ => {}
        }
        saved.insert(partition, tally.clone());
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push((partition, tally.upto()));
        Ok(())
    }

    async fn all(&self) -> Result<Vec<(i32, Tally)>, TallyError> {
        self.answers().await?;
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let all = saved.iter();
        Ok(all
            .map(|(partition, tally)| (*partition, tally.clone()))
            .collect())
    }
}
