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
use crate::mongo::{Answers, Failed, command_code};

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
        Self::Malformed(format!(
            "{error}; mend that document, or put it aside and remove it: until then the history of its user is not \
             shown. Where the collection has the validator of this service, the database refuses such ones"
        ))
    }
}

/// What a server says that has to add up what is no number: a type that it does not take (14), by an older
/// one of multiplication (16555), and of rounding (51081); or what is none of cents (241).
const NO_NUMBER: [i32; 4] = [14, 241, 16_555, 51_081];

fn is_no_number(failed: &Failed) -> bool {
    match failed {
        Failed::Answered(error) => {
            command_code(error).is_some_and(|code| NO_NUMBER.contains(&code))
        }
        Failed::Unknown(_) => false,
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

    /// Why a user's purchases do not add up: by the document that is none, where it can be found in time.
    async fn odd(&self, user: &UserId, range: &Range, by: Instant, why: String) -> StoreError {
        let found = self.find(ask::odd(user, range), by).await;
        let odd = found.ok().and_then(|found| answer::odd(found.first()?));
        odd.map_or(StoreError::Malformed(why), StoreError::from)
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
        let why = match self.answers.within(deadline, read).await {
            Ok(sum) => match sum.done() {
                Ok(totals) => return Ok(totals),
                Err(malformed) => malformed.to_string(),
            },
            Err(failed) if is_no_number(&failed) => failed.to_string(),
            Err(failed) => return Err(failed.into()),
        };
        Err(self.odd(user, range, by, why).await)
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
    use std::collections::VecDeque;

    use bson::Bson;
    use bson::oid::ObjectId;

    use super::*;
    use crate::mongo::fake::{Script, Server};

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

    fn cursor(batch: Vec<Document>) -> Document {
        doc! { "ok": 1, "cursor": { "id": 0_i64, "ns": "shop.purchases", "firstBatch": batch } }
    }

    /// What totals are told of, where the server answers so, and so to what was asked afterwards.
    async fn told(answer: Document, found: Vec<Document>) -> StoreError {
        let server = Server::start(Script {
            others: VecDeque::from([answer]),
            find: VecDeque::from([cursor(found)]),
            ..Script::default()
        })
        .await;
        let limits = (Duration::from_secs(10), 1);
        let history = MongoHistory::new(&server.client, ("shop", "purchases"), limits);
        let user = UserId::parse("u1").unwrap();
        let by = Instant::now() + Duration::from_secs(10);
        let totals = history.totals(&user, &Range::WHOLE, by).await;
        totals.unwrap_err()
    }

    #[tokio::test]
    async fn what_does_not_add_up_is_no_outage_and_its_document_is_named() {
        let refused =
            |code: i32| doc! { "ok": 0, "code": code, "codeName": "Told", "errmsg": "no number" };
        let group = doc! { "_id": Bson::Null, "count": 1, "cents": 5 };
        let id = ObjectId::from_bytes([3; 12]);
        let odd = doc! { "_id": id, "item_name": "Book", "price": "9.99" };
        for answer in NO_NUMBER
            .map(refused)
            .into_iter()
            .chain([cursor(vec![group])])
        {
            let StoreError::Malformed(why) = told(answer.clone(), vec![odd.clone()]).await else {
                panic!("{answer} is taken for an outage");
            };
            for part in ["field price", &id.to_hex(), "mend that document"] {
                assert!(why.contains(part), "{part} in {why}");
            }
            // Somebody mended it meanwhile.
            let gone = told(answer, Vec::new()).await;
            assert!(matches!(gone, StoreError::Malformed(_)), "{gone}");
        }
        let away = told(refused(10_107), vec![odd]).await;
        assert!(matches!(away, StoreError::Unavailable(_)), "{away}");
    }
}
