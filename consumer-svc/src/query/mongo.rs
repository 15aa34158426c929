//! History and totals of one user, from MongoDB.

use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use mongodb::error::Error;
use mongodb::{Client, Collection, Database};
use purchases::views::{History, ItemTotal, PurchaseView};
use purchases::{Cents, Timestamp, UserId};

use super::cursor::Cursor;
use super::{HistoryStore, PageRequest, StoreError};
use crate::document::{Malformed, date, id, malformed, moment, text};
use crate::mongo::{owned, words};

/// Reads from one collection.
#[derive(Clone)]
pub struct MongoHistory {
    database: Database,
    collection: Collection<Document>,
    deadline: Duration,
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        Self::Unavailable(words(&error))
    }
}

impl From<Malformed> for StoreError {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl MongoHistory {
    /// `deadline` bounds each read, at the server and here.
    pub fn new(client: &Client, database: &str, collection: &str, deadline: Duration) -> Self {
        let database = client.database(database);
        Self {
            collection: database.collection(collection),
            database,
            deadline,
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let database = self.database.clone();
        let ping = owned(async move { database.run_command(doc! { "ping": 1 }).await });
        tokio::time::timeout(self.deadline, ping)
            .await
            .map_err(|_| self.late())??;
        Ok(())
    }

    fn late(&self) -> StoreError {
        StoreError::Unavailable(format!("no answer within {:?}", self.deadline))
    }

    async fn page(&self, user: &UserId, page: &PageRequest) -> Result<Vec<Document>, StoreError> {
        let mut filter = doc! { "user_id": user.as_str() };
        if let Some(Cursor { timestamp, id }) = page.after {
            let (moment, id) = (date(timestamp), ObjectId::from_bytes(*id.as_bytes()));
            // The range bounds the index scan; the alternatives split the cursor's own moment.
            filter.insert("timestamp", doc! { "$lte": moment });
            filter.insert(
                "$or",
                vec![
                    doc! { "timestamp": { "$lt": moment } },
                    doc! { "_id": { "$lt": id } },
                ],
            );
        }
        // One more than asked tells whether there is a next page.
        let limit = page.limit as i64 + 1;
        let (collection, deadline) = (self.collection.clone(), self.deadline);
        let read = owned(async move {
            let sort = doc! { "timestamp": -1, "_id": -1 };
            collection
                .find(filter)
                .sort(sort)
                .limit(limit)
                .max_time(deadline)
                .await?
                .try_collect()
                .await
        });
        Ok(tokio::time::timeout(self.deadline, read)
            .await
            .map_err(|_| self.late())??)
    }

    /// The newest purchase, where the page does not begin with it.
    async fn newest(
        &self,
        user: &UserId,
        page: &PageRequest,
    ) -> Result<Option<Document>, StoreError> {
        if page.after.is_none() {
            return Ok(None);
        }
        let first = PageRequest {
            limit: 0,
            after: None,
        };
        Ok(self.page(user, &first).await?.into_iter().next())
    }

    async fn totals(&self, user: &UserId) -> Result<Vec<Document>, StoreError> {
        let pipeline = vec![
            doc! { "$match": { "user_id": user.as_str() } },
            doc! { "$group": {
                "_id": "$item_name",
                "count": { "$sum": 1 },
                // Whole cents before the sum: doubles add whole numbers exactly up to 2^53.
                "cents": { "$sum": { "$round": [{ "$multiply": ["$price", 100] }, 0] } },
                "first": { "$min": "$timestamp" },
                "last": { "$max": "$timestamp" },
            } },
        ];
        let (collection, deadline) = (self.collection.clone(), self.deadline);
        let read = owned(async move {
            collection
                .aggregate(pipeline)
                .max_time(deadline)
                .await?
                .try_collect()
                .await
        });
        Ok(tokio::time::timeout(self.deadline, read)
            .await
            .map_err(|_| self.late())??)
    }
}

impl HistoryStore for MongoHistory {
    async fn history(
        &self,
        user: &UserId,
        page: &PageRequest,
    ) -> Result<Option<History>, StoreError> {
        let (mut documents, totals, newest) = tokio::try_join!(
            self.page(user, page),
            self.totals(user),
            self.newest(user, page)
        )?;
        if documents.is_empty() && page.after.is_none() && !totals.is_empty() {
            // The first purchase was stored between the two reads: an empty page beside totals
            // would be an answer that was never true.
            documents = self.page(user, page).await?;
        }
        let newest = newest.or_else(|| documents.first().cloned());
        Ok(assemble(user, page, documents, newest.as_ref(), &totals)?)
    }
}

/// Puts page and totals together. `None` if the user has no purchase.
fn assemble(
    user: &UserId,
    page: &PageRequest,
    mut documents: Vec<Document>,
    newest: Option<&Document>,
    totals: &[Document],
) -> Result<Option<History>, Malformed> {
    let Some(overall) = Overall::of(totals)? else {
        return Ok(None);
    };
    let more = documents.len() > page.limit;
    documents.truncate(page.limit);
    let purchases = documents.iter().map(view).collect::<Result<Vec<_>, _>>()?;
    let next_cursor = purchases.last().filter(|_| more).map(|last| {
        Cursor {
            timestamp: last.timestamp,
            id: last.id,
        }
        .encode()
    });
    Ok(Some(History {
        user_id: user.as_str().to_owned(),
        username: newest
            .map(|newest| text(newest, "username"))
            .transpose()?
            .unwrap_or_default()
            .to_owned(),
        total_purchases: overall.count,
        total_spent: overall.spent,
        average_price: overall
            .spent
            .average_over(overall.count)
            .unwrap_or_default(),
        first_purchase_at: overall.first,
        last_purchase_at: overall.last,
        items: overall.items,
        purchases,
        next_cursor,
    }))
}

struct Overall {
    count: u64,
    spent: Cents,
    first: Timestamp,
    last: Timestamp,
    items: Vec<ItemTotal>,
}

impl Overall {
    fn of(totals: &[Document]) -> Result<Option<Self>, Malformed> {
        let mut overall: Option<Self> = None;
        for group in totals {
            let item = ItemTotal {
                item_name: text(group, "_id")?.to_owned(),
                count: whole(group, "count")?,
                spent: i64::try_from(whole(group, "cents")?)
                    .ok()
                    .and_then(Cents::new)
                    .ok_or_else(|| malformed(group, "cents"))?,
            };
            let (first, last) = (moment(group, "first")?, moment(group, "last")?);
            let sum = overall.get_or_insert(Self {
                count: 0,
                spent: Cents::ZERO,
                first,
                last,
                items: Vec::new(),
            });
            sum.count += item.count;
            sum.spent = sum
                .spent
                .checked_add(item.spent)
                .ok_or_else(|| malformed(group, "cents"))?;
            sum.first = sum.first.min(first);
            sum.last = sum.last.max(last);
            sum.items.push(item);
        }
        if let Some(sum) = overall.as_mut() {
            sum.items.sort_by(|a, b| {
                b.spent
                    .cmp(&a.spent)
                    .then_with(|| a.item_name.cmp(&b.item_name))
            });
        }
        Ok(overall)
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

fn view(document: &Document) -> Result<PurchaseView, Malformed> {
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
