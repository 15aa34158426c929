//! When a record is handed to the client: group commit, one request a partition at a time.
//!
//! In: records, and the news that a lane is empty again. Out: the records to hand over now; the rest
//! is held and goes together with the next request. So few waiting purchases travel at once and many
//! share a request, without anybody choosing a time for it.
//!
//! It is also what keeps the client's thread from spinning. With idempotence librdkafka admits no
//! further request to a partition that has more than five *messages* (not requests) under way, and
//! polls without a pause as long as an older one than its linger time waits. Held here, nothing waits
//! there.
//!
//! A request may be larger than the topic takes. Its records come back, all of them, and go again in
//! smaller ones; a record that comes back alone is itself too large. What was too much is remembered
//! for a while, so that the next requests are small enough at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::flow::Returned;

/// Lanes of a log. In a topic with more partitions those that are 64 apart share one: a request of either waits for
/// the other's report, and while one has no leader, buyers of the other wait behind it, and are refused as not
/// stored like its own.
pub(super) const LANES: usize = 64;

/// After this long a larger request is tried again: the topic's limit may have been raised.
const BOUND_FOR: Duration = Duration::from_secs(60);

/// Told that the last record of a lane was reported on.
pub(super) type Landed = Box<dyn Fn(usize) + Send + Sync>;
/// Given a lane's record that came back.
pub(super) type GaveBack = Box<dyn Fn(usize, Returned) + Send + Sync>;

/// How many records each lane has under way. Counted down by whoever reports on them.
pub(super) struct Lanes {
    under_way: [AtomicUsize; LANES],
    born: Instant,
    /// When each lane was entered that was empty before, in milliseconds since then.
    entered: [AtomicU64; LANES],
    landed: Landed,
    gave_back: GaveBack,
}

impl Lanes {
    pub(super) fn new(landed: Landed, gave_back: GaveBack) -> Arc<Self> {
        Arc::new(Self {
            under_way: [const { AtomicUsize::new(0) }; LANES],
            born: Instant::now(),
            entered: [const { AtomicU64::new(0) }; LANES],
            landed,
            gave_back,
        })
    }

    /// One more record is under way, until the passage is dropped.
    pub(super) fn enter(self: &Arc<Self>, lane: usize) -> Passage {
        let lane = lane % LANES;
        if self.under_way[lane].fetch_add(1, Ordering::Relaxed) == 0 {
            self.entered[lane].store(self.now(), Ordering::Relaxed);
        }
        Passage {
            lanes: Arc::clone(self),
            lane,
        }
    }

    /// For how long the lane that waits longest for its reports has been waiting, if one does. Only who
    /// lets records enter can know.
    pub(super) fn waiting(&self) -> Option<Duration> {
        let now = self.now();
        let busy = (0..LANES).filter(|lane| self.is_busy(*lane));
        busy.map(|lane| now - self.entered[lane].load(Ordering::Relaxed))
            .max()
            .map(Duration::from_millis)
    }

    fn now(&self) -> u64 {
        self.born.elapsed().as_millis() as u64
    }

    /// Whether records are under way. Where this says so, news of the lane's landing will follow.
    pub(super) fn is_busy(&self, lane: usize) -> bool {
        self.under_way[lane % LANES].load(Ordering::Acquire) > 0
    }
}

/// A record's time under way.
pub struct Passage {
    lanes: Arc<Lanes>,
    lane: usize,
}

impl Passage {
    /// Its record comes back, before the lane's landing.
    pub(super) fn give_back(self, record: Returned) {
        (self.lanes.gave_back)(self.lane, record);
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if self.lanes.under_way[self.lane].fetch_sub(1, Ordering::AcqRel) == 1 {
            (self.lanes.landed)(self.lane);
        }
    }
}

/// What is held, by lane and in order of arrival.
pub(super) struct Pacer<T> {
    /// How long after a request was begun further records still share it.
    window: Duration,
    lanes: Vec<Lane<T>>,
    held: usize,
    /// What a record adds to a request, about.
    weigh: fn(&T) -> usize,
    /// Bytes that a request may have, known once one was refused, and since when.
    bound: Option<(usize, Instant)>,
}

struct Lane<T> {
    begun: Option<Instant>,
    /// Bytes of the request that was begun, as far as there is a bound for them.
    bytes: usize,
    /// What came back of the last request.
    returned: Vec<T>,
    held: VecDeque<T>,
}

impl<T> Lane<T> {
    fn is_clear(&self) -> bool {
        self.held.is_empty() && self.returned.is_empty()
    }
}

