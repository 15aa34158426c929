//! Whether the broker lets this service write, as far as that is known.
//!
//! In: refusals, and probes that went well. Out: when to try again, and whether a good probe may be
//! believed. It knows no client library. A broker can answer every question about the topic and yet
//! refuse the first write, so after a refusal one good probe says nothing: the refusal of the new
//! client may be on its way.

use std::time::Duration;

use actors::{Backoff, Pace};

/// A permission is granted by a person; half a minute of not noticing is long, two attempts a second
/// by every replica are many.
const AGAIN: Backoff = Backoff {
    min: Duration::from_millis(500),
    max: Duration::from_secs(10),
    jitter: 0.2,
    reset_after: Duration::ZERO,
};
/// Good probes of one client in a row until it counts as let in.
const ENOUGH: u32 = 2;

pub(super) struct Admission {
    pace: Pace,
    /// How many good probes are missing.
    doubts: u32,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            pace: AGAIN.pace(),
            doubts: 0,
        }
    }
}

impl Admission {
    /// The client was refused for good; when to try with another.
    pub(super) fn refused(&mut self) -> Duration {
        self.doubts = ENOUGH;
        self.pace.next().unwrap_or(AGAIN.max)
    }

    /// A probe of the present client went well. Whether that ends a refusal, if there is nothing more
    /// to doubt; `None` while there is.
    pub(super) fn good(&mut self) -> Option<bool> {
        let doubted = self.doubts > 0;
        self.doubts = self.doubts.saturating_sub(1);
        if self.doubts > 0 {
            return None;
        }
        self.pace.reset();
        Some(doubted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_good_probe_is_believed_unless_there_was_a_refusal() {
        let mut admission = Admission::default();
        assert_eq!(admission.good(), Some(false));
        let first = admission.refused();
        assert_eq!(admission.good(), None);
        let second = admission.refused();
        assert!(second > first, "{first:?} {second:?}");
        assert_eq!(admission.good(), None);
        assert_eq!(admission.good(), Some(true));
        assert_eq!(admission.good(), Some(false));
        assert!(admission.refused() <= AGAIN.min);
    }
}
