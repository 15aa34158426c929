//! The one word about an end. In: what is known of it, and the moments at which it may have to be told.
//! Out: the word, once.
//!
//! The locks come from `super::sync`, so that the model checker can compile this very file.

use super::sync::{AtomicBool, Mutex, Ordering, lock};

/// What is said of an end, and whether it was.
pub(crate) struct Word<E> {
    exit: Mutex<Option<E>>,
    said: AtomicBool,
}

impl<E> Default for Word<E> {
    fn default() -> Self {
        Self {
            exit: Mutex::new(None),
            said: AtomicBool::new(false),
        }
    }
}

impl<E> Word<E> {
    /// Notes how it ended. The first note stands: what follows from an end is not its cause.
    pub(crate) fn note(&self, exit: E) {
        lock(&self.exit).get_or_insert(exit);
    }

    /// What was noted and not said so far.
    pub(crate) fn noted(&self) -> Option<E>
    where
        E: Clone,
    {
        lock(&self.exit).clone()
    }

    /// The word, if it was not said before: what was noted, or else what is told here.
    pub(crate) fn say(&self, otherwise: impl FnOnce() -> E) -> Option<E> {
        let first = !self.said.swap(true, Ordering::AcqRel);
        first.then(|| lock(&self.exit).take().unwrap_or_else(otherwise))
    }
}
