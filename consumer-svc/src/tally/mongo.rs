//! Tallies in MongoDB: one small document a partition, read and saved so that counting may go on from it.

mod form;

use std::time::Duration;

use actors::Credits;
use bson::{Document, doc};
use futures_util::TryStreamExt;
use mongodb::error::{Error, ErrorKind, WriteFailure};
use mongodb::options::{ReadConcern, ReadPreference, SelectionCriteria};
use mongodb::{Client, Collection};
use tracing::{debug, info};

use self::form::{fields, malformed, tally, whole};
use super::{Reach, Tally, TallyError, TallyStore};
use crate::mongo::{Answers, Failed, command_code, durable, is_standalone};

/// The server's code for a duplicate key.
const DUPLICATE_KEY: i32 = 11000;
/// The server's code for a read concern that only a member of a replica set has.
const NOT_A_REPLICA_SET: i32 = 123;
/// Operations at a time whose answer did not come in time and is still awaited.
const MAX_OVERDUE: usize = 8;

/// The statistics of one group's reading of one topic.
#[derive(Clone)]
pub struct MongoTallies {
    collection: Collection<Document>,
    group: String,
    topic: String,
    answers: Answers,
}

impl MongoTallies {
    /// They are kept beside `collection`, which holds the purchases. `deadline` bounds the wait
    /// for one answer.
    pub fn new(
        client: &Client,
        (database, collection): (&str, &str),
        (group, topic): (&str, &str),
        deadline: Duration,
    ) -> Self {
        let name = format!("{collection}_statistics");
        Self {
            collection: client
                .database(database)
                .collection_with_options(&name, durable()),
            group: group.to_owned(),
            topic: topic.to_owned(),
            answers: Answers::new("mongodb_statistics", deadline, MAX_OVERDUE),
        }
    }

    /// The bound of what waits for an answer of the database, to be shown.
    pub fn pending(&self) -> &Credits {
        self.answers.pending()
    }

    /// A topic's name has no slash, so this is unambiguous whatever the group is called.
    fn id(&self, partition: i32) -> String {
        format!("{}/{}/{partition}", self.group, self.topic)
    }
}

impl MongoTallies {
    /// The document as a standalone server has it, which knows no linearizable read, and none that
    /// could be before it. It may not be in its journal yet, and what is counted from there on must
    /// not outlive it: so a journaled write that changes nothing (an offset is never less than 0)
    /// reads it.
    async fn alone(&self, id: String, refusal: Error) -> Result<Option<Document>, TallyError> {
        let admin = self.collection.client().database("admin");
        let hello = async move { admin.run_command(doc! { "hello": 1 }).await };
        if !is_standalone(&self.answers.in_turn(hello).await?) {
            return Err(Failed::Answered(refusal).into());
        }
        info!(
            id,
            "the database is a standalone server: statistics are read as it has them"
        );
        let (collection, deadline) = (self.collection.clone(), self.answers.deadline());
        let same = doc! { "$max": { "upto": 0_i64 } };
        let find = async move {
            let found = collection.find_one_and_update(doc! { "_id": id }, same);
            found.max_time(deadline).await
        };
        Ok(self.answers.in_turn(find).await?)
    }
}

impl From<Failed> for TallyError {
    fn from(failed: Failed) -> Self {
        Self::Unavailable(failed.to_string())
    }
}

fn primary() -> SelectionCriteria {
    SelectionCriteria::ReadPreference(ReadPreference::Primary)
}

impl TallyStore for MongoTallies {
    /// Linearizable: a primary that was deposed and does not know it yet must not answer with a
    /// document from before its successor's time, because counting would go on from there. Each time
    /// anew, and otherwise only where the server says that it has no successor: a standalone one may
    /// have become a member of a set since.
    async fn load(&self, partition: i32) -> Result<Option<Tally>, TallyError> {
        let (collection, deadline) = (self.collection.clone(), self.answers.deadline());
        let id = self.id(partition);
        let wanted = doc! { "_id": &id };
        let find = async move {
            collection
                .find_one(wanted)
                .read_concern(ReadConcern::linearizable())
                .selection_criteria(primary())
                .max_time(deadline)
                .await
        };
        let found = match self.answers.in_turn(find).await {
            Err(Failed::Answered(error)) if command_code(&error) == Some(NOT_A_REPLICA_SET) => {
                self.alone(id, error).await?
            }
            found => found?,
        };
        found.as_ref().map(tally).transpose()
    }

