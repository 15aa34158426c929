//! From documents to what is shown of them. Pure.
//!
//! In: documents as the server gives them. Out: purchases, totals, or which field of which document
//! is not as this service writes it.

use bson::{Bson, Document};
use purchases::Cents;
use purchases::views::{ITEMS_MAX, ItemTotal, PurchaseView};

use crate::document::{Malformed, id, malformed, moment, text};
use crate::query::Totals;

/// Adds up the groups, one by one, and keeps only as many of them as are shown.
#[derive(Default)]
pub(super) struct Adding {
    sum: Totals,
    unsummed: Option<Unsummed>,
}

/// Why there are no totals.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsummed {
    /// A group is not as it was asked for.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// No document is to blame.
    #[error("what was spent up to and with item {0} is more cents than can be counted here (2^63)")]
    TooMuch(String),
}

impl Adding {
    /// Adds one item's. The first that cannot be read is what is told in the end.
    pub(super) fn add(&mut self, group: &Document) {
        if self.unsummed.is_none() {
            self.unsummed = self.take(group).err();
        }
    }

    /// What they add up to. Nothing of nothing.
    pub(super) fn done(mut self) -> Result<Totals, Unsummed> {
        self.settle();
        self.unsummed.map_or(Ok(self.sum), Err)
    }

    fn take(&mut self, group: &Document) -> Result<(), Unsummed> {
        let too_much = || text(group, "_id").map(|item| Unsummed::TooMuch(item.to_owned()));
        // What a server adds up beyond whole numbers, it gives as a double.
        if matches!(group.get("cents"), Some(Bson::Double(cents)) if *cents >= 2_f64.powi(63)) {
            return Err(too_much()?);
        }
        let item = ItemTotal {
            item_name: text(group, "_id")?.to_owned(),
            count: whole(group, "count")?,
            spent: i64::try_from(whole(group, "cents")?)
                .ok()
                .and_then(Cents::new)
                .ok_or_else(|| malformed(group, "cents"))?,
        };
        let (first, last) = (moment(group, "first")?, moment(group, "last")?);
        let sum = &mut self.sum;
        sum.count += item.count;
        sum.spent = match sum.spent.checked_add(item.spent) {
            Some(spent) => spent,
            None => return Err(too_much()?),
        };
        sum.first = Some(sum.first.map_or(first, |sum| sum.min(first)));
        sum.last = Some(sum.last.map_or(last, |sum| sum.max(last)));
        sum.items.push(item);
        // Not with every one: sorting pays off by the thousand.
        if sum.items.len() == 2 * ITEMS_MAX {
            self.settle();
        }
        Ok(())
    }

    /// Sorts, and adds what finds no room to the others.
    fn settle(&mut self) {
        let Totals { items, other, .. } = &mut self.sum;
        items.sort_by(|a, b| {
            b.spent
                .cmp(&a.spent)
                .then_with(|| a.item_name.cmp(&b.item_name))
        });
        for item in items.drain(items.len().min(ITEMS_MAX)..) {
            other.items += 1;
            other.count += item.count;
            // Within the sum of all, which was checked.
            other.spent = [other.spent, item.spent].into_iter().sum();
        }
    }
}

/// A whole number, in whichever numeric type the server summed it.
fn whole(document: &Document, field: &'static str) -> Result<u64, Malformed> {
    let number = match document.get(field) {
        Some(Bson::Int32(number)) => i64::from(*number),
        Some(Bson::Int64(number)) => *number,
        Some(Bson::Double(number))
            if number.fract() == 0.0 && number.abs() < 9.007_199_254_740_992e15 =>
        {
            *number as i64
        }
        _ => return Err(malformed(document, field)),
    };
    u64::try_from(number).map_err(|_| malformed(document, field))
}

/// The first of the fields to be added up that is not as it should be.
pub(super) fn odd(document: &Document) -> Option<Malformed> {
    let price = || {
        let price = document.get_f64("price");
        price.map_err(|_| malformed(document, "price")).err()
    };
    let item = text(document, "item_name").err();
    item.or_else(price)
        .or_else(|| moment(document, "timestamp").err())
}

pub(super) fn view(document: &Document) -> Result<PurchaseView, Malformed> {
    Ok(PurchaseView {
        id: id(document)?,
        username: text(document, "username")?.to_owned(),
        user_id: text(document, "user_id")?.to_owned(),
        item_name: text(document, "item_name")?.to_owned(),
        price: document
            .get_f64("price")
            .map_err(|_| malformed(document, "price"))?,
        timestamp: moment(document, "timestamp")?,
        created_at: moment(document, "created_at")?,
    })
}

#[cfg(test)]
mod tests;
