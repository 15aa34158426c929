//! Progress. In: how much was done and whether there is more. Out: that nothing moved for too long.
//!
//! Pure: imports neither tokio nor ractor; time is passed in.

use std::fmt;
use std::time::{Duration, Instant};

use crate::Pulse;

/// When a child counts as stalled: work is pending and nothing was done for a while. It is then
/// killed, and that is a failure like any other: restart, and escalation if it happens too often.
///
/// A stall takes its time, and a long `quiet` would keep stalls from ever meeting in the window of
/// [`Intensity`](crate::Intensity). So those of one child are also counted in a window of their own,
/// longer by twice `quiet` and the longest [`Backoff`](crate::Backoff) for each restart that is
/// allowed: a child that does nothing but stall makes its supervisor give up, however long `quiet` is.
///
/// Pending are messages in the mailbox, the one in hand and owned tasks; done is a message handled.
/// With [`pulse`](Self::pulse) the work it counts is watched as well.
#[derive(Clone)]
pub struct Watch {
    quiet: Duration,
    own: bool,
    pulse: Option<Pulse>,
}

impl Watch {
    /// Stalled after nothing moved for `quiet`. It is looked at four times in that time.
    ///
    /// # Panics
    /// If `quiet` is zero: everybody would be stalled always.
    pub fn after(quiet: Duration) -> Self {
        Self::check(quiet);
        Self {
            quiet,
            own: true,
            pulse: None,
        }
    }

    /// Watches over this work as well.
    pub fn pulse(mut self, pulse: &Pulse) -> Self {
        self.pulse = Some(pulse.clone());
        self
    }

    /// Watches over this work alone, not over mailbox and owned tasks: for a stage that keeps one
    /// owned task for all its life.
    ///
    /// # Panics
    /// If `quiet` is zero.
    pub fn only(pulse: &Pulse, quiet: Duration) -> Self {
        Self {
            own: false,
            ..Self::after(quiet)
        }
        .pulse(pulse)
    }

    /// # Panics
    /// If the quiet time is zero.
    pub(crate) fn check(quiet: Duration) {
        assert!(
            !quiet.is_zero(),
            "a watch over a quiet time of zero would find everybody stalled"
        );
    }

    pub(crate) fn quiet(&self) -> Duration {
        self.quiet
    }

    pub(crate) fn period(&self) -> Duration {
        self.quiet / 4
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("quiet", &self.quiet)
            .finish_non_exhaustive()
    }
}

/// What one child looked like.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    own: Stillness,
    pulse: Stillness,
}

impl Watcher {
    /// Looks again. Gives how long nothing moved, if that is too long.
    pub(crate) fn look(
        &mut self,
        watch: &Watch,
        has_work: bool,
        handled: u64,
        now: Instant,
    ) -> Option<Duration> {
        let own = self.own.look(has_work && watch.own, handled, now);
        let pulse = watch.pulse.as_ref().map_or(Duration::ZERO, |pulse| {
            self.pulse.look(pulse.pending() > 0, pulse.beats(), now)
        });
        Some(own.max(pulse)).filter(|still| *still >= watch.quiet)
    }
}

#[derive(Debug, Default)]
struct Stillness {
    done: u64,
    since: Option<Instant>,
}

impl Stillness {
    fn look(&mut self, has_work: bool, done: u64, now: Instant) -> Duration {
        if !has_work || done != self.done {
            self.since = None;
        }
        self.done = done;
        if has_work {
            now.saturating_duration_since(*self.since.get_or_insert(now))
        } else {
            Duration::ZERO
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn only_pending_work_without_progress_is_a_stall() {
        let (watch, mut watcher) = (Watch::after(3 * SECOND), Watcher::default());
        let start = Instant::now();
        let mut look = |second: u32, has_work, handled| {
            watcher.look(&watch, has_work, handled, start + second * SECOND)
        };
        assert_eq!(look(0, true, 0), None);
        assert_eq!(look(2, true, 1), None, "progress");
        assert_eq!(look(4, true, 1), None);
        assert_eq!(look(5, false, 1), None, "nothing to do");
        assert_eq!(look(6, true, 1), None);
        assert_eq!(look(8, true, 1), None);
        assert_eq!(look(9, true, 1), Some(3 * SECOND));
    }

    #[test]
    fn a_pulse_stalls_although_messages_are_handled() {
        let pulse = Pulse::new();
        let (watch, mut watcher) = (Watch::after(3 * SECOND).pulse(&pulse), Watcher::default());
        let start = Instant::now();
        pulse.begin(2);
        assert_eq!(watcher.look(&watch, true, 1, start), None);
        pulse.done(1);
        assert_eq!(watcher.look(&watch, true, 2, start + 3 * SECOND), None);
        assert_eq!(
            watcher.look(&watch, true, 3, start + 6 * SECOND),
            Some(3 * SECOND)
        );
        pulse.reset();
        assert_eq!(watcher.look(&watch, false, 3, start + 9 * SECOND), None);
    }

    #[test]
    #[should_panic(expected = "a quiet time of zero")]
    fn a_quiet_time_of_zero_is_refused() {
        Watch::after(Duration::ZERO);
    }
}
