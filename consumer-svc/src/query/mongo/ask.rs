//! The questions to the collection, as documents. Pure.
//!
//! In: whose history and what of it. Out: filters, sorts and pipelines. The proofs have the server
//! explain these very documents, so nothing else may ask for a history.

use bson::oid::ObjectId;
use bson::{Document, doc};
use purchases::UserId;

use crate::document::date;
use crate::query::PageRequest;
use crate::query::cursor::Cursor;
use crate::query::range::Range;

/// A question that finds documents.
#[derive(Clone, Debug)]
pub struct Find {
    /// Which.
    pub filter: Document,
    /// In which order.
    pub sort: Document,
    /// How many at most.
    pub limit: i64,
    /// What of them; everything where it is empty.
    pub projection: Document,
}

fn newest_first() -> Document {
    doc! { "timestamp": -1, "_id": -1 }
}

/// One page, and one more, which tells whether there is a next page.
pub fn page(user: &UserId, page: &PageRequest) -> Find {
    let Range { since, mut until } = page.range;
    let mut filter = doc! { "user_id": user.as_str() };
    let mut times = Document::new();
    if let Some(Cursor { timestamp, id, .. }) = page.after
        && until.is_none_or(|until| until > timestamp)
    {
        let (moment, id) = (date(timestamp), ObjectId::from_bytes(*id.as_bytes()));
        // The range bounds the index scan; the alternatives split the cursor's own moment.
        times.insert("$lte", moment);
        filter.insert(
            "$or",
            vec![
                doc! { "timestamp": { "$lt": moment } },
                doc! { "_id": { "$lt": id } },
            ],
        );
        until = None;
    }
    bound(&mut times, &Range { since, until });
    if !times.is_empty() {
        filter.insert("timestamp", times);
    }
    Find {
        filter,
        sort: newest_first(),
        limit: page.limit as i64 + 1,
        projection: Document::new(),
    }
}

/// The newest purchase of the whole history, for its buyer's name.
pub fn newest(user: &UserId) -> Find {
    Find {
        filter: doc! { "user_id": user.as_str() },
        sort: newest_first(),
        limit: 1,
        projection: doc! { "username": 1 },
    }
}

/// The newest of the user's documents that cannot be added up, by the fields that [`totals`] reads.
pub fn odd(user: &UserId, range: &Range) -> Find {
    let mut filter = doc! { "user_id": user.as_str() };
    let of_another_type = |field: &str, kind: &str| doc! { field: { "$not": { "$type": kind } } };
    let odd = vec![
        of_another_type("item_name", "string"),
        of_another_type("price", "double"),
        of_another_type("timestamp", "date"),
    ];
    filter.insert("$or", odd);
    let mut times = Document::new();
    bound(&mut times, range);
    if !times.is_empty() {
        filter.insert("timestamp", times);
    }
    Find {
        filter,
        sort: newest_first(),
        limit: 1,
        projection: doc! { "item_name": 1, "price": 1, "timestamp": 1 },
    }
}

/// Totals by item, from the index alone.
pub fn totals(user: &UserId, range: &Range) -> Vec<Document> {
    let mut wanted = doc! { "user_id": user.as_str() };
    let mut times = Document::new();
    bound(&mut times, range);
    if !times.is_empty() {
        wanted.insert("timestamp", times);
    }
    vec![
        doc! { "$match": wanted },
        doc! { "$group": {
            "_id": "$item_name",
            "count": { "$sum": 1 },
            // Whole cents before the sum, and no doubles, which add exactly up to 2^53 only: ten of the largest
            // prices are more. A price that is missing is as little a number as a text is: the server says so,
            // and does not take it for nothing.
            "cents": { "$sum": { "$toLong": {
                "$round": [{ "$multiply": [{ "$ifNull": ["$price", "none"] }, 100] }, 0]
            } } },
            "first": { "$min": "$timestamp" },
            "last": { "$max": "$timestamp" },
        } },
    ]
}

fn bound(times: &mut Document, range: &Range) {
    if let Some(since) = range.since {
        times.insert("$gte", date(since));
    }
    if let Some(until) = range.until {
        times.insert("$lt", date(until));
    }
}

#[cfg(test)]
mod tests;
