//! History and totals of one user, from MongoDB.

mod answer;
pub mod ask;

use std::time::Duration;

use actors::Credits;
use bson::{Document, doc};
use futures_util::TryStreamExt;
use mongodb::options::{CollectionOptions, ReadPreference, SelectionCriteria};
use mongodb::{Client, Collection, Database};
use purchases::UserId;
use tokio::time::Instant;

use self::ask::Find;
use super::range::Range;
use super::{HistoryStore, Page, PageRequest, StoreError, Totals};
use crate::document::{Malformed, text};
use crate::mongo::{Answers, Failed};

/// Reads from one collection.
#[derive(Clone)]
pub struct MongoHistory {
    database: Database,
    collection: Collection<Document>,
    answers: Answers,
}

/// Reads whose answers are late, and questions about the database's health, beside the reads that are
/// bounded by whoever asks.
const MAX_OVERDUE: usize = 8;

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        Self::Unavailable(failed.to_string())
    }
}

impl From<Malformed> for StoreError {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl MongoHistory {
    /// `deadline` bounds each question, at the server and here, where whoever asks sets none that is sooner;
    /// `reads` is how many there are at the same time, each with up to two questions.
    pub fn new(
        client: &Client,
        (database, collection): (&str, &str),
        (deadline, reads): (Duration, usize),
    ) -> Self {
        let database = client.database(database);
        // Whatever the URI prefers: totals and page from different members could contradict each
        // other, and a member that lags would not have a purchase that is stored.
        let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
        let options = CollectionOptions::builder().selection_criteria(primary);
        Self {
            collection: database.collection_with_options(collection, options.build()),
            database,
            answers: Answers::new("mongodb_histories", deadline, 2 * reads + MAX_OVERDUE),
        }
    }

    /// The bound of what waits for an answer of the database, to be shown.
    pub fn pending(&self) -> &Credits {
        self.answers.pending()
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let database = self.database.clone();
        let ping = async move { database.run_command(doc! { "ping": 1 }).await };
        self.answers.to(ping).await?;
        Ok(())
    }

    /// How long an answer that is wanted by then is waited for. The server counts whole milliseconds, and
    /// takes none for no bound at all.
    fn left(&self, by: Instant) -> Result<Duration, StoreError> {
        let left = by.saturating_duration_since(Instant::now());
        match left < Duration::from_millis(1) {
            true => Err(StoreError::Unavailable("no time is left".to_owned())),
            false => Ok(left.min(self.answers.deadline())),
        }
    }

    async fn find(&self, question: Find, by: Instant) -> Result<Vec<Document>, StoreError> {
        let (collection, deadline) = (self.collection.clone(), self.left(by)?);
        let Find {
            filter,
            sort,
            limit,
            projection,
        } = question;
        let find = async move {
            let mut find = collection.find(filter).sort(sort).limit(limit);
            if !projection.is_empty() {
                find = find.projection(projection);
            }
            find.max_time(deadline).await?.try_collect().await
        };
        Ok(self.answers.within(deadline, find).await?)
    }
}

impl HistoryStore for MongoHistory {
    async fn totals(
        &self,
        user: &UserId,
        range: &Range,
        by: Instant,
    ) -> Result<Totals, StoreError> {
        let (collection, deadline) = (self.collection.clone(), self.left(by)?);
        let pipeline = ask::totals(user, range);
        let read = async move {
            let mut found = collection.aggregate(pipeline).max_time(deadline).await?;
            // One by one: a user may have bought as many different things as there are names.
            let mut sum = answer::Adding::default();
            while let Some(group) = found.try_next().await? {
                sum.add(&group);
            }
            Ok(sum)
        };
        Ok(self.answers.within(deadline, read).await?.done()?)
    }

    async fn page(
        &self,
        user: &UserId,
        page: &PageRequest,
        by: Instant,
    ) -> Result<Page, StoreError> {
        let mut documents = self.find(ask::page(user, page), by).await?;
        let more = documents.len() > page.limit;
        documents.truncate(page.limit);
        let purchases = documents.iter().map(answer::view);
        Ok(Page {
            purchases: purchases.collect::<Result<_, _>>()?,
            more,
        })
    }

    async fn username(&self, user: &UserId, by: Instant) -> Result<Option<String>, StoreError> {
        let newest = self.find(ask::newest(user), by).await?;
        let name = newest.first().map(|newest| text(newest, "username"));
        Ok(name.transpose()?.map(str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn histories_are_read_from_the_primary_whatever_the_uri_prefers() {
        let uri = "mongodb://localhost:1/?readPreference=secondaryPreferred";
        let client = Client::with_uri_str(uri).await.unwrap();
        let limits = (Duration::from_secs(1), 1);
        let history = MongoHistory::new(&client, ("shop", "purchases"), limits);
        assert_eq!(
            history.collection.selection_criteria(),
            Some(&SelectionCriteria::ReadPreference(ReadPreference::Primary))
        );
    }
}
