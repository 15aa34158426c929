//! Who rests, and whose turn it is. Pure: clock and chance are given.
//!
//! In: what was not taken, and how often that was. Out: what is due, a chunk at a time. Each rests for
//! itself, longer after every attempt, so who comes now does not wait behind those that never pass. Those
//! come one behind the other, a chunk in each of the longest pauses, however many they are.

use std::time::Duration;

use actors::Backoff;
use tokio::time::Instant;

/// What rests.
pub(super) struct Resting<T> {
    backoff: Backoff,
    /// In one attempt, at most.
    chunk: usize,
    all: Vec<Rest<T>>,
    /// When the last of those is due that have come to the longest pause, if any rest.
    last: Option<Instant>,
    /// Whether those are due before their turn, since one of them passed.
    is_hurried: bool,
}

struct Rest<T> {
    one: T,
    is_old: bool,
    due: Instant,
    /// From when on it comes along with another's attempt.
    soon: Instant,
}

/// Now, and how much of a pause chance leaves.
pub(super) type Moment = (Instant, f64);

impl<T> Resting<T> {
    pub(super) fn new(backoff: Backoff, chunk: usize) -> Self {
        Self {
            backoff,
            chunk,
            all: Vec::new(),
            last: None,
            is_hurried: false,
        }
    }

    /// Whether who was tried so often rests for the longest pause.
    pub(super) fn is_old(&self, tries: u32) -> bool {
        self.pause(tries) >= self.backoff.max
    }

    fn pause(&self, tries: u32) -> Duration {
        self.backoff.delay(tries.saturating_sub(1), 0.0)
    }

    /// These were not taken. `tries`: how often each was tried, this time included.
    pub(super) fn push(&mut self, later: Vec<T>, tries: impl Fn(&T) -> u32, (now, share): Moment) {
        let longest = self.backoff.max;
        let old = later.iter().filter(|one| self.is_old(tries(one))).count();
        let room = longest.mul_f64(old as f64 / self.chunk as f64);
        let soonest = now + longest.mul_f64(share);
        let behind = self.last.map_or(soonest, |last| soonest.max(last + room));
        if old > 0 {
            self.last = Some(behind);
        }
        for one in later {
            let tries = tries(&one);
            let (is_old, pause) = (self.is_old(tries), self.pause(tries).mul_f64(share));
            let due = if is_old { behind } else { now + pause };
            let soon = due - pause / 2;
            self.all.push(Rest {
                one,
                is_old,
                due,
                soon,
            });
        }
    }

    /// What kept the old ones has passed, it seems: they are due, until one attempt takes none of them.
    pub(super) fn hurry(&mut self, now: Instant) {
        let old = self.all.iter_mut().filter(|rest| rest.is_old);
        old.for_each(|rest| (rest.due, rest.soon) = (now, now));
        (self.last, self.is_hurried) = (None, true);
    }

    /// An attempt took no old one: if they were hurried, they wait for their turn again.
    pub(super) fn calm(&mut self, now: Moment) {
        if std::mem::take(&mut self.is_hurried) {
            self.line_up(now, |_, turn| turn);
        }
    }

