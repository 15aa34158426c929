//! What is answered about purchases: histories and statistics.
//!
//! In: figures that consumer-svc has read. Out: the shape of their JSON, which consumer-svc writes
//! and producer-svc passes on, and so the one place that both describe it from. Pure.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{Cents, ItemName, PurchaseId, Timestamp, UserId, Username};

mod samples;

/// Purchases on a page of a history where the request does not say.
pub const PAGE_DEFAULT: usize = 100;
/// Most that it may say.
pub const PAGE_MAX: usize = 1000;
/// Items that a history names; what else was bought is summed up.
pub const ITEMS_MAX: usize = 1000;
/// Cursors of a history, as a regular expression of JSON Schema: 21 bytes in base64, which are a
/// version, a moment from the year 200 to 9900, and an id. In the second version, of a range, two
/// bounds follow: nothing but zeros, or a 1 and such a moment.
pub const CURSOR_PATTERN: &str = "^(A(QAA[A-Za-z0-4]|f__[yz0-9_-])[A-Za-z0-9_-]{23}|\
    A(gAA[A-Za-z0-4]|v__[yz0-9_-])[A-Za-z0-9_-]{23}(A{12}|A(QAA[A-Za-z0-4]|f__[yz0-9_-])[A-Za-z0-9_-]{7}){2})$";

/// A purchase as it stands in the log: the event.
#[derive(Debug, Serialize, ToSchema)]
pub struct Purchase {
    /// Buyer's name.
    pub username: Username,
    /// Buyer.
    pub user_id: UserId,
    /// What was bought.
    pub item_name: ItemName,
    /// What it cost.
    pub price: Cents,
    /// When it was accepted.
    pub timestamp: Timestamp,
}

/// A user's purchases: one page of them, newest first, and totals over the whole history, or over
/// the range that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct History {
    /// Whose.
    pub user_id: String,
    /// The name on the newest purchase of all.
    pub username: String,
    /// Purchases in all.
    pub total_purchases: u64,
    /// What they cost together, exact to the cent.
    pub total_spent: Cents,
    /// That divided by their number, rounded to the cent.
    pub average_price: Cents,
    /// Oldest purchase; `null` if there is none in the range that was asked for.
    #[schema(required = true)]
    pub first_purchase_at: Option<Timestamp>,
    /// Newest purchase; `null` likewise.
    #[schema(required = true)]
    pub last_purchase_at: Option<Timestamp>,
    /// By item, most spent first: the first thousand.
    #[schema(max_items = 1000)]
    pub items: Vec<ItemTotal>,
    /// What is not among them.
    pub other_items: OtherItems,
    /// The page, newest first.
    #[schema(max_items = 1000)]
    pub purchases: Vec<PurchaseView>,
    /// Where the next page begins; `null` on the last.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// One item's part of a history.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ItemTotal {
    /// The item.
    pub item_name: String,
    /// How often it was bought.
    pub count: u64,
    /// What it cost in all.
    pub spent: Cents,
}

/// The items of a history that found no room, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct OtherItems {
    /// How many different ones.
    pub items: u64,
    /// How often one of them was bought.
    pub count: u64,
    /// What they cost in all.
    pub spent: Cents,
}

/// One purchase as the history shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = StoredPurchase)]
pub struct PurchaseView {
    /// The purchase's id.
    #[serde(rename = "_id")]
    pub id: PurchaseId,
    /// Buyer's name at the time.
    pub username: String,
    /// Buyer.
    pub user_id: String,
    /// What was bought.
    pub item_name: String,
    /// What it cost.
    #[schema(value_type = Cents)]
    pub price: f64,
    /// When it was bought.
    pub timestamp: Timestamp,
    /// When it was stored.
    pub created_at: Timestamp,
}

/// The whole shop, exact to the purchase and the cent on any number of pods and after any crash.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Statistics)]
pub struct StatsView {
    /// When this was added up.
    pub as_of: Timestamp,
    /// The newest purchase that is counted; `null` before the first.
    #[schema(required = true)]
    pub newest_purchase_at: Option<Timestamp>,
    /// Purchases in all.
    pub total_purchases: u64,
    /// What they cost together.
    pub total_revenue: Cents,
    /// Average of the last ten whole seconds.
    pub per_second: RateView,
    /// The last sixty whole seconds.
    pub per_minute: SoldView,
    /// By second.
    pub last_two_minutes: StretchView,
    /// By minute.
    pub last_hour: StretchView,
    /// At most ten, best first.
    #[schema(max_items = 10)]
    pub best_sellers: Vec<ItemSoldView>,
    /// By how many purchases the figures of any of them may be too low, and how often an item may have
    /// been sold that is not named: 0 while no partition has sold more than 1024 different items, and
    /// never more than a 512th of all purchases.
    pub best_sellers_error: u64,
    /// Everything that is not among the best sellers.
    pub other_items: SoldView,
    /// Different buyers of late.
    pub active_buyers: BuyersView,
    /// Records that are in the log and not yet committed; `null` while the broker cannot be asked.
    #[schema(required = true)]
    pub backlog: Option<u64>,
    /// Where each partition stands.
    pub partitions: Vec<PartitionView>,
}

/// Purchases a second and what they cost.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rate)]
pub struct RateView {
    /// Purchases.
    #[schema(minimum = 0)]
    pub purchases: f64,
    /// What they cost.
    pub revenue: Cents,
}

/// Purchases and what they cost.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Sold)]
pub struct SoldView {
    /// Purchases.
    pub purchases: u64,
    /// What they cost.
    pub revenue: Cents,
}

/// A stretch of time, one number a step, in two columns of the same length. The last step is still
/// going on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stretch)]
pub struct StretchView {
    /// When the first step began.
    #[schema(required = true)]
    pub from: Option<Timestamp>,
    /// Length of a step.
    #[schema(minimum = 1)]
    pub step_seconds: i64,
    /// Purchases in each step.
    pub purchases: Vec<u64>,
    /// What they cost.
    pub revenue: Vec<Cents>,
}

/// One item's sales.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ItemSold)]
pub struct ItemSoldView {
    /// The item.
    pub item_name: String,
    /// How often it was sold.
    pub purchases: u64,
    /// What that brought.
    pub revenue: Cents,
}

/// How many different users bought something of late: an estimate.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ActiveBuyers)]
pub struct BuyersView {
    /// How many.
    pub estimate: u64,
    /// Within so many minutes.
    #[schema(minimum = 1)]
    pub window_minutes: i64,
    /// By how much the estimate may be off.
    pub error_percent: u8,
}

/// One partition: what is counted of it, and what the broker says. What is not known is `null`.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Partition)]
pub struct PartitionView {
    /// Its number.
    #[schema(minimum = 0)]
    pub partition: i32,
    /// Purchases that are counted.
    #[schema(required = true)]
    pub purchases: Option<u64>,
    /// The first record that was looked at.
    #[schema(required = true)]
    pub counted_from: Option<u64>,
    /// Records that the log had lost before they could be counted.
    #[schema(required = true)]
    pub skipped: Option<u64>,
    /// Everything before this record is counted.
    #[schema(required = true)]
    pub upto: Option<u64>,
    /// Everything before this record is committed.
    #[schema(required = true)]
    pub committed: Option<u64>,
    /// The end of the log.
    #[schema(required = true)]
    pub end: Option<u64>,
    /// Records between the two.
    #[schema(required = true)]
    pub lag: Option<u64>,
}
