//! Pure: whether the client of a membership is of no use any more.
//!
//! In: whether it is silent, and whether a broker answers others. Out: whether another one should take its
//! place. A client is not given up for as long as its broker is away: it is a member still when the broker is
//! back, where another one would have to wait for the end of its session. And when the broker is back it has
//! the time to find out.

use std::time::{Duration, Instant};

use crate::kafka::REACHES_WITHIN;

/// From one question to others to the next.
const ASK_EVERY: Duration = Duration::from_secs(3);

/// What speaks against one client.
pub(super) struct Doubt {
    asked: Option<Instant>,
    /// Since when others are answered and this one is not.
    alone: Option<Instant>,
}

impl Doubt {
    pub(super) fn none() -> Self {
        let (asked, alone) = (None, None);
        Self { asked, alone }
    }

    /// Whether it has been silent for too long while others were answered, which is asked now and then.
    pub(super) fn is_certain(
        &mut self,
        silent: bool,
        others: impl FnOnce() -> bool,
        now: Instant,
    ) -> bool {
        if !silent {
            *self = Self::none();
            return false;
        }
        let due = |asked| now.saturating_duration_since(asked) >= ASK_EVERY;
        if !self.asked.is_none_or(due) {
            return false;
        }
        self.asked = Some(now);
        if !others() {
            self.alone = None;
            return false;
        }
        let alone = *self.alone.get_or_insert(now);
        now.saturating_duration_since(alone) >= REACHES_WITHIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Second by second: whether it is silent, and whether others are answered. Tells when it is certain.
    fn certain_after(seconds: impl IntoIterator<Item = (bool, bool)>) -> Option<usize> {
        let (mut doubt, began) = (Doubt::none(), Instant::now());
        seconds
            .into_iter()
            .zip(0..)
            .position(|((silent, others), second)| {
                let now = began + Duration::from_secs(second);
                doubt.is_certain(silent, || others, now)
            })
    }

    fn times(count: usize, one: (bool, bool)) -> impl Iterator<Item = (bool, bool)> + Clone {
        std::iter::repeat_n(one, count)
    }

    const ALONE: (bool, bool) = (true, true);
    const ALL_AWAY: (bool, bool) = (true, false);
    const WELL: (bool, bool) = (false, true);

    #[test]
    fn a_client_that_stays_silent_while_others_are_answered_is_given_up() {
        let after = certain_after(times(60, ALONE)).unwrap();
        assert!((10..15).contains(&after), "{after}");
    }

    #[test]
    fn a_client_whose_broker_was_away_for_an_hour_is_kept_and_has_time_to_find_it_again() {
        let hour = times(3_600, ALL_AWAY);
        assert_eq!(certain_after(hour.clone()), None);
        let found = hour.clone().chain(times(8, ALONE)).chain(times(60, WELL));
        assert_eq!(certain_after(found), None);
        let not_found = hour.chain(times(60, ALONE));
        assert!(certain_after(not_found).is_some_and(|after| after >= 3_609));
    }

    #[test]
    fn a_sign_of_life_ends_the_doubt() {
        let turn = times(9, ALONE).chain(times(1, WELL));
        assert_eq!(certain_after(turn.cycle().take(600)), None);
    }

    #[test]
    fn others_are_asked_now_and_then() {
        let (mut doubt, began, mut asked) = (Doubt::none(), Instant::now(), 0);
        for tenth in 0..600 {
            let now = began + Duration::from_millis(100) * tenth;
            let others = || {
                asked += 1;
                false
            };
            assert!(!doubt.is_certain(true, others, now));
        }
        assert_eq!(asked, 20);
    }
}
