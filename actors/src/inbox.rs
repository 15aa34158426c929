//! What waits for a stage. In: messages, from anybody. Out: all that wait, at once, to the owner; and who has to
//! wake it.
//!
//! Messages do not go through ractor's mailbox, where each is boxed and costs the owner a look at four ports: one
//! wake-up there stands for as many as the owner finds.
//!
//! The locks come from `super::sync`, so that the model checker can compile this very file.

use std::collections::VecDeque;

use super::sync::{Mutex, lock};

/// How many bytes of room for messages are kept when they are handled.
const KEPT: usize = 64 * 1024;

pub(crate) struct Inbox<M> {
    inner: Mutex<Inner<M>>,
}

struct Inner<M> {
    waiting: VecDeque<M>,
    /// The owner looks here again, without being woken.
    awake: bool,
    closed: bool,
}

impl<M> Inbox<M> {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                waiting: VecDeque::new(),
                awake: false,
                closed: false,
            }),
        }
    }

    /// Puts a message down. True if the owner has to be woken; otherwise it looks here by itself, or somebody
    /// else wakes it.
    ///
    /// # Errors
    /// The message, if this is closed.
    pub(crate) fn put(&self, msg: M) -> Result<bool, M> {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return Err(msg);
        }
        inner.waiting.push_back(msg);
        Ok(!std::mem::replace(&mut inner.awake, true))
    }

    /// Puts all that wait into the owner's empty hand, whose room is used for those that come next. False if
    /// there is nothing: then the owner has to be woken for the next one.
    pub(crate) fn take(&self, hand: &mut VecDeque<M>) -> bool {
        if hand.capacity().saturating_mul(size_of::<M>()) > KEPT {
            *hand = VecDeque::new();
        }
        let mut inner = lock(&self.inner);
        inner.awake = !inner.waiting.is_empty();
        std::mem::swap(&mut inner.waiting, hand);
        inner.awake
    }

    /// Takes no more, and gives what waits.
    pub(crate) fn close(&self) -> VecDeque<M> {
        let mut inner = lock(&self.inner);
        inner.closed = true;
        std::mem::take(&mut inner.waiting)
    }
}
