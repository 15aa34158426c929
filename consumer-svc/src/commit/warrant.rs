//! The right to hand one commit to the client, which can be taken back until it is used. Pure.
//!
//! The broker does not ask who owns a partition: whoever is a member in the present generation may
//! commit any. A commit that was handed over before its partition is given back is sent in the generation
//! of that time, or of none: it is refused if that is over. One that is handed over afterwards, by a thread
//! that got no turn for so long, would carry the generation in which the partition is another's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// For one commit. Clones are one thing.
#[derive(Clone, Debug, Default)]
pub struct Warrant(Arc<AtomicBool>);

impl Warrant {
    /// Uses it. False if it was used or withdrawn: then nothing may be handed over.
    #[must_use]
    pub fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// Takes it back. Answers whether that was in time; else the commit is the client's already.
    pub(super) fn withdraw(&self) -> bool {
        self.take()
    }
}
