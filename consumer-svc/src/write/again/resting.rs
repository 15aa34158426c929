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
    /// When the last of those is due that have come to the longest pause.
    last: Option<Instant>,
}

struct Rest<T> {
    one: T,
    due: Instant,
}

impl<T> Resting<T> {
    pub(super) fn new(backoff: Backoff, chunk: usize) -> Self {
        Self {
            backoff,
            chunk,
            all: Vec::new(),
            last: None,
        }
    }

    /// Whether who was tried so often rests for the longest pause.
    pub(super) fn is_old(&self, tries: u32) -> bool {
        self.pause(tries) >= self.backoff.max
    }

    fn pause(&self, tries: u32) -> Duration {
        self.backoff.delay(tries.saturating_sub(1), 0.0)
    }

    /// These were not taken. `tries`: how often each was tried, this time included; `share`: how much of its
    /// pause chance leaves.
    pub(super) fn push(
        &mut self,
        later: Vec<T>,
        tries: impl Fn(&T) -> u32,
        (now, share): (Instant, f64),
    ) {
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
            let due = match self.is_old(tries) {
                true => behind,
                false => now + self.pause(tries).mul_f64(share),
            };
            self.all.push(Rest { one, due });
        }
    }

    /// What kept the old ones has passed: all are due.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.all.iter_mut().for_each(|rest| rest.due = now);
        self.last = None;
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

    /// If somebody is due: he and who is next, who may come along if he is due soon, so that many that came
    /// one by one end up in one attempt.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<T> {
        if self.next_due().is_none_or(|due| due > now) {
            return Vec::new();
        }
        self.all.sort_by_key(|rest| rest.due);
        let soon = now + self.backoff.max / 2;
        let most = self.all.len().min(self.chunk);
        let count = self.all[..most].partition_point(|rest| rest.due <= soon);
        self.all.drain(..count).map(|rest| rest.one).collect()
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.all.retain(|rest| keep(&rest.one));
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
    fn who_is_due_soon_comes_along_but_no_more_than_a_chunk() {
        let start = Instant::now();
        let mut some = resting(vec![3, 1, 5, 2], start);
        assert_eq!(some.take_due(after(start, 500)), [1, 2, 3]);
        assert_eq!(some.len(), 1, "it is due in more than half of a pause");
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
}