impl<T> Pacer<T> {
    /// `linger` is what the client waits after a request's first record.
    pub(super) fn new(linger: Duration, weigh: fn(&T) -> usize) -> Self {
        let lane = || Lane {
            begun: None,
            bytes: 0,
            returned: Vec::new(),
            held: VecDeque::new(),
        };
        // A little less than the client waits: what comes at the last moment would miss the request
        // and wait where it must not.
        Self {
            window: linger.mul_f64(0.8),
            lanes: std::iter::repeat_with(lane).take(LANES).collect(),
            held: 0,
            weigh,
            bound: None,
        }
    }

    /// A record comes for a lane that is `busy` or not. Returned, it is to be handed over now, which is told along. No
    /// clock is read for one that stands behind others, as most do under load.
    pub(super) fn arrived(
        &mut self,
        lane: usize,
        busy: bool,
        clock: impl FnOnce() -> Instant,
        record: T,
    ) -> Option<(T, Instant)> {
        let at = lane % LANES;
        if self.lanes[at].is_clear() {
            let now = clock();
            let bound = self.bound(now);
            let lane = &mut self.lanes[at];
            let bytes = bound.map_or(0, |_| (self.weigh)(&record));
            if !busy {
                (lane.begun, lane.bytes) = (Some(now), bytes);
                return Some((record, now));
            }
            let shares = lane
                .begun
                .is_some_and(|begun| now.duration_since(begun) < self.window);
            let fits = bound.is_none_or(|bound| lane.bytes + bytes <= bound);
            if shares && fits {
                lane.bytes += bytes;
                return Some((record, now));
            }
        }
        self.lanes[at].held.push_back(record);
        self.held += 1;
        None
    }

    /// A record came back, because the request that it shared was too large.
    pub(super) fn returned(&mut self, lane: usize, record: T) {
        self.lanes[lane % LANES].returned.push(record);
        self.held += 1;
    }

    /// A lane is empty: what came back of it goes again, before all others, unless it is a single
    /// record. That one was alone, because a request comes back as a whole: it is too large itself.
    pub(super) fn refused(&mut self, lane: usize, now: Instant) -> Option<T> {
        let bound = self.bound(now);
        let lane = &mut self.lanes[lane % LANES];
        if lane.returned.len() < 2 {
            let alone = lane.returned.pop();
            self.held -= usize::from(alone.is_some());
            return alone;
        }
        let bytes: usize = lane.returned.iter().map(self.weigh).sum();
        let half = bytes / 2;
        self.bound = Some((bound.map_or(half, |bound| bound.min(half)), now));
        for record in lane.returned.drain(..).rev() {
            lane.held.push_front(record);
        }
        None
    }

    /// A lane is empty: what was held for it is to be handed over now, as much as one request takes.
    pub(super) fn landed(&mut self, lane: usize, now: Instant) -> VecDeque<T> {
        let bound = self.bound(now);
        let lane = &mut self.lanes[lane % LANES];
        let next = match bound {
            None => std::mem::take(&mut lane.held),
            Some(bound) => {
                let (mut next, mut bytes) = (VecDeque::new(), 0);
                while let Some(record) = lane.held.pop_front_if(|record| {
                    bytes += (self.weigh)(record);
                    next.is_empty() || bytes <= bound
                }) {
                    next.push_back(record);
                }
                lane.bytes = bytes;
                next
            }
        };
        if !next.is_empty() {
            lane.begun = Some(now);
            self.held -= next.len();
        }
        next
    }

    /// Everything held: there will be no next time.
    pub(super) fn take_all(&mut self) -> Vec<T> {
        self.held = 0;
        let each = self.lanes.iter_mut();
        each.flat_map(|lane| lane.returned.drain(..).chain(lane.held.drain(..)))
            .collect()
    }

    /// What was held too long. Within a lane nobody waits longer than who came before.
    pub(super) fn overdue(&mut self, is_overdue: impl Fn(&T) -> bool) -> Vec<T> {
        let mut overdue = Vec::new();
        for lane in &mut self.lanes {
            while lane.held.front().is_some_and(&is_overdue) {
                overdue.extend(lane.held.pop_front());
            }
        }
        self.held -= overdue.len();
        overdue
    }

    /// How many are held.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    fn bound(&mut self, now: Instant) -> Option<usize> {
        let (bytes, since) = self.bound?;
        if now.duration_since(since) >= BOUND_FOR {
            self.bound = None;
            return None;
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests;
