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

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Lanes of a log. A topic with more partitions shares them, which costs some waiting and nothing else.
const LANES: usize = 64;

/// Told that the last record of a lane was reported on.
pub(super) type Landed = Box<dyn Fn(usize) + Send + Sync>;

/// How many records each lane has under way. Counted down by whoever reports on them.
pub(super) struct Lanes {
    under_way: [AtomicUsize; LANES],
    landed: Landed,
}

impl Lanes {
    pub(super) fn new(landed: Landed) -> Arc<Self> {
        Arc::new(Self {
            under_way: [const { AtomicUsize::new(0) }; LANES],
            landed,
        })
    }

    /// One more record is under way, until the passage is dropped.
    pub(super) fn enter(self: &Arc<Self>, lane: usize) -> Passage {
        self.under_way[lane % LANES].fetch_add(1, Ordering::Relaxed);
        Passage {
            lanes: Arc::clone(self),
            lane: lane % LANES,
        }
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
}

struct Lane<T> {
    begun: Option<Instant>,
    held: VecDeque<T>,
}

impl<T> Pacer<T> {
    /// `linger` is what the client waits after a request's first record.
    pub(super) fn new(linger: Duration) -> Self {
        let lane = || Lane {
            begun: None,
            held: VecDeque::new(),
        };
        // A little less than the client waits: what comes at the last moment would miss the request
        // and wait where it must not.
        Self {
            window: linger.mul_f64(0.8),
            lanes: std::iter::repeat_with(lane).take(LANES).collect(),
            held: 0,
        }
    }

    /// A record comes for a lane that is `busy` or not. Returned, it is to be handed over now.
    pub(super) fn arrived(
        &mut self,
        lane: usize,
        busy: bool,
        now: Instant,
        record: T,
    ) -> Option<T> {
        let lane = &mut self.lanes[lane % LANES];
        if !busy && lane.held.is_empty() {
            lane.begun = Some(now);
            return Some(record);
        }
        let shares = lane
            .begun
            .is_some_and(|begun| now.duration_since(begun) < self.window);
        if shares && lane.held.is_empty() {
            return Some(record);
        }
        lane.held.push_back(record);
        self.held += 1;
        None
    }

    /// A lane is empty: what was held for it is to be handed over now.
    pub(super) fn landed(&mut self, lane: usize, now: Instant) -> VecDeque<T> {
        let lane = &mut self.lanes[lane % LANES];
        let held = std::mem::take(&mut lane.held);
        if !held.is_empty() {
            lane.begun = Some(now);
            self.held -= held.len();
        }
        held
    }

    /// Everything held: there will be no next time.
    pub(super) fn take_all(&mut self) -> Vec<T> {
        self.held = 0;
        self.lanes
            .iter_mut()
            .flat_map(|lane| lane.held.drain(..))
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
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;

    const LINGER: Duration = Duration::from_millis(10);

    #[test]
    fn the_first_record_and_those_soon_after_share_a_request_and_the_rest_the_next() {
        let (mut pacer, start) = (Pacer::new(LINGER), Instant::now());
        assert_eq!(pacer.arrived(0, false, start, 1), Some(1));
        assert_eq!(pacer.arrived(0, true, start + LINGER / 2, 2), Some(2));
        assert_eq!(pacer.arrived(0, true, start + LINGER, 3), None);
        assert_eq!(pacer.arrived(0, true, start + LINGER, 4), None);
        assert_eq!(
            pacer.arrived(1, false, start + LINGER, 5),
            Some(5),
            "another lane is free"
        );
        assert_eq!(pacer.landed(0, start + LINGER), [3, 4]);
        assert_eq!(
            pacer.arrived(0, true, start + LINGER, 6),
            Some(6),
            "a new request was begun"
        );
        assert_eq!(pacer.held(), 0);
    }

    #[test]
    fn the_last_report_of_a_lane_is_told_and_no_other() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&told);
        let lanes = Lanes::new(Box::new(move |lane| to.lock().unwrap().push(lane)));
        let (one, two, other) = (lanes.enter(3), lanes.enter(3), lanes.enter(4));
        drop(one);
        assert!(told.lock().unwrap().is_empty() && lanes.is_busy(3));
        drop(two);
        assert_eq!(*told.lock().unwrap(), [3]);
        drop(other);
        assert_eq!(*told.lock().unwrap(), [3, 4]);
        assert!(!lanes.is_busy(3));
    }

    #[test]
    fn what_is_overdue_is_given_up_in_order() {
        let (mut pacer, now) = (Pacer::new(LINGER), Instant::now());
        pacer.arrived(0, false, now, 0);
        for record in 1..5 {
            assert_eq!(pacer.arrived(0, true, now + LINGER, record), None);
        }
        assert_eq!(pacer.overdue(|&record| record < 3), [1, 2]);
        assert_eq!(pacer.held(), 2);
        assert_eq!(pacer.take_all(), [3, 4]);
    }

    proptest! {
        #[test]
        fn every_record_comes_out_once_and_in_its_lanes_order(
            steps in prop::collection::vec((0_usize..3, 0_u64..20, any::<bool>()), 1..200),
        ) {
            let mut pacer = Pacer::new(LINGER);
            let mut now = Instant::now();
            let mut under_way = [0_usize; 3];
            let mut out: [Vec<usize>; 3] = Default::default();
            let mut sent: [Vec<usize>; 3] = Default::default();
            for (at, (lane, pause, lands)) in steps.into_iter().enumerate() {
                now += Duration::from_millis(pause);
                if lands {
                    under_way[lane] = 0;
                    let next = pacer.landed(lane, now);
                    under_way[lane] += next.len();
                    out[lane].extend(next);
                } else {
                    sent[lane].push(at);
                    if let Some(record) = pacer.arrived(lane, under_way[lane] > 0, now, at) {
                        under_way[lane] += 1;
                        out[lane].push(record);
                    }
                }
            }
            for (lane, out) in out.iter_mut().enumerate() {
                out.extend(pacer.landed(lane, now));
            }
            prop_assert_eq!(pacer.held(), 0);
            prop_assert_eq!(out, sent);
        }
    }
}
