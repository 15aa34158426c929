//! One look after the other: first what is committed, then what is stored, then what was put aside.
//!
//! In: broker and database, while they are hurt. Out: every moment at which something before a committed offset was
//! nowhere. In this order nothing is missed that came to its place between two questions. Every record is looked for
//! once, as soon as it is committed: documents and letters do not go away again. A look that broker or database
//! cannot answer is counted, and what it was to look for is left to the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bson::{Document, doc, oid::ObjectId};
use futures_util::TryStreamExt;
use mongodb::options::{ClientOptions, ReadConcern};
use mongodb::{Client, Collection};
use purchases::PurchaseId;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;

use super::Seen;
use crate::ground::Ground;
use crate::reading;
use crate::shop::Shop;

/// How long the broker may take to answer one question.
const REQUEST: Duration = Duration::from_secs(2);
/// How long the database may.
const ANSWER: Duration = Duration::from_secs(5);
/// Ids a query.
const CHUNK: usize = 1_000;
/// A commit of what is neither stored nor put aside.
pub const TOO_EARLY: &str = "records that were committed before they were stored";
/// A commit by somebody who no longer had the partition, seen while it stood.
pub const BACKWARDS: &str = "commits that went backwards";

/// Offsets by partition.
type Offsets = BTreeMap<i32, i64>;
/// A place in a topic.
type Place = (i32, i64);

/// How far the looks are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// The newest look that was begun.
    pub(crate) begun: usize,
    /// The newest that was answered.
    pub(crate) answered: usize,
}

/// Looks, again and again.
pub(crate) struct Looking {
    reader: Arc<BaseConsumer>,
    topic: String,
    letters: String,
    collection: Collection<Document>,
    /// Everything before it was looked for.
    looked_for: Offsets,
    /// Where the letters end that were read.
    letters_read: Offsets,
    /// Of which records there are letters.
    lettered: BTreeSet<Place>,
    pub(crate) seen: Seen,
}

impl Looking {
    pub(crate) async fn new(shop: &Shop) -> Self {
        let uri = match &shop.ground {
            Ground::Secured(_) => shop.ground.database_uri(),
            _ => shop.ground.direct_mongodb_uri(),
        };
        let options = ClientOptions::parse(&uri).await;
        let mut options = options.unwrap_or_else(|error| panic!("{uri}: {error}"));
        options.app_name = Some("witness".to_owned());
        options.server_selection_timeout = Some(ANSWER);
        options.read_concern = Some(ReadConcern::majority());
        let client = Client::with_options(options).unwrap_or_else(|error| panic!("{uri}: {error}"));
        let committed = shop.witness.committed().await.into_iter();
        let looked_for: Offsets = committed
            .filter_map(|(partition, offset)| Some((partition, offset?)))
            .collect();
        Self {
            reader: Arc::new(shop.witness.reader()),
            topic: shop.witness.topic.clone(),
            letters: shop.dead_letters(),
            collection: client.database(&shop.name).collection("purchases"),
            seen: Seen {
                committed: looked_for.clone(),
                ..Seen::default()
            },
            looked_for,
            letters_read: BTreeMap::new(),
            lettered: BTreeSet::new(),
        }
    }

    /// Until it is told to stop.
    pub(crate) async fn run(
        mut self,
        every: Duration,
        mut stop: watch::Receiver<bool>,
        told: watch::Sender<Progress>,
    ) -> Self {
        while !*stop.borrow() {
            told.send_modify(|progress| progress.begun += 1);
            match self.look().await {
                Ok(()) => {
                    self.seen.looks += 1;
                    told.send_modify(|progress| progress.answered = progress.begun);
                }
                Err(_) => self.seen.unanswered += 1,
            }
            // Whoever was to tell is gone, or has told: both end the pause.
            drop(tokio::time::timeout(every, stop.changed()).await);
        }
        self
    }

