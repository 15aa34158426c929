//! What several stages know of one assigned partition: what is under way, whether it is being taken
//! away, and whether it was stopped, and why.
//!
//! A partition is stopped where going on would lose something without anybody's noticing: its
//! offset is not in the log any more, its statistics belong to another log, or all it holds is
//! bad. The others go on; readiness says why, until somebody has looked and the process or the
//! assignment is a new one. One that cannot be begun, because its statistics cannot be
//! loaded or its leader is away, is told of in the same way, and goes on by itself. Nothing here knows a client, and a good record never comes here.

mod given_back;
mod limit;
mod line;
mod opening;
mod turns;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use actors::{Epoch, Position, Pulse};
use tracing::error;

use self::limit::Limit;
pub use self::limit::{BadLimits, Crossed};
pub use self::line::Letter;
use self::line::{Place, ends};
use self::opening::Opening;
use self::turns::Turns;
use crate::metrics;

/// A record that can never become a purchase.
#[derive(Clone, Copy, Debug)]
pub struct Bad<'r> {
    /// Where it stands.
    pub offset: u64,
    /// It was noted before, and somebody sent it back. That says nothing of what else the partition
    /// holds, so it does not count.
    pub came_back: bool,
    /// Why it is bad.
    pub reason: &'r str,
}

/// Why a partition was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// In one word, for metrics.
    pub cause: Cause,
    /// In words, for people.
    pub reason: String,
}

/// Why, and what to do.
impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason, self.cause.remedy())
    }
}

/// Kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Too many bad records.
    BadRecords,
    /// The next offset is not in the log.
    OffsetGone,
    /// The topic was deleted while it was read.
    TopicGone,
    /// The statistics reach beyond the end of the log.
    OtherLog,
    /// The statistics cannot be loaded. Passes by itself.
    Statistics,
    /// Nobody says where to begin: its leader is away. Passes by itself.
    StartUnknown,
}

impl Cause {
    /// All of them.
    pub(crate) const ALL: [Self; 6] = [
        Self::BadRecords,
        Self::OffsetGone,
        Self::TopicGone,
        Self::OtherLog,
        Self::Statistics,
        Self::StartUnknown,
    ];

    /// As metrics and logs have it.
    pub fn label(self) -> &'static str {
        match self {
            Self::BadRecords => "bad_records",
            Self::OffsetGone => "offset_gone",
            Self::TopicGone => "topic_gone",
            Self::OtherLog => "other_log",
            Self::Statistics => "statistics",
            Self::StartUnknown => "start_unknown",
        }
    }

    /// What ends it, for whoever reads the log or readiness and nothing else.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::BadRecords => {
                "look at them (consumer-svc dlq list), then restart with a version that reads them, or with a higher limit"
            }
            Self::OffsetGone => {
                "stop the group's consumers, move its offset with Kafka's tools (kafka-consumer-groups.sh --reset-offsets) \
                 and start them again; or, where the topic was made anew, read it under another name (KAFKA_TOPIC)"
            }
            Self::TopicGone => {
                "make it under another name, set KAFKA_TOPIC to that in both services, and restart them"
            }
            Self::OtherLog => {
                "read it under another name (KAFKA_TOPIC) or as another group (KAFKA_GROUP_ID)"
            }
            Self::Statistics => "it goes on by itself once they can be loaded",
            Self::StartUnknown => "it goes on by itself once its leader answers",
        }
    }
}

/// One assigned partition, for one assignment. Clones are one thing.
#[derive(Clone)]
pub struct Lane(Arc<Inner>);

struct Inner {
    partition: i32,
    pulse: Pulse,
    turns: Mutex<Turns>,
    place: Place,
    /// The number of the reader's epoch; 0 before the first.
    epoch: AtomicU64,
    closing: AtomicBool,
    halt: OnceLock<Halt>,
    opening: Mutex<Opening>,
    limit: Mutex<Limit>,
    lanes: Lanes,
}

