//! The stretch of time that a history is asked for. Pure.
//!
//! In: two optional moments. Out: whether they leave anything between them, and what of a cursor
//! they leave. Half-open: `since` is in it, `until` is not, so that neighbouring ranges share nothing.

use purchases::Timestamp;

/// Purchases from `since` on and before `until`; without either there is no bound on that side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Range {
    /// The first moment that is in it.
    pub since: Option<Timestamp>,
    /// The first moment that is not in it any more.
    pub until: Option<Timestamp>,
}

impl Range {
    /// The whole history.
    pub const WHOLE: Self = Self {
        since: None,
        until: None,
    };

    /// Whether nothing is left out.
    pub fn is_whole(&self) -> bool {
        *self == Self::WHOLE
    }

    /// Whether it ends before it begins, or at once: then it was not meant so.
    pub fn is_empty(&self) -> bool {
        matches!((self.since, self.until), (Some(since), Some(until)) if until <= since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_empty_unless_it_ends_after_its_beginning() {
        let at = |millis| Timestamp::from_millis(millis);
        let range = |since, until| Range { since, until };
        assert!(range(at(5), at(5)).is_empty() && range(at(5), at(4)).is_empty());
        assert!(!range(at(5), at(6)).is_empty());
        assert!(!range(at(5), None).is_empty() && !range(None, at(5)).is_empty());
        assert!(!Range::WHOLE.is_empty() && Range::WHOLE.is_whole());
        assert!(!range(None, at(5)).is_whole());
    }
}
