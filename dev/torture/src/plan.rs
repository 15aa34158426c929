//! Who is hurt when, how, and for how long. In: a seed and how many there are; out: acts, in the
//! order of their time. Pure: the same seed gives the same acts on every machine.
//!
//! Faults are drawn as from a bag that is refilled when it is empty, so that a short campaign has
//! every kind and a long one every mixture. They overlap, but nobody is hurt twice at once, and
//! broker and database get a moment to work between two of theirs.

use std::collections::BTreeMap;
use std::fmt;

/// How many of each there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Consumers that are there all the time.
    pub consumers: usize,
    /// Producers.
    pub producers: usize,
    /// Brokers.
    pub brokers: usize,
}

/// Whom it happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A member of the group.
    Consumer(usize),
    /// A member that comes and goes.
    Guest,
    /// One member's way to the database, and nobody else's.
    Road(usize),
    /// A producer.
    Producer(usize),
    /// A broker; a cut is between it and everybody.
    Broker(usize),
    /// The database; a cut is between it and everybody.
    Database,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL; started again at the end.
    Kill,
    /// SIGSTOP; SIGCONT at the end.
    Freeze,
    /// SIGTERM, and it must drain; started again at the end.
    Leave,
    /// Started; SIGTERM at the end, and it must drain.
    Visit,
    /// Nothing passes and nothing tells.
    Silence,
    /// Connections are reset, again and again.
    Reset,
    /// As if nobody listened.
    Refuse,
    /// Every byte takes 200 ms longer.
    Slow,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act {
    /// When, in milliseconds from the beginning.
    pub at: u64,
    /// For how long, in milliseconds; how long it takes to recover comes after it.
    pub lasts: u64,
    /// To whom.
    pub target: Target,
    /// What.
    pub fault: Fault,
}

/// Between two acts, on average.
const GAP: u64 = 2_000;
/// Broker and database work undisturbed for this long after one of their faults, so that a campaign
/// is about surviving and not about standing still.
const REST: u64 = 3_500;

/// What is in the bag: a kind of target, its fault, and the shortest and longest it lasts. The
/// longest are well beyond the group's session timeout and the clients' deadlines.
const BAG: [(Kind, Choice, u64, u64); 17] = [
    (Kind::Consumer, Choice::Of(Fault::Kill), 0, 3_000),
    (Kind::Consumer, Choice::Of(Fault::Kill), 0, 500),
    (Kind::Consumer, Choice::Of(Fault::Freeze), 300, 8_000),
    (Kind::Consumer, Choice::Of(Fault::Leave), 0, 3_000),
    (Kind::Guest, Choice::Of(Fault::Visit), 500, 6_000),
    (Kind::Guest, Choice::Of(Fault::Visit), 500, 3_000),
    (Kind::Road, Choice::AnyCut, 300, 8_000),
    (Kind::Road, Choice::AnyCut, 300, 3_000),
    (Kind::Producer, Choice::Of(Fault::Kill), 0, 2_000),
    (Kind::Producer, Choice::Of(Fault::Leave), 0, 2_000),
    (Kind::Producer, Choice::Of(Fault::Freeze), 300, 5_000),
    (Kind::Broker, Choice::Of(Fault::Kill), 0, 2_000),
    (Kind::Broker, Choice::Of(Fault::Freeze), 300, 6_000),
    (Kind::Broker, Choice::AnyCut, 300, 6_000),
    (Kind::Database, Choice::Of(Fault::Kill), 0, 2_000),
    (Kind::Database, Choice::Of(Fault::Freeze), 300, 6_000),
    (Kind::Database, Choice::AnyCut, 300, 6_000),
];

const CUTS: [Fault; 4] = [Fault::Silence, Fault::Reset, Fault::Refuse, Fault::Slow];

#[derive(Clone, Copy)]
enum Kind {
    Consumer,
    Guest,
    Road,
    Producer,
    Broker,
    Database,
}

#[derive(Clone, Copy)]
enum Choice {
    Of(Fault),
    AnyCut,
}

/// The acts of a seed, without end.
#[derive(Clone, Debug)]
pub struct Plan {
    random: Random,
    shape: Shape,
    now: u64,
    bag: Vec<usize>,
    busy_until: BTreeMap<Target, u64>,
}

impl Plan {
    /// What this seed does to a system of this shape.
    ///
    /// # Panics
    /// If there is none of something.
    pub fn new(seed: u64, shape: Shape) -> Self {
        assert!(
            shape.consumers.min(shape.producers).min(shape.brokers) > 0,
            "nobody to be hurt in {shape:?}"
        );
        Self {
            random: Random(seed),
            shape,
            now: 0,
            bag: Vec::new(),
            busy_until: BTreeMap::new(),
        }
    }

    fn target(&mut self, kind: Kind) -> Target {
        let Shape {
            consumers,
            producers,
            brokers,
        } = self.shape;
        match kind {
            Kind::Consumer => Target::Consumer(self.random.below(consumers)),
            Kind::Guest => Target::Guest,
            Kind::Road => Target::Road(self.random.below(consumers)),
            Kind::Producer => Target::Producer(self.random.below(producers)),
            Kind::Broker => Target::Broker(self.random.below(brokers)),
            Kind::Database => Target::Database,
        }
    }
}

impl Iterator for Plan {
    type Item = Act;

    fn next(&mut self) -> Option<Act> {
        if self.bag.is_empty() {
            self.bag = (0..BAG.len()).collect();
        }
        let drawn = self.random.below(self.bag.len());
        let (kind, choice, shortest, longest) = BAG[self.bag.swap_remove(drawn)];
        let target = self.target(kind);
        let fault = match choice {
            Choice::Of(fault) => fault,
            Choice::AnyCut => CUTS[self.random.below(CUTS.len())],
        };
        let lasts = self.random.between(shortest, longest);
        let wanted = self.now + self.random.between(GAP / 4, GAP * 7 / 4);
        let free = self.busy_until.get(&target).copied().unwrap_or_default();
        let at = wanted.max(free);
        self.now = at;
        self.busy_until.insert(target, at + lasts + REST);
        Some(Act {
            at,
            lasts,
            target,
            fault,
        })
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ms: u64| ms as f64 / 1e3;
        let (at, lasts) = (seconds(self.at), seconds(self.lasts));
        let what = format!("{} {}", self.target, self.fault);
        write!(f, "{at:>7.1} s  {what:<38} {lasts:>4.1} s")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consumer(number) => write!(f, "consumer {number}"),
            Self::Guest => f.write_str("guest"),
            Self::Road(number) => write!(f, "consumer {number}'s way to the database"),
            Self::Producer(number) => write!(f, "producer {number}"),
            Self::Broker(number) => write!(f, "broker {number}"),
            Self::Database => f.write_str("database"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "killed",
            Self::Freeze => "frozen",
            Self::Leave => "leaves",
            Self::Visit => "visits",
            Self::Silence => "silent",
            Self::Reset => "reset",
            Self::Refuse => "refused",
            Self::Slow => "slow",
        })
    }
}

/// `SplitMix64`: eight bytes of state, the same everywhere, and good enough to choose faults.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Both ends included.
    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }
}

#[cfg(test)]
mod tests;
