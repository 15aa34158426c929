//! Pure: the statistics of one partition, a fold over its log.
//!
//! In: what each record contributes, in the order of the log. Out: totals, series, items and
//! buyers up to an offset. The same log folds to the same tally on any pod, so a tally may be
//! saved, loaded and continued anywhere. It knows no clock but the moments of the sales.

mod buyers;
mod codec;
mod goods;
#[cfg(test)]
pub(crate) mod memory;
pub mod mongo;
mod refused;
mod series;
mod shop;

use std::cmp::Ordering;
use std::fmt;

use purchases::{Cents, ItemName, Purchase, Timestamp};

use crate::mark::Mark;

pub use self::buyers::{Buyer, Buyers};
pub use self::goods::Goods;
pub use self::refused::Refused;
pub use self::series::Series;
pub use self::shop::{Shop, Stretch};

/// What a record contributes that was the first to store its purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sale {
    /// Who bought.
    pub buyer: Buyer,
    /// What.
    pub item: ItemName,
    /// For how much.
    pub price: Cents,
    /// When, for the series.
    pub at: Timestamp,
}

impl Sale {
    /// The sale that a stored purchase is. Its moment is that of the event, but never later than
    /// the moment it was stored: both stand in the document, so every fold finds the same, and a
    /// producer whose clock runs ahead cannot push the windows into the future.
    pub fn of(purchase: &Purchase, created_at: Timestamp) -> Self {
        Self {
            buyer: Buyer::of(purchase.user_id()),
            item: purchase.item_name().clone(),
            price: purchase.price(),
            at: purchase.timestamp().min(created_at),
        }
    }
}

/// A number of purchases and what they cost together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sold {
    /// Purchases.
    pub purchases: u64,
    /// Their prices, added up in cents.
    pub revenue: Cents,
}

impl Sold {
    /// One purchase.
    pub fn one(price: Cents) -> Self {
        Self {
            purchases: 1,
            revenue: price,
        }
    }

    /// Adds others to these.
    pub fn add(&mut self, other: Self) {
        self.purchases += other.purchases;
        self.revenue = [self.revenue, other.revenue].into_iter().sum();
    }
}

impl std::iter::Sum for Sold {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, next| {
            sum.add(next);
            sum
        })
    }
}

/// What sales add up to. A sum of sums is the sum of all, in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub total: Sold,
    /// By second.
    pub seconds: Series,
    /// By minute.
    pub minutes: Series,
    /// By item.
    pub goods: Goods,
    /// Who bought lately.
    pub buyers: Buyers,
    /// The latest moment of a sale; what is too old is judged by it.
    pub newest: Option<Timestamp>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            total: Sold::default(),
            seconds: Series::seconds(),
            minutes: Series::minutes(),
            goods: Goods::default(),
            buyers: Buyers::default(),
            newest: None,
        }
    }
}

impl Counts {
    /// Adds one sale.
    pub fn fold(&mut self, sale: &Sale) {
        let sold = Sold::one(sale.price);
        let newest = self.newest.map_or(sale.at, |newest| newest.max(sale.at));
        self.newest = Some(newest);
        self.total.add(sold);
        self.seconds.add(sale.at, sold, newest);
        self.minutes.add(sale.at, sold, newest);
        self.goods.add(&sale.item, sold);
        self.buyers.add(sale.buyer, sale.at, newest);
    }

    /// Adds the counts of other sales. Nothing is dropped for its age here: which of the two
    /// clocks is right is for the one to say who knows the time.
    pub fn merge(&mut self, other: &Self) {
        self.newest = self.newest.max(other.newest);
        self.total.add(other.total);
        self.seconds.merge(&other.seconds);
        self.minutes.merge(&other.minutes);
        self.goods.merge(&other.goods);
        self.buyers.merge(&other.buyers);
    }
}

/// The statistics of one partition up to an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    from: u64,
    upto: u64,
    skipped: u64,
    mark: Option<Mark>,
    counts: Counts,
    refused: Refused,
    amended: u64,
}

/// How much a tally has taken in. Of two folds of one log one stands for the other only if it is behind in
/// neither: one that counts late what the other has passed as refused, and does not reach as far, would
/// put the statistics behind what is committed. Two of which each is ahead in one are of two owners at the
/// same time. Who loads a tally and reads on is never behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// How often a record was counted later than it was passed.
    pub amended: u64,
    /// The next offset to be counted.
    pub upto: u64,
}

impl Reach {
    /// Whether this one has all that the other has.
    pub fn covers(&self, other: &Self) -> bool {
        self.amended >= other.amended && self.upto >= other.upto
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { amended, upto } = self;
        write!(f, "up to offset {upto} with {amended} counted late")
    }
}