impl Lane {
    /// Records that were read and that the settled prefix has not passed. The watchdog looks at
    /// the same numbers.
    pub fn pulse(&self) -> &Pulse {
        &self.0.pulse
    }

    /// One turn read so many records.
    pub fn admitted(&self, count: u64) {
        self.0.pulse.begin(count);
        locked(&self.0.turns).begin(count, Instant::now());
    }

    /// The settled prefix has passed so many of them, and ends at `next`.
    pub fn passed(&self, count: u64, next: u64) {
        self.0.place.passed(next);
        self.0.pulse.done(count);
        locked(&self.0.turns).pass(count);
    }

    /// What is under way here will never be passed: the watchdog must not wait for it.
    pub fn rest(&self) {
        self.0.pulse.reset();
        *locked(&self.0.turns) = Turns::default();
    }

    /// Somebody works on this partition and knows what he waits for: that is no stall, however
    /// long the broker or the database is away.
    pub fn beat(&self) {
        self.0.pulse.begin(1);
        self.0.pulse.done(1);
    }

    /// One of this epoch's records goes to the dead letters, until what this gives is dropped.
    pub fn letter(&self, epoch: Epoch) -> Option<Letter> {
        self.0.place.letter(epoch)
    }

    /// It is being taken away: its reader takes nothing more.
    pub fn close(&self) {
        self.0.closing.store(true, Ordering::Release);
    }

    /// Whether nothing more may be read, for whatever reason.
    pub fn is_shut(&self) -> bool {
        self.0.closing.load(Ordering::Acquire) || self.0.halt.get().is_some()
    }

    /// Why it was stopped, if it was.
    pub fn halted(&self) -> Option<&Halt> {
        self.0.halt.get()
    }

    /// Notes a bad record. Answers whether it may go to the dead letters: not if it is one too
    /// many, which stops the partition before it, nor once the partition is stopped.
    pub fn takes_bad(&self, bad: &Bad<'_>) -> bool {
        if self.halted().is_some() {
            return false;
        }
        let Bad {
            offset,
            came_back,
            reason,
        } = *bad;
        let crossed = locked(&self.0.limit).bad(offset, came_back);
        let Err(crossed) = crossed else { return true };
        let reason = format!("{crossed}, the last at offset {offset}: {reason}");
        self.halt(Cause::BadRecords, reason);
        false
    }

    /// Stops the partition. The first reason stands.
    pub fn halt(&self, cause: Cause, reason: impl Into<String>) {
        let (partition, reason) = (self.0.partition, reason.into());
        let halt = Halt { cause, reason };
        if self.0.halt.set(halt.clone()).is_ok() {
            error!(
                partition,
                cause = cause.label(),
                reason = %halt,
                "partition stopped: it is not read on until somebody has looked at it"
            );
            metrics::stopped(partition, Some(cause));
            self.0.lanes.report();
        }
    }
}

/// Told why partitions are stopped, all reasons in one line; nothing when none is.
pub type Report = Box<dyn Fn(Option<String>) + Send + Sync>;

/// The partitions this member holds. Clones are one thing.
#[derive(Clone)]
pub struct Lanes(Arc<Shared>);

struct Shared {
    open: Mutex<BTreeMap<i32, Lane>>,
    /// What was read in these and earlier epochs was given back, and nobody waits for it any more.
    given_back: Mutex<BTreeMap<i32, Epoch>>,
    limits: BadLimits,
    /// Holds for what is assigned later, too.
    all: OnceLock<Halt>,
    report: Report,
}

impl Lanes {
    /// None yet; `report` is told at once that nothing is stopped.
    pub fn new(limits: BadLimits, report: Report) -> Self {
        report(None);
        Self(Arc::new(Shared {
            open: Mutex::default(),
            given_back: Mutex::default(),
            limits,
            all: OnceLock::new(),
            report,
        }))
    }

