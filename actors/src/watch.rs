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
    pulses: Vec<Pulse>,
}

impl Watch {
    /// Stalled after nothing moved for `quiet`. It is looked at four times in that time, but not more
    /// than once a millisecond.
    ///
    /// # Panics
    /// If `quiet` is zero: everybody would be stalled always.
    pub fn after(quiet: Duration) -> Self {
        Self::check(quiet);
        Self {
            quiet,
            own: true,
            pulses: Vec::new(),
        }
    }

    /// Watches over this work as well; what it is told of before stays watched, each by itself.
    pub fn pulse(mut self, pulse: &Pulse) -> Self {
        self.pulses.push(pulse.clone());
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
        (self.quiet / 4).max(Duration::from_millis(1))
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
    pulses: Vec<Stillness>,
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
        self.pulses
            .resize_with(watch.pulses.len(), Stillness::default);
        let pulses = self.pulses.iter_mut().zip(&watch.pulses);
        let pulses =
            pulses.map(|(still, pulse)| still.look(pulse.pending() > 0, pulse.progress(), now));
        let longest = pulses.fold(own, Duration::max);
        Some(longest).filter(|still| *still >= watch.quiet)
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
    use std::sync::Arc;

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
    fn who_waits_in_a_line_that_moves_does_not_stall_and_what_is_his_alone_does() {
        let line = Arc::default();
        let (waits, moves, alone) = (Pulse::within(&line), Pulse::within(&line), Pulse::new());
        let watch = Watch::only(&waits, 3 * SECOND).pulse(&alone);
        let (mut watcher, start) = (Watcher::default(), Instant::now());
        let mut look = |second: u32| watcher.look(&watch, false, 0, start + second * SECOND);
        waits.begin(1);
        moves.begin(9);
        assert_eq!(look(0), None);
        moves.done(1);
        assert_eq!(look(3), None, "the line moved");
        alone.begin(1);
        moves.done(1);
        assert_eq!(look(5), None);
        moves.done(1);
        assert_eq!(look(8), Some(3 * SECOND), "nothing of its own was done");
        alone.done(1);
        assert_eq!(look(9), None);
        assert_eq!(look(11), Some(3 * SECOND), "the line stands still");
    }

    #[test]
    #[should_panic(expected = "a quiet time of zero")]
    fn a_quiet_time_of_zero_is_refused() {
        Watch::after(Duration::ZERO);
    }
}
