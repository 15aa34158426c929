//! The account: what customers were told, against what broker and database hold. In: all three,
//! whole. Out: what is wrong, by kind, with examples. Pure: asks nobody.
//!
//! Sets are compared, not only counts: a purchase lost and another one stored twice would add up.

use std::collections::{HashMap, HashSet};

use e2e::wrongs::Wrongs;

/// Identity of a purchase.
pub type Id = [u8; 12];

/// A purchase, wherever it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sale {
    /// Its id.
    pub id: Id,
    /// Number of the order; it travels in the buyer's name.
    pub order: u32,
    /// A digest of user, item and price: what a customer may never see change.
    pub content: u64,
    /// When, in milliseconds. A retry in another process makes a new one.
    pub time: i64,
}

/// A place in the topic.
pub type Place = (i32, i64);

/// A sale and where it stands in the topic; of a document: where it says that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The sale.
    pub sale: Sale,
    /// Where.
    pub place: Place,
}

/// A 201.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// What it said.
    pub sale: Sale,
    /// Partition it named.
    pub partition: i32,
    /// Offset it named; none where the broker confirmed a resend without telling.
    pub offset: Option<i64>,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Whether it was ever sent.
    pub sent: bool,
    /// The id that its key promises, if it had one.
    pub promised: Option<Id>,
    /// Attempts whose outcome nobody told.
    pub unknown: u32,
    /// The 201 that ended it.
    pub told: Option<Told>,
}

impl Order {
    /// Whether a document with this id may be there because of this order, beside that of its 201.
    fn may_have_left(&self, id: &Id, others: u32) -> bool {
        match self.promised {
            Some(promised) => promised == *id && (self.unknown > 0 || self.told.is_some()),
            None => others < self.unknown,
        }
    }
}

/// A document that no order explains.
pub const FOREIGN: &str = "documents that nobody bought";
/// A 201 without a document.
pub const LOST: &str = "201s without a document";
/// One id in two documents.
pub const TWICE: &str = "purchases stored twice";
/// A record without a document.
pub const NOT_STORED: &str = "records whose purchase is not in the collection";
/// A 201 that the topic does not confirm.
pub const FALSE: &str = "201s that are not true of the topic";
/// A document that says something else than its 201.
pub const ALTERED: &str = "documents that differ from their 201";
/// A document that says something else than its record.
pub const INVENTED: &str = "documents that differ from their record";
/// An order that was sent and never confirmed.
pub const UNANSWERED: &str = "orders that never got a 201";
/// A key that did not give the promised id, or an id given to two orders.
pub const MISNAMED: &str = "201s with an id of another order";

/// Compares all three, exactly.
pub fn check(orders: &[Order], records: &[Placed], documents: &[Placed]) -> Wrongs {
    let mut wrongs = Wrongs::default();
    let by_place: HashMap<Place, &Sale> = records
        .iter()
        .map(|record| (record.place, &record.sale))
        .collect();
    let mut stored: HashMap<Id, &Placed> = HashMap::with_capacity(documents.len());
    for document in documents {
        if stored.insert(document.sale.id, document).is_some() {
            wrongs.add(TWICE, || format!("{document:?}"));
        }
        if by_place.get(&document.place) != Some(&&document.sale) {
            wrongs.add(INVENTED, || {
                let there = by_place.get(&document.place);
                format!("{document:?}, and there is {there:?}")
            });
        }
    }
    let mut in_topic: HashMap<Id, Vec<Place>> = HashMap::with_capacity(records.len());
    for record in records {
        in_topic
            .entry(record.sale.id)
            .or_default()
            .push(record.place);
        if !stored.contains_key(&record.sale.id) {
            wrongs.add(NOT_STORED, || format!("{record:?}"));
        }
    }
    let mut told_ids = HashSet::with_capacity(orders.len());
    for (number, order) in orders.iter().enumerate() {
        let Some(told) = order.told else {
            if order.sent {
                wrongs.add(UNANSWERED, || format!("order {number}: {order:?}"));
            }
            continue;
        };
        let misnamed = order
            .promised
            .is_some_and(|promised| promised != told.sale.id);
        if misnamed || !told_ids.insert(told.sale.id) {
            wrongs.add(MISNAMED, || format!("order {number}: {order:?}"));
        }
        let says = |place: &Place| {
            by_place.get(place).is_some_and(|record| {
                place.0 == told.partition
                    && (record.id, record.order, record.content)
                        == (told.sale.id, told.sale.order, told.sale.content)
            })
        };
        let confirmed = match told.offset {
            Some(offset) => says(&(told.partition, offset)),
            None => in_topic
                .get(&told.sale.id)
                .is_some_and(|places| places.iter().any(says)),
        };
        if !confirmed {
            wrongs.add(FALSE, || format!("{told:?}"));
        }
        match stored.get(&told.sale.id) {
            None => wrongs.add(LOST, || format!("{told:?}")),
            Some(document)
                if (document.sale.order, document.sale.content)
                    != (told.sale.order, told.sale.content) =>
            {
                wrongs.add(ALTERED, || format!("{document:?} of {told:?}"));
            }
            Some(_) => {}
        }
    }
    foreigners(orders, documents, &mut wrongs);
    wrongs
}

/// Every document is that of a 201, or one that an attempt of unknown outcome may have left.
fn foreigners(orders: &[Order], documents: &[Placed], wrongs: &mut Wrongs) {
    let mut others: HashMap<u32, u32> = HashMap::new();
    for Placed { sale, place } in documents {
        let Some(order) = orders.get(sale.order as usize) else {
            wrongs.add(FOREIGN, || format!("{sale:?} at {place:?}"));
            continue;
        };
        if order.told.is_some_and(|told| told.sale.id == sale.id) {
            continue;
        }
        let before = others.entry(sale.order).or_default();
        if !order.may_have_left(&sale.id, *before) {
            wrongs.add(FOREIGN, || format!("{sale:?} at {place:?} of {order:?}"));
        }
        *before += 1;
    }
}

#[cfg(test)]
mod tests;