    /// Gives the old ones a turn each, a chunk in each of the longest pauses from now on, in the order in which
    /// they are due; `due` chooses between when that is and the new turn.
    fn line_up(&mut self, (now, share): Moment, due: impl Fn(Instant, Instant) -> Instant) {
        let longest = self.backoff.max;
        let half = longest.mul_f64(share) / 2;
        self.last = None;
        self.all.sort_by_key(|rest| rest.due);
        let mut turn = now + longest.mul_f64(share);
        let old = self.all.iter_mut().filter(|rest| rest.is_old);
        for (number, rest) in (1..).zip(old) {
            rest.due = due(rest.due, turn);
            rest.soon = rest.due - half;
            self.last = Some(rest.due);
            if number % self.chunk == 0 {
                turn += longest;
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.all.iter().map(|rest| rest.due).min()
    }

    /// When to look again, if somebody rests: when the next one is due, and after the longest pause of one
    /// that rests alone, however many there are.
    pub(super) fn look_at(&self, now: Instant) -> Option<Instant> {
        let due = self.next_due()?;
        Some(due.min(now + self.backoff.max))
    }

    /// If somebody is due: he and who is next, who comes along if half of his pause is over, so that many that
    /// came one by one end up in one attempt. No sooner: an attempt counts, and others may be due all the time.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<T> {
        if self.next_due().is_none_or(|due| due > now) {
            self.is_hurried = false;
            return Vec::new();
        }
        self.all.sort_by_key(|rest| rest.due);
        let soon = self.all.extract_if(.., |rest| rest.soon <= now);
        soon.take(self.chunk).map(|rest| rest.one).collect()
    }

    /// Nobody waits behind one that is gone.
    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool, now: Moment) {
        let before = self.all.len();
        self.all.retain(|rest| keep(&rest.one));
        if self.all.len() < before {
            self.line_up(now, Instant::min);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.all.iter().map(|rest| &rest.one)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
        (self.last, self.is_hurried) = (None, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half a second, a second, two, four, five; ten in one attempt. A record is how often it was tried.
    fn resting(records: Vec<u32>, now: Instant) -> Resting<u32> {
        let backoff = Backoff {
            min: Duration::from_millis(500),
            max: Duration::from_secs(5),
            ..Backoff::default()
        };
        let mut resting = Resting::new(backoff, 10);
        push(&mut resting, records, now);
        resting
    }

    fn push(resting: &mut Resting<u32>, records: Vec<u32>, now: Instant) {
        resting.push(records, |tries| *tries, (now, 1.0));
    }

    /// What is taken in the seconds that follow, each.
    fn taken(resting: &mut Resting<u32>, since: Instant, seconds: u64) -> Vec<usize> {
        let second = |number| after(since, number * 1_000);
        let each = (1..=seconds).map(|number| resting.take_due(second(number)).len());
        each.collect()
    }

    fn after(since: Instant, millis: u64) -> Instant {
        since + Duration::from_millis(millis)
    }

    #[test]
    fn each_rests_longer_after_every_attempt() {
        let start = Instant::now();
        for (tries, pause) in [(1, 500), (2, 1_000), (3, 2_000), (5, 5_000), (99, 5_000)] {
            let mut resting = resting(vec![tries], start);
            assert_eq!(resting.next_due(), Some(after(start, pause)));
            assert!(resting.take_due(after(start, pause - 1)).is_empty());
            assert_eq!(resting.take_due(after(start, pause)), [tries]);
            assert!(resting.is_empty() && resting.next_due().is_none());
        }
    }

    #[test]
    fn who_comes_now_waits_for_nobody_who_came_long_ago() {
        let start = Instant::now();
        let mut resting = resting(vec![9; 25], start);
        push(&mut resting, vec![1], start);
        assert_eq!(resting.take_due(after(start, 500)), [1]);
    }

    #[test]
    fn who_has_half_of_his_pause_behind_him_comes_along_but_no_more_than_a_chunk() {
        let start = Instant::now();
        let mut some = resting(vec![3, 1, 5, 2], start);
        assert_eq!(some.take_due(after(start, 500)), [1, 2]);
        assert_eq!(some.len(), 2, "they have more than that before them");
        let mut many = resting(vec![1; 25], start);
        let chunks = [(); 4].map(|()| many.take_due(after(start, 500)).len());
        assert_eq!(chunks, [10, 10, 5, 0]);
    }

    #[test]
    fn who_never_passes_comes_behind_the_others_of_his_kind_a_chunk_in_a_pause() {
        let start = Instant::now();
        let mut many = resting(vec![99; 10], start);
        for _ in 0..3 {
            push(&mut many, vec![99; 10], start);
        }
        for seconds in [5, 10, 15, 20] {
            let then = after(start, seconds * 1_000);
            assert_eq!(many.take_due(then).len(), 10);
            assert!(many.take_due(then).is_empty());
        }
        // Few are tried together, whenever they came.
        for number in 0..4 {
            push(&mut many, vec![99], after(start, 20_000 + number));
        }
        assert_eq!(
            many.look_at(after(start, 21_000)),
            Some(after(start, 25_000))
        );
        assert_eq!(many.take_due(after(start, 25_000)).len(), 4);
    }

    #[test]
    fn once_the_old_ones_pass_nobody_rests_any_longer() {
        let start = Instant::now();
        let mut many = resting(vec![99; 10], start);
        push(&mut many, vec![99; 10], start);
        many.hurry(start);
        let chunks = [(); 3].map(|()| many.take_due(start).len());
        assert_eq!(chunks, [10, 10, 0]);
        push(&mut many, vec![99], start);
        assert_eq!(many.next_due(), Some(after(start, 5_000)));
    }

    #[test]
    fn others_that_are_due_all_the_time_make_nobody_old_before_half_of_his_pauses() {
        let start = Instant::now();
        // The number of the record, and how often it was tried.
        let tries = |(_, tries): &(u32, u32)| *tries;
        let mut both = Resting::new(resting(Vec::new(), start).backoff, 100);
        both.push(vec![(0, 1)], tries, (start, 1.0));
        let became_old = (1..1_000).find(|number| {
            let now = after(start, u64::from(*number) * 50);
            both.push(vec![(*number, 1)], tries, (now, 1.0));
            // Whoever else is tried passes.
            let mine = both.take_due(now).into_iter().find(|(who, _)| *who == 0);
            let again = mine.map(|(who, tries)| (who, tries + 1));
            both.push(again.into_iter().collect(), tries, (now, 1.0));
            again.is_some_and(|(_, tries)| both.is_old(tries))
        });
        let became_old = became_old.expect("it becomes old") * 50;
        // Half a second, a second, two and four.
        assert!((3_750..=7_500).contains(&became_old), "{became_old} ms");
    }

    #[test]
    fn nobody_waits_behind_old_ones_that_are_gone() {
        let start = Instant::now();
        let mut many = resting(vec![98; 10], start);
        for _ in 0..9 {
            push(&mut many, vec![98; 10], start);
        }
        for _ in 0..3 {
            push(&mut many, vec![99; 5], start);
        }
        many.retain(|tries| *tries == 99, (start, 1.0));
        assert_eq!(taken(&mut many, start, 10), [0, 0, 0, 0, 10, 0, 0, 0, 0, 5]);
        push(&mut many, vec![98; 10], start);
        push(&mut many, vec![98; 10], start);
        many.retain(|tries| *tries == 99, (start, 1.0));
        push(&mut many, vec![97], start);
        assert_eq!(many.next_due(), Some(after(start, 5_000)));
        many.clear();
        push(&mut many, vec![97], start);
        assert_eq!(many.next_due(), Some(after(start, 5_000)));
    }

    #[test]
    fn who_is_next_anyhow_keeps_his_turn_when_others_are_gone() {
        let start = Instant::now();
        let mut many = resting(vec![99; 10], start);
        push(&mut many, vec![98], start);
        many.retain(|tries| *tries == 99, (after(start, 4_000), 1.0));
        assert_eq!(many.next_due(), Some(after(start, 5_000)));
    }

    #[test]
    fn old_ones_that_were_hurried_in_vain_wait_for_their_turns_again() {
        let start = Instant::now();
        let mut many = resting(vec![99; 10], start);
        for _ in 0..3 {
            push(&mut many, vec![99; 10], start);
        }
        push(&mut many, vec![3], start);
        many.hurry(start);
        let vain = many.take_due(start);
        assert_eq!(vain.len(), 10);
        push(&mut many, vain, start);
        many.calm((start, 1.0));
        let calm = [0, 1, 0, 0, 10, 0, 0, 0, 0, 10];
        assert_eq!(taken(&mut many, start, 10), calm);
        // What is hurried once is not for ever.
        many.calm((after(start, 10_000), 1.0));
        assert_eq!(many.next_due(), Some(after(start, 15_000)));
    }
}
