//! Pure: how many different buyers there were lately, without keeping them.
//!
//! A HyperLogLog that can forget. Each register keeps, beside its largest rank, the smaller ranks
//! that were seen later: they are what the largest will be once it has grown too old
//! (Chabchoub and Hébrail, "Sliding HyperLogLog"). What is kept depends on the sales alone and
//! not on their order, and merging is a union, so a buyer of two partitions counts once.

use std::collections::BTreeSet;

use purchases::{Timestamp, UserId};

use super::codec::{Malformed, Reader, Writer};

/// Registers are 2^14: a standard error of 1.04 / √16384 = 0.8 %, so that two percent are two and
/// a half standard errors.
const PRECISION: u32 = 14;
const REGISTERS: usize = 1 << PRECISION;
/// Bits that ranks are counted in; the largest rank is one more.
const RANKED: u32 = u64::BITS - PRECISION;
const MILLIS: i64 = 60_000;
/// The window of "lately", in minutes, the running one included.
pub(super) const WINDOW: i64 = 60;
/// A reader whose clock is a little behind still finds its whole window.
const KEEP: i64 = WINDOW + 1;
/// Makes every minute of the calendar positive.
const EPOCH: i64 = 1 << 31;

/// A buyer, as a number: the hash of the user's id, the same on every pod and in every version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buyer(u64);

impl Buyer {
    /// FNV-1a, whose output is then mixed until every bit depends on every other: registers and
    /// ranks take single bits of it.
    pub fn of(user: &UserId) -> Self {
        let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        let hash = user
            .as_str()
            .as_bytes()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, fnv);
        Self::mixed(hash)
    }

    fn mixed(mut hash: u64) -> Self {
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(hash ^ (hash >> 31))
    }

    fn register(self) -> u64 {
        self.0 >> RANKED
    }

    /// Position of the first one bit in what the register has not used.
    fn rank(self) -> u8 {
        let rest = self.0 << PRECISION;
        (rest.leading_zeros().min(RANKED) + 1) as u8
    }
}

/// One thing a register remembers, packed so that a set keeps them by register, then by minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mark(u64);

impl Mark {
    fn new(register: u64, minute: i64, rank: u8) -> Self {
        let minute = (minute + EPOCH).unsigned_abs();
        Self(register << 50 | minute << 8 | u64::from(rank))
    }

    fn register(self) -> u64 {
        self.0 >> 50
    }

    fn minute(self) -> i64 {
        ((self.0 >> 8) & ((1 << 42) - 1)) as i64 - EPOCH
    }

    fn rank(self) -> u8 {
        self.0 as u8
    }
}

/// The different buyers of the last hour, as a sketch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buyers {
    marks: BTreeSet<Mark>,
    /// The minute up to which old marks were thrown away.
    swept: Option<i64>,
}

impl Buyers {
    pub(super) fn add(&mut self, buyer: Buyer, at: Timestamp, newest: Timestamp) {
        let (minute, newest) = (minute_of(at), minute_of(newest));
        if minute > newest - KEEP {
            self.mark(Mark::new(buyer.register(), minute, buyer.rank()));
        }
        self.sweep(newest);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for mark in &other.marks {
            self.mark(*mark);
        }
        self.swept = self.swept.max(other.swept);
    }

    /// A mark is of use unless another one of its register is as late and ranks as high.
    fn mark(&mut self, new: Mark) {
        let register = new.register();
        let own = Mark(register << 50)..=Mark(register << 50 | ((1 << 50) - 1));
        let beats = |a: Mark, b: Mark| a.minute() >= b.minute() && a.rank() >= b.rank();
        let mut beaten = Vec::new();
        for mark in self.marks.range(own) {
            if beats(*mark, new) {
                return;
            }
            if beats(new, *mark) {
                beaten.push(*mark);
            }
        }
        for mark in beaten {
            self.marks.remove(&mark);
        }
        self.marks.insert(new);
    }

    /// Throws away what is too old; once a minute is enough.
    fn sweep(&mut self, newest: i64) {
        if self.swept.is_none_or(|swept| swept < newest) {
            self.swept = Some(newest);
            self.marks.retain(|mark| mark.minute() > newest - KEEP);
        }
    }

    /// How many different buyers there were in the window that ends with the minute of `now`.
    pub fn estimate(&self, now: Timestamp) -> u64 {
        let now = minute_of(now);
        let mut ranks = vec![0u8; REGISTERS];
        for mark in &self.marks {
            if mark.minute() > now - WINDOW && mark.minute() <= now {
                let rank = &mut ranks[mark.register() as usize];
                *rank = mark.rank().max(*rank);
            }
        }
        let mut histogram = [0u32; RANKED as usize + 2];
        for rank in ranks {
            histogram[usize::from(rank)] += 1;
        }
        cardinality(&histogram).round() as u64
    }

    /// Three to four bytes a mark: distance of the register, age, rank.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        let Some(swept) = self.swept else {
            return out.done();
        };
        out.signed(swept);
        let mut last = 0;
        for mark in &self.marks {
            out.unsigned(mark.register() - last);
            out.unsigned((swept - mark.minute()).unsigned_abs());
            out.byte(mark.rank());
            last = mark.register();
        }
        out.done()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.is_empty() {
            return Ok(Self::default());
        }
        let calendar = 1 - EPOCH..1 << 40;
        let swept = reader.signed()?;
        if !calendar.contains(&swept) {
            return Err(Malformed);
        }
        let (mut marks, mut register) = (BTreeSet::new(), 0u64);
        while !reader.is_empty() {
            register = register
                .checked_add(reader.unsigned()?)
                .filter(|register| *register < REGISTERS as u64)
                .ok_or(Malformed)?;
            let age = i64::try_from(reader.unsigned()?).map_err(|_| Malformed)?;
            let rank = reader.byte()?;
            if age >= KEEP || !(1..=RANKED + 1).contains(&u32::from(rank)) {
                return Err(Malformed);
            }
            marks.insert(Mark::new(register, swept - age, rank));
        }
        let swept = Some(swept);
        Ok(Self { marks, swept })
    }
}

fn minute_of(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(MILLIS)
}

/// The estimate of Ertl ("New cardinality estimation algorithms for HyperLogLog sketches",
/// algorithm 6), from how many registers hold each rank. It needs no tables for small and large
/// numbers and has no bias between them.
fn cardinality(histogram: &[u32; RANKED as usize + 2]) -> f64 {
    let m = REGISTERS as f64;
    let full = f64::from(histogram[RANKED as usize + 1]);
    let mut z = m * tau(1.0 - full / m);
    for count in histogram[1..=RANKED as usize].iter().rev() {
        z = 0.5 * (z + f64::from(*count));
    }
    z += m * sigma(f64::from(histogram[0]) / m);
    m * m / (2.0 * std::f64::consts::LN_2) / z
}

/// Registers that are still empty. Endless for all of them, which makes the estimate zero.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z <= before {
            return z;
        }
    }
}

/// Registers at the largest rank.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z >= before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests;