    async fn save(&self, partition: i32, tally: &Tally) -> Result<(), TallyError> {
        let ours = tally.reach();
        let mut document = doc! {
            "_id": self.id(partition),
            "group": &self.group,
            "topic": &self.topic,
            "partition": partition,
        };
        document.extend(fields(tally)?);
        let mut filter = doc! { "_id": self.id(partition) };
        filter.extend(lesser(ours)?);
        let collection = self.collection.clone();
        let replace = async move { collection.replace_one(filter, document).upsert(true).await };
        match self.answers.in_turn(replace).await {
            Ok(_) => Ok(()),
            // The filter did not match and the upsert met the `_id`: one that has not less of
            // everything is there. Usually it is this one, saved by an attempt whose answer got lost;
            // else another owner's. It is read before it is believed, which also waits until it is safe.
            Err(Failed::Answered(error)) if is_duplicate(&error) => {
                let found = self.load(partition).await?;
                match found.map(|there| there.reach()) {
                    Some(theirs) if theirs.covers(&ours) => {
                        debug!(partition, %ours, %theirs, "statistics that reach as far are there");
                        Ok(())
                    }
                    Some(theirs) if !ours.covers(&theirs) => {
                        Err(TallyError::Overtaken { theirs, ours })
                    }
                    _ => Err(TallyError::Unavailable(
                        "a document that reaches as far was there and is gone".to_owned(),
                    )),
                }
            }
            Err(failed) => Err(failed.into()),
        }
    }

    async fn all(&self) -> Result<Vec<(i32, Tally)>, TallyError> {
        let (collection, deadline) = (self.collection.clone(), self.answers.deadline());
        let filter = of_group(&self.group, &self.topic);
        let find = async move {
            collection
                .find(filter)
                .selection_criteria(primary())
                .max_time(deadline)
                .await?
                .try_collect::<Vec<Document>>()
                .await
        };
        let found = self.answers.to(find).await?;
        let mut tallies = Vec::with_capacity(found.len());
        for document in &found {
            let partition = document.get_i32("partition");
            let partition = partition.map_err(|_| malformed(document, "partition"))?;
            tallies.push((partition, tally(document)?));
        }
        tallies.sort_by_key(|(partition, _)| *partition);
        Ok(tallies)
    }
}

/// What a document says of its reach that this one may replace: it is covered, and not the same.
fn lesser(Reach { amended, upto }: Reach) -> Result<Document, TallyError> {
    let upto = whole(upto)?;
    let (shorter, no_longer) = (doc! { "$lt": upto }, doc! { "$lte": upto });
    Ok(match amended {
        // `null` is a document without the field, too.
        0 => doc! { "upto": shorter, "amended": null },
        amended => {
            let amended = whole(amended)?;
            doc! { "upto": no_longer, "$or": [
                { "amended": null },
                { "amended": { "$lt": amended } },
                { "amended": amended, "upto": shorter },
            ] }
        }
    })
}

/// Every `_id` that begins with "group/topic/": the character after the slash ends it. So the
/// index on `_id` finds these few documents among any number of others. The proofs have the server
/// explain this very filter.
pub fn of_group(group: &str, topic: &str) -> Document {
    let (from, to) = (format!("{group}/{topic}/"), format!("{group}/{topic}0"));
    doc! { "_id": { "$gte": from, "$lt": to } }
}

fn is_duplicate(error: &Error) -> bool {
    matches!(
        error.kind.as_ref(),
        ErrorKind::Write(WriteFailure::WriteError(write)) if write.code == DUPLICATE_KEY
    )
}

#[cfg(test)]
pub(in crate::tally) mod tests;
