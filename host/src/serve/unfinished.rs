//! Bytes of what is not here as a whole: heads, bodies, handshakes.
//!
//! In: from each connection's socket, what came and when it has to wait for more; from its service, when a
//! request is whole. Out: who takes too much. Time limits alone would let every connection hold the
//! largest head and body for seconds, all at once. A request that came in one go, as nearly all do, is
//! counted by nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What a connection may always keep. No honest purchase is longer.
pub(super) const SMALL: usize = 4 * 1024;

/// All connections of a server.
#[derive(Debug)]
pub(super) struct Unfinished {
    bytes: AtomicUsize,
    limit: usize,
}

impl Unfinished {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes: AtomicUsize::new(0),
            limit,
        })
    }
}

/// One connection's part of it. Only its own task writes here.
#[derive(Debug)]
pub(super) struct Part {
    all: Arc<Unfinished>,
    /// Came since the last whole request.
    came: AtomicUsize,
    /// Of these, told to all.
    told: AtomicUsize,
    too_much: AtomicBool,
}

impl Part {
    pub(super) fn of(all: &Arc<Unfinished>) -> Self {
        Self {
            all: Arc::clone(all),
            came: AtomicUsize::new(0),
            told: AtomicUsize::new(0),
            too_much: AtomicBool::new(false),
        }
    }

    /// Bytes came.
    pub(super) fn came(&self, count: usize) {
        let before = self.came.load(Ordering::Relaxed);
        self.came.store(before + count, Ordering::Relaxed);
    }

    /// There are no more for now. Where all together have too many, whoever adds to them goes, unless
    /// he has little himself.
    pub(super) fn waits(&self) {
        let (came, told) = (
            self.came.load(Ordering::Relaxed),
            self.told.load(Ordering::Relaxed),
        );
        let more = came.saturating_sub(told);
        if more == 0 {
            return;
        }
        let together = self.all.bytes.fetch_add(more, Ordering::Relaxed) + more;
        self.told.store(came, Ordering::Relaxed);
        if together > self.all.limit && came > SMALL {
            self.too_much.store(true, Ordering::Relaxed);
        }
    }

    /// What came is whole, or is of no interest any more.
    pub(super) fn whole(&self) {
        self.came.store(0, Ordering::Relaxed);
        let told = self.told.load(Ordering::Relaxed);
        if told > 0 {
            self.all.bytes.fetch_sub(told, Ordering::Relaxed);
            self.told.store(0, Ordering::Relaxed);
            self.too_much.store(false, Ordering::Relaxed);
        }
    }

    pub(super) fn is_too_much(&self) -> bool {
        self.too_much.load(Ordering::Relaxed)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.whole();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_one_go_is_not_counted_and_what_is_waited_for_is_until_it_is_whole() {
        let all = Unfinished::new(10 * SMALL);
        let part = Part::of(&all);
        part.came(SMALL);
        part.whole();
        part.waits();
        assert_eq!(all.bytes.load(Ordering::Relaxed), 0);
        part.came(100);
        part.waits();
        part.came(20);
        part.waits();
        part.waits();
        assert_eq!(all.bytes.load(Ordering::Relaxed), 120);
        part.whole();
        assert_eq!(all.bytes.load(Ordering::Relaxed), 0);
        part.came(70);
        part.waits();
        drop(part);
        assert_eq!(all.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn beyond_the_limit_who_has_much_goes_and_who_has_little_stays() {
        let all = Unfinished::new(2 * SMALL);
        let parts: Vec<Part> = (0..4).map(|_| Part::of(&all)).collect();
        for (part, count) in parts.iter().zip([SMALL + 1, SMALL - 1, SMALL, SMALL + 1]) {
            part.came(count);
            part.waits();
        }
        let told: Vec<bool> = parts.iter().map(Part::is_too_much).collect();
        assert_eq!(told, [false, false, false, true]);
        drop(parts);
        assert_eq!(all.bytes.load(Ordering::Relaxed), 0);
    }
}
