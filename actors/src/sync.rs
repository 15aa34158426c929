//! Locks that outlive a panic. In: a mutex. Out: its guard, poisoned or not.
//!
//! Every lock of this crate guards a few plain assignments and calls nobody else's code while held,
//! so a poisoned one still holds a sound value.

pub(crate) use std::sync::Mutex;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{MutexGuard, PoisonError};

/// Locks, whatever happened to earlier holders.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
