//! What the query API answers. The one place that knows the shape of its JSON.

use purchases::{Cents, PurchaseId, Timestamp};
use serde::Serialize;

/// A user's purchases: one page of them, and totals over all.
#[derive(Debug, Serialize)]
pub struct History {
    /// Whose.
    pub user_id: String,
    /// The name on the newest purchase.
    pub username: String,
    /// Purchases in the whole history.
    pub total_purchases: u64,
    /// What they cost together, exact to the cent.
    pub total_spent: Cents,
    /// That divided by their number, rounded to the cent.
    pub average_price: Cents,
    /// Oldest purchase.
    pub first_purchase_at: Timestamp,
    /// Newest purchase.
    pub last_purchase_at: Timestamp,
    /// By item, most spent first.
    pub items: Vec<ItemTotal>,
    /// The page, newest first.
    pub purchases: Vec<PurchaseView>,
    /// Where the next page begins; `null` on the last.
    pub next_cursor: Option<String>,
}

/// One item's part of a history.
#[derive(Debug, Serialize)]
pub struct ItemTotal {
    /// The item.
    pub item_name: String,
    /// How often it was bought.
    pub count: u64,
    /// What it cost in all.
    pub spent: Cents,
}

/// One purchase as the history shows it.
#[derive(Debug, Serialize)]
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
    pub price: f64,
    /// When it was bought.
    pub timestamp: Timestamp,
    /// When it was stored.
    pub created_at: Timestamp,
}
