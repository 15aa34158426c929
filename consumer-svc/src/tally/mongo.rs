//! Tallies in MongoDB: one small document a partition. The one place that knows its shape.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use actors::Credits;
use bson::{Binary, Bson, DateTime, Document, doc, spec::BinarySubtype};
use futures_util::TryStreamExt;
use mongodb::error::{Error, ErrorKind, WriteFailure};
use mongodb::options::{ReadConcern, ReadPreference, SelectionCriteria};
use mongodb::{Client, Collection};
use purchases::{Cents, ItemName, Timestamp};
use tracing::debug;

use super::goods::Item;
use super::{Buyers, Counts, Goods, Series, Sold, Tally, TallyError, TallyStore};
use crate::mark::{Mark, Print};
use crate::mongo::{Answers, Failed, durable};

/// The form of the document. A version that is not known is refused: read as this one, it would
/// give wrong numbers, and saved over, it would be lost.
const FORM: i32 = 1;
/// The server's code for a duplicate key.
const DUPLICATE_KEY: i32 = 11000;
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
    /// document from before its successor's time, because counting would go on from there.
    async fn load(&self, partition: i32) -> Result<Option<Tally>, TallyError> {
        let (collection, deadline) = (self.collection.clone(), self.answers.deadline());
        let id = self.id(partition);
        let find = async move {
            collection
                .find_one(doc! { "_id": id })
                .read_concern(ReadConcern::linearizable())
                .selection_criteria(primary())
                .max_time(deadline)
                .await
        };
        let found = self.answers.in_turn(find).await?;
        found.as_ref().map(tally).transpose()
    }

    async fn save(&self, partition: i32, tally: &Tally) -> Result<(), TallyError> {
        let upto = whole(tally.upto())?;
        let mut document = doc! {
            "_id": self.id(partition),
            "group": &self.group,
            "topic": &self.topic,
            "partition": partition,
        };
        document.extend(fields(tally)?);
        let filter = doc! { "_id": self.id(partition), "upto": { "$lt": upto } };
        let collection = self.collection.clone();
        let replace = async move { collection.replace_one(filter, document).upsert(true).await };
        match self.answers.in_turn(replace).await {
            Ok(_) => Ok(()),
            // The filter did not match and the upsert met the `_id`: one that reaches as far is
            // there. Usually it is this one, saved by an attempt whose answer got lost; else a
            // former owner's. It is read before it is believed, which also waits until it is safe.
            Err(Failed::Answered(error)) if is_duplicate(&error) => {
                match self.load(partition).await? {
                    Some(there) if there.upto() >= tally.upto() => {
                        debug!(
                            partition,
                            ours = upto,
                            theirs = there.upto(),
                            "statistics that reach as far are there"
                        );
                        Ok(())
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

/// Sums and offsets for people and programs that look; windows and buyers packed, because they
/// are the bulk of it and change with every save.
fn fields(tally: &Tally) -> Result<Document, TallyError> {
    let counts = tally.counts();
    let items: Result<Vec<Document>, TallyError> = counts
        .goods
        .items()
        .map(|(name, item)| {
            let mut document = doc! { "name": name.as_str() };
            document.extend(sum(item.sold)?);
            if item.missed > 0 {
                document.insert("missed", whole(item.missed)?);
            }
            Ok(document)
        })
        .collect();
    Ok(doc! {
        "form": FORM,
        "from": whole(tally.from())?,
        "upto": whole(tally.upto())?,
        "skipped": whole(tally.skipped())?,
        "mark": tally.mark().map(mark).transpose()?,
        "total": sum(counts.total)?,
        "newest": counts.newest.map(|newest| DateTime::from_millis(newest.as_millis())),
        "items": items?,
        "other": sum(counts.goods.other())?,
        "floor": whole(counts.goods.floor())?,
        "seconds": packed(counts.seconds.encode()),
        "minutes": packed(counts.minutes.encode()),
        "buyers": packed(counts.buyers.encode()),
        "saved_at": DateTime::from(SystemTime::now()),
    })
}

fn tally(document: &Document) -> Result<Tally, TallyError> {
    let bad = |field| malformed(document, field);
    if document.get_i32("form").ok() != Some(FORM) {
        return Err(bad("form"));
    }
    let offset = |field| number(document, field).ok_or_else(|| bad(field));
    let part = |field| document.get_document(field).ok().and_then(sold);
    let bytes = |field| {
        document
            .get_binary_generic(field)
            .map(Vec::as_slice)
            .map_err(|_| bad(field))
    };
    let mut named = BTreeMap::new();
    for item in document.get_array("items").map_err(|_| bad("items"))? {
        let item = item.as_document();
        let name = item.and_then(|item| ItemName::parse(item.get_str("name").ok()?).ok());
        let missed = item.and_then(|item| optional(item, "missed", 0));
        let sold = item.and_then(sold).zip(missed);
        let sold = sold.map(|(sold, missed)| Item { sold, missed });
        named.insert(
            name.ok_or_else(|| bad("items"))?,
            sold.ok_or_else(|| bad("items"))?,
        );
    }
    let other = part("other").ok_or_else(|| bad("other"))?;
    // Not there in documents of earlier versions, which let go of whatever came late.
    let floor = optional(document, "floor", other.purchases).ok_or_else(|| bad("floor"))?;
    let newest = match document.get("newest") {
        Some(Bson::DateTime(moment)) => {
            let moment = Timestamp::from_millis(moment.timestamp_millis());
            Some(moment.ok_or_else(|| bad("newest"))?)
        }
        Some(Bson::Null) => None,
        _ => return Err(bad("newest")),
    };
    let seconds = Series::seconds().decode(bytes("seconds")?);
    let minutes = Series::minutes().decode(bytes("minutes")?);
    let counts = Counts {
        total: part("total").ok_or_else(|| bad("total"))?,
        seconds: seconds.map_err(|_| bad("seconds"))?,
        minutes: minutes.map_err(|_| bad("minutes"))?,
        goods: Goods::from_parts(named, other, floor),
        buyers: Buyers::decode(bytes("buyers")?).map_err(|_| bad("buyers"))?,
        newest,
    };
    let mark = match document.get("mark") {
        // Not there in documents of earlier versions.
        None | Some(Bson::Null) => None,
        Some(mark) => Some(marked(mark).ok_or_else(|| bad("mark"))?),
    };
    Ok(Tally {
        from: offset("from")?,
        upto: offset("upto")?,
        skipped: offset("skipped")?,
        mark,
        counts,
    })
}

fn mark(mark: Mark) -> Result<Document, TallyError> {
    let Print(print) = mark.print;
    Ok(doc! { "offset": whole(mark.offset)?, "print": print.cast_signed() })
}

fn marked(mark: &Bson) -> Option<Mark> {
    let mark = mark.as_document()?;
    Some(Mark {
        offset: number(mark, "offset")?,
        print: Print(mark.get_i64("print").ok()?.cast_unsigned()),
    })
}

fn sum(sold: Sold) -> Result<Document, TallyError> {
    Ok(doc! { "purchases": whole(sold.purchases)?, "cents": sold.revenue.get() })
}

fn sold(document: &Document) -> Option<Sold> {
    Some(Sold {
        purchases: number(document, "purchases")?,
        revenue: Cents::new(document.get_i64("cents").ok()?)?,
    })
}

fn packed(bytes: Vec<u8>) -> Binary {
    let subtype = BinarySubtype::Generic;
    Binary { subtype, bytes }
}

fn whole(number: u64) -> Result<i64, TallyError> {
    i64::try_from(number)
        .map_err(|_| TallyError::Malformed(format!("{number} is beyond what the database counts")))
}

fn number(document: &Document, field: &str) -> Option<u64> {
    u64::try_from(document.get_i64(field).ok()?).ok()
}

/// The same where a document may lack the field. `None` if it is there and no number.
fn optional(document: &Document, field: &str, without: u64) -> Option<u64> {
    match document.contains_key(field) {
        true => number(document, field),
        false => Some(without),
    }
}

fn malformed(document: &Document, field: &str) -> TallyError {
    let id = document
        .get("_id")
        .map_or_else(|| "without _id".to_owned(), Bson::to_string);
    TallyError::Malformed(format!(
        "document {id}: field {field} is missing or not as this version writes it"
    ))
}

#[cfg(test)]
pub(in crate::tally) mod tests;