    async fn look(&mut self) -> Result<(), String> {
        let topic = self.topic.clone();
        let committed = self
            .ask(move |reader| committed(reader, &topic, REQUEST))
            .await?;
        for (partition, offset) in &committed {
            let before = self.seen.committed.insert(*partition, *offset);
            if before.is_some_and(|before| *offset < before) {
                self.seen.wrongs.add(BACKWARDS, || {
                    format!("partition {partition}: {offset} after {before:?}")
                });
            }
        }
        let (topic, ends) = (self.topic.clone(), committed.clone());
        let from = committed.keys().map(|partition| {
            let from = self.looked_for.get(partition).copied();
            (*partition, from.unwrap_or_default())
        });
        let from: Offsets = from.collect();
        let records = self
            .ask(move |reader| valuable(reader, &topic, &from, &ends))
            .await?;
        let mut missing = Vec::new();
        for chunk in records.chunks(CHUNK) {
            missing.extend(self.not_stored(chunk).await?);
        }
        if !missing.is_empty() {
            self.read_letters().await?;
        }
        self.seen.records += records.len();
        missing.retain(|place| !self.lettered.contains(place));
        for (partition, offset) in missing {
            self.seen.wrongs.add(TOO_EARLY, || {
                format!("{partition}/{offset}, committed: {committed:?}")
            });
        }
        // Only now: else one that could not be answered would pass them over.
        for (partition, offset) in committed {
            let looked_for = self.looked_for.entry(partition).or_default();
            *looked_for = offset.max(*looked_for);
        }
        Ok(())
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&BaseConsumer) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let reader = Arc::clone(&self.reader);
        let asked = tokio::task::spawn_blocking(move || question(&reader));
        asked.await.map_err(|error| error.to_string())?
    }

    /// Those of which there is no document.
    async fn not_stored(
        &self,
        records: &[(Place, Option<PurchaseId>)],
    ) -> Result<Vec<Place>, String> {
        let mut wanted: BTreeMap<ObjectId, Vec<Place>> = BTreeMap::new();
        let mut nameless = Vec::new();
        for (place, id) in records {
            match id {
                Some(id) => {
                    let id = ObjectId::from_bytes(*id.as_bytes());
                    wanted.entry(id).or_default().push(*place);
                }
                None => nameless.push(*place),
            }
        }
        let ids: Vec<ObjectId> = wanted.keys().copied().collect();
        let reading = async {
            let found = self.collection.find(doc! { "_id": { "$in": ids } });
            let found = found.projection(doc! { "_id": 1 }).await?;
            found.try_collect::<Vec<Document>>().await
        };
        let found = tokio::time::timeout(ANSWER, reading).await;
        let found = found.map_err(|error| error.to_string())?;
        for document in found.map_err(|error| error.to_string())? {
            let id = document.get_object_id("_id");
            wanted.remove(&id.map_err(|error| error.to_string())?);
        }
        nameless.extend(wanted.into_values().flatten());
        Ok(nameless)
    }

    /// Reads the letters that came since the last time.
    async fn read_letters(&mut self) -> Result<(), String> {
        let (letters, from) = (self.letters.clone(), self.letters_read.clone());
        let topic = self.topic.clone();
        let reading = self.ask(move |reader| {
            let mut lettered = Vec::new();
            let ends = ends(reader, &letters)?;
            let from = ends.keys().map(|partition| {
                let from = from.get(partition).copied();
                (*partition, from.unwrap_or_default())
            });
            reading::each(
                reader,
                &letters,
                &from.collect(),
                &ends,
                REQUEST,
                |letter| {
                    let number = |name| header(letter, name)?.parse::<i64>().ok();
                    let origin = (number("dlq-partition"), number("dlq-offset"));
                    if let (Some(partition), Some(offset)) = origin
                        && header(letter, "dlq-topic") == Some(&topic)
                        && letter.payload().is_some()
                    {
                        let partition =
                            i32::try_from(partition).map_err(|error| error.to_string())?;
                        lettered.push((partition, offset));
                    }
                    Ok(())
                },
            )?;
            Ok((lettered, ends))
        });
        let (lettered, ends) = reading.await?;
        self.lettered.extend(lettered);
        self.letters_read = ends;
        Ok(())
    }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn partitions(reader: &BaseConsumer, topic: &str, wait: Duration) -> Result<Vec<i32>, String> {
    let metadata = reader.fetch_metadata(Some(topic), wait).map_err(words)?;
    let found = metadata.topics().first().ok_or("no such topic")?;
    if found.error().is_some() || found.partitions().is_empty() {
        return Err(format!("no topic {topic}"));
    }
    Ok(found.partitions().iter().map(|one| one.id()).collect())
}

/// What is committed; nothing of partitions of which nothing is.
fn committed(reader: &BaseConsumer, topic: &str, wait: Duration) -> Result<Offsets, String> {
    let mut list = TopicPartitionList::new();
    for partition in partitions(reader, topic, wait)? {
        list.add_partition(topic, partition);
    }
    let asked = reader.committed_offsets(list, wait).map_err(words)?;
    let mut committed = BTreeMap::new();
    for element in asked.elements_for_topic(topic) {
        element.error().map_err(words)?;
        if let Offset::Offset(offset) = element.offset() {
            committed.insert(element.partition(), offset);
        }
    }
    Ok(committed)
}

/// Where each partition ends.
fn ends(reader: &BaseConsumer, topic: &str) -> Result<Offsets, String> {
    let mut ends = BTreeMap::new();
    for partition in partitions(reader, topic, REQUEST)? {
        let marks = reader.fetch_watermarks(topic, partition, REQUEST);
        ends.insert(partition, marks.map_err(words)?.1);
    }
    Ok(ends)
}

/// Every record that is no tombstone, with its purchase's id, if it can have one.
fn valuable(
    reader: &BaseConsumer,
    topic: &str,
    from: &Offsets,
    ends: &Offsets,
) -> Result<Vec<(Place, Option<PurchaseId>)>, String> {
    let mut records = Vec::new();
    reading::each(reader, topic, from, ends, REQUEST, |record| {
        if record.payload().is_some() {
            let place = (record.partition(), record.offset());
            records.push((place, id(topic, record)));
        }
        Ok(())
    })?;
    Ok(records)
}

fn id(topic: &str, record: &BorrowedMessage<'_>) -> Option<PurchaseId> {
    if let Some(told) = header(record, "purchase-id") {
        return told.parse().ok();
    }
    // A foreign event that came back from the letters is what it was where it stood first.
    if let Some(first) = header(record, "replay-of") {
        let (rest, offset) = first.rsplit_once('/')?;
        let (topic, partition) = rest.rsplit_once('/')?;
        let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
        return Some(PurchaseId::foreign(topic, partition, offset));
    }
    Some(PurchaseId::foreign(
        topic,
        record.partition(),
        record.offset(),
    ))
}

fn header<'a>(record: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a str> {
    let mut headers = record.headers()?.iter();
    let found = headers.find(|header| header.key == name)?;
    std::str::from_utf8(found.value?).ok()
}