/// What became of one sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folded {
    /// It is counted, and the tally reaches beyond it now.
    Counted,
    /// It is counted now; it had been refused when it was passed.
    Amended,
    /// It was counted before.
    Known,
}

impl Tally {
    /// Nothing counted yet; counting begins at `offset`.
    pub fn starting_at(offset: u64) -> Self {
        Self {
            from: offset,
            upto: offset,
            skipped: 0,
            mark: None,
            counts: Counts::default(),
            refused: Refused::default(),
            amended: 0,
        }
    }

    /// The offset at which counting began.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// The next offset to be counted; everything from `from` on and before it is.
    pub fn upto(&self) -> u64 {
        self.upto
    }

    /// Offsets after `from` that were passed over because somebody moved the group's offset.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// A record before `upto`, by which the log is known again; `None` before the first.
    pub fn mark(&self) -> Option<Mark> {
        self.mark
    }

    /// The record that was remembered is not in the log any more.
    pub fn forget_mark(&mut self) {
        self.mark = None;
    }

    /// Remembers one of the records that were passed.
    pub fn remember(&mut self, mark: Mark) {
        self.mark = Some(mark);
    }

    /// Whether any record was passed.
    pub fn has_begun(&self) -> bool {
        self.upto > self.from
    }

    /// What was counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How much it has taken in.
    pub fn reach(&self) -> Reach {
        let (amended, upto) = (self.amended, self.upto);
        Reach { amended, upto }
    }

    /// Refused records before `upto` that it does not remember any more: there were too many.
    pub fn forgotten(&self) -> u64 {
        self.refused.forgotten()
    }

    /// Nothing before this offset is in the log any more, nor comes again.
    pub fn cut(&mut self, first: u64) {
        self.refused.cut(first);
    }

    /// Counts the record at `offset`, unless that was done before: one that was passed is counted if
    /// it was refused then, and not counted since.
    pub fn fold(&mut self, offset: u64, sale: &Sale) -> Folded {
        let folded = if offset >= self.upto {
            self.upto = offset + 1;
            Folded::Counted
        } else if self.refused.take(offset) {
            self.amended += 1;
            Folded::Amended
        } else {
            return Folded::Known;
        };
        self.counts.fold(sale);
        folded
    }

    /// The record at `offset` is refused, and has nothing to count for now. One that was passed before
    /// stays what it was then: who refuses it now may have taken it before.
    pub fn refuse(&mut self, offset: u64) {
        if offset >= self.upto {
            self.upto = offset + 1;
            self.refused.push(offset);
        }
    }

    /// Everything before `next` is counted or has nothing to count: tombstones and second events
    /// of a purchase.
    pub fn pass(&mut self, next: u64) {
        self.upto = self.upto.max(next);
    }

    /// Reading goes on at `start`. Behind what is counted, records come again and are not counted
    /// again. Ahead of it there is a gap, which only an offset that was moved by hand can make:
    /// it stays visible. Answers how large the gap is.
    pub fn resume(&mut self, start: u64) -> u64 {
        match start.cmp(&self.upto) {
            Ordering::Greater => {
                let gap = start - self.upto;
                self.skipped += gap;
                self.upto = start;
                gap
            }
            Ordering::Less | Ordering::Equal => 0,
        }
    }
}

/// Why a tally could not be loaded or saved.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TallyError {
    /// The database does not answer, or not in time.
    #[error("statistics not available: {0}")]
    Unavailable(String),
    /// The document is not as this version writes it. Starting over would be a false answer.
    #[error("statistics not readable: {0}")]
    Malformed(String),
    /// Another owner has saved what these do not continue. They have to be loaded anew.
    #[error("another owner's statistics are saved, {theirs}, which these, {ours}, do not continue")]
    Overtaken {
        /// What is saved.
        theirs: Reach,
        /// What was to be saved.
        ours: Reach,
    },
}

/// The port to the tallies of this group and topic.
pub trait TallyStore: Send + Sync + 'static {
    /// The partition's tally; `None` before the first.
    fn load(
        &self,
        partition: i32,
    ) -> impl Future<Output = Result<Option<Tally>, TallyError>> + Send;
    /// Saves durably, unless one is there whose [reach](Reach) covers this one's: then that one stands,
    /// which is as good, since both are folds of the same log. One that is ahead in one thing and behind
    /// in another is neither replaced nor taken for this one.
    fn save(
        &self,
        partition: i32,
        tally: &Tally,
    ) -> impl Future<Output = Result<(), TallyError>> + Send;
    /// Every partition's, in order.
    fn all(&self) -> impl Future<Output = Result<Vec<(i32, Tally)>, TallyError>> + Send;
}

#[cfg(test)]
pub(crate) mod tests;
