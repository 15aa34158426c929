//! Pure: where a reader stands in its partition, and where its client does.
//!
//! In: the offset to begin with, and those of the records that come. Out: which of them are to be read, and
//! when the client has to be set to where the reader stands. The client goes elsewhere by itself: where its
//! question for the first offset of the log was still under way when it was set to another, it follows the late
//! answer nevertheless, and whatever it brings then was read before or is not for this group.

/// So many times in a row it is brought back; where it still goes away something else is wrong.
const TIMES: u32 = 5;

/// Nothing is known of it until it begins.
#[derive(Debug, Default)]
pub(super) struct Place {
    next: Option<u64>,
    /// Whether the client stands elsewhere.
    astray: bool,
    times: u32,
}

impl Place {
    /// Reading begins at `next`, where the client stands or not.
    pub(super) fn begin(&mut self, next: u64, stands: bool) {
        *self = Self {
            next: Some(next),
            astray: !stands,
            times: 0,
        };
    }

    /// Where the client has to be set to before anything is read.
    pub(super) fn is_elsewhere(&self) -> Option<u64> {
        self.next.filter(|_| self.astray)
    }

    /// The client stands there now.
    pub(super) fn found(&mut self) {
        self.astray = false;
    }

    /// Whether a record is not to be read.
    pub(super) fn is_below(&self, offset: u64) -> bool {
        self.next.is_none_or(|next| offset < next)
    }

    /// One of those came: the client has to be set again, to the offset that this answers.
    ///
    /// # Errors
    /// The same, once too often.
    pub(super) fn strayed(&mut self) -> Result<u64, u64> {
        self.astray = true;
        self.times += 1;
        let next = self.next.unwrap_or_default();
        if self.times > TIMES {
            Err(next)
        } else {
            Ok(next)
        }
    }

    /// A record was read.
    pub(super) fn passed(&mut self, offset: u64) {
        (self.next, self.times) = (Some(offset + 1), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below_is_not_read_until_the_client_stands_there_again() {
        let mut place = Place::default();
        assert_eq!(place.is_elsewhere(), None);
        place.begin(7, false);
        assert_eq!(place.is_elsewhere(), Some(7));
        place.found();
        assert_eq!(place.is_elsewhere(), None);
        assert!(place.is_below(0) && place.is_below(6));
        assert_eq!(place.strayed(), Ok(7));
        assert_eq!(place.is_elsewhere(), Some(7));
        place.found();
        // Offsets may be missing, and one that was not taken after all is still the next one.
        assert!(!place.is_below(9) && !place.is_below(7));
        place.passed(9);
        assert!(place.is_below(9) && !place.is_below(10));
    }

    #[test]
    fn a_client_that_goes_away_every_time_is_not_brought_back_for_ever() {
        let mut place = Place::default();
        place.begin(3, true);
        for _ in 0..TIMES {
            assert_eq!(place.strayed(), Ok(3));
        }
        assert_eq!(place.strayed(), Err(3));
        place.passed(3);
        assert_eq!(place.strayed(), Ok(4));
    }
}