    /// A partition was assigned.
    pub fn open(&self, partition: i32) -> Lane {
        let lane = Lane(Arc::new(Inner {
            partition,
            pulse: Pulse::new(),
            turns: Mutex::default(),
            place: Place::default(),
            epoch: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            halt: OnceLock::new(),
            opening: Mutex::default(),
            limit: Mutex::new(Limit::new(self.0.limits)),
            lanes: self.clone(),
        }));
        metrics::stopped(partition, None);
        let before = locked(&self.0.open).insert(partition, lane.clone());
        if let Some(before) = before {
            before.close();
        }
        if let Some(Halt { cause, reason }) = self.0.all.get() {
            lane.halt(*cause, reason.clone());
        }
        lane
    }

    /// A partition goes: its reader takes nothing more. Whoever gets it meets what stopped it here.
    pub fn close(&self, partition: i32) {
        let closed = locked(&self.0.open).remove(&partition);
        let Some(lane) = closed else { return };
        lane.close();
        metrics::let_go(partition);
        if lane.stopped().is_some() {
            self.report();
        }
    }

    /// The partition, while it is assigned.
    pub fn get(&self, partition: i32) -> Option<Lane> {
        locked(&self.0.open).get(&partition).cloned()
    }

    /// The assigned partitions, in order.
    pub fn partitions(&self) -> Vec<i32> {
        locked(&self.0.open).keys().copied().collect()
    }

    /// Stops all of them, and every one that this process is given later.
    pub fn halt_all(&self, cause: Cause, reason: &str) {
        let reason = reason.to_owned();
        if self.0.all.set(Halt { cause, reason }).is_ok() {
            self.report();
        }
        let open: Vec<Lane> = locked(&self.0.open).values().cloned().collect();
        if let Some(Halt { cause, reason }) = self.0.all.get() {
            open.iter()
                .for_each(|lane| lane.halt(*cause, reason.clone()));
        }
    }

    /// These records left the line before the database: what they wait for now is their own answer.
    pub fn taken(&self, batch: impl Iterator<Item = Position>) {
        let ends = ends(batch);
        let open = locked(&self.0.open);
        for Position { lane, epoch, seq } in ends {
            if let Some(lane) = i32::try_from(lane).ok().and_then(|lane| open.get(&lane)) {
                lane.0.place.taken(epoch, seq);
            }
        }
    }

    /// The database answered somebody: a sign of life of all who stand in line behind him.
    pub fn answered(&self) {
        let open = locked(&self.0.open);
        let waiting = open.values().filter(|lane| lane.0.place.is_in_line());
        waiting.for_each(Lane::beat);
    }

    /// The broker answered to a letter, or its time was over: whoever has letters under way may wait
    /// for his turn behind it.
    pub fn letter_answered(&self) {
        let open = locked(&self.0.open);
        let waiting = open.values().filter(|lane| lane.0.place.has_letters());
        waiting.for_each(Lane::beat);
    }

    /// Shows how far each partition is read ahead of what is settled, since when, and in which
    /// epoch.
    pub fn publish(&self) {
        let now = Instant::now();
        for (partition, lane) in locked(&self.0.open).iter() {
            metrics::ahead(*partition, lane.pulse().pending());
            let oldest = lane.waiting_since();
            let age = oldest.map(|since| now.saturating_duration_since(since));
            metrics::oldest(*partition, age.unwrap_or_default());
            metrics::epoch(*partition, lane.0.epoch.load(Ordering::Relaxed));
        }
    }

    /// Shows how far the group is behind in each partition, as far as that could be learnt. One
    /// that went while it was asked about is left alone.
    pub fn lags(&self, learnt: &BTreeMap<i32, u64>) {
        for partition in locked(&self.0.open).keys() {
            metrics::lag(*partition, learnt.get(partition).copied());
        }
    }

    fn report(&self) {
        // Told under the lock: else an older word could be told after a newer one.
        let open = locked(&self.0.open);
        let each = open.values().filter_map(Lane::stopped);
        let mut reasons: Vec<String> = match self.0.all.get() {
            Some(all) => vec![all.to_string()],
            None => each.collect(),
        };
        reasons.truncate(8);
        (self.0.report)((!reasons.is_empty()).then(|| reasons.join("; ")));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests;
