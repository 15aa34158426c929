//! The promise that holds at every moment: what is committed is stored, and commits only move on.
//! In: broker and database, while they are hurt. Out: every moment at which it did not hold.
//!
//! Offsets are read before documents, so nothing that is stored in between is missed. Every record is
//! looked for once, as soon as it is committed: documents do not go away again. A look that broker or
//! database cannot answer is counted, and what it was to look for is left to the next one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bson::{Document, doc, oid::ObjectId};
use e2e::topic::Witness;
use futures_util::TryStreamExt;
use mongodb::Collection;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;

use crate::ledger::{Placed, Wrongs};
use crate::recount;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(700);
/// How long the broker may take to answer one.
const REQUEST: Duration = Duration::from_secs(2);
/// Ids a query.
const CHUNK: usize = 1_000;
/// A commit of what is not stored.
pub(crate) const TOO_EARLY: &str = "records that were committed before they were stored";
/// A commit by somebody who no longer had the partition, seen while it stood.
pub(crate) const BACKWARDS: &str = "commits that went backwards";
/// Then nothing was shown.
pub(crate) const BLIND: &str = "campaigns in which no commit could be looked at";
/// Records that were committed and never looked for.
pub(crate) const UNSEEN: &str = "partitions that were not looked at to their end";

/// Looks, again and again.
pub(crate) struct Watch {
    topic: String,
    partitions: i32,
    reader: Arc<BaseConsumer>,
    collection: Collection<Document>,
    committed: BTreeMap<i32, i64>,
    /// Everything before it was looked for.
    seen: BTreeMap<i32, i64>,
    /// What was seen.
    pub(crate) wrongs: Wrongs,
    /// Looks that were answered.
    pub(crate) looks: usize,
    /// Looks that were not.
    pub(crate) unanswered: usize,
    /// Records looked for.
    pub(crate) records: usize,
}

impl Watch {
    pub(crate) fn new(
        witness: &Witness,
        partitions: i32,
        collection: Collection<Document>,
    ) -> Self {
        Self {
            topic: witness.topic.clone(),
            partitions,
            reader: Arc::new(recount::reader(witness)),
            collection,
            committed: BTreeMap::new(),
            seen: BTreeMap::new(),
            wrongs: Wrongs::default(),
            looks: 0,
            unanswered: 0,
            records: 0,
        }
    }

    /// Until it is told to stop; the last look is one after that.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Self {
        loop {
            let over = *stop.borrow();
            match self.look().await {
                Ok(()) => self.looks += 1,
                Err(_) => self.unanswered += 1,
            }
            if over {
                self.is_done();
                return self;
            }
            // Whoever was to tell is gone, or has told: both end the pause.
            drop(tokio::time::timeout(EVERY, stop.changed()).await);
        }
    }

    /// Whether what it was to look at was looked at.
    fn is_done(&mut self) {
        if self.looks == 0 || self.records == 0 {
            let (looks, records) = (self.looks, self.records);
            self.wrongs
                .add(BLIND, || format!("{looks} looks, {records} records"));
        }
        for (partition, committed) in &self.committed {
            let seen = self.seen.get(partition).copied().unwrap_or_default();
            if seen < *committed {
                self.wrongs.add(UNSEEN, || {
                    format!("partition {partition}: {seen} of {committed} records")
                });
            }
        }
    }

    async fn look(&mut self) -> Result<(), String> {
        let (reader, topic, partitions) = (
            Arc::clone(&self.reader),
            self.topic.clone(),
            self.partitions,
        );
        let seen = self.seen.clone();
        let asked = tokio::task::spawn_blocking(move || newest(&reader, &topic, partitions, &seen));
        let (committed, newest) = asked.await.map_err(|error| error.to_string())??;
        for (partition, offset) in &committed {
            let before = self
                .committed
                .insert(*partition, *offset)
                .unwrap_or_default();
            if *offset < before {
                self.wrongs.add(BACKWARDS, || {
                    format!("partition {partition}: {offset} after {before}")
                });
            }
        }
        for chunk in newest.chunks(CHUNK) {
            self.records += chunk.len();
            for missing in self.missing(chunk).await? {
                self.wrongs.add(TOO_EARLY, || {
                    format!("{missing:?}, committed: {:?}", self.committed)
                });
            }
        }
        // Only now: else one that could not be answered would pass them over.
        for (partition, offset) in committed {
            let seen = self.seen.entry(partition).or_default();
            *seen = offset.max(*seen);
        }
        Ok(())
    }

    async fn missing(&self, chunk: &[Placed]) -> Result<Vec<Placed>, String> {
        let mut wanted: BTreeMap<ObjectId, Placed> = chunk
            .iter()
            .map(|placed| (ObjectId::from_bytes(placed.sale.id), *placed))
            .collect();
        let ids: Vec<ObjectId> = wanted.keys().copied().collect();
        let words = |error: mongodb::error::Error| error.to_string();
        let found = self
            .collection
            .find(doc! { "_id": { "$in": ids } })
            .projection(doc! { "_id": 1 });
        let mut found = found.await.map_err(words)?;
        while let Some(document) = found.try_next().await.map_err(words)? {
            if let Ok(id) = document.get_object_id("_id") {
                wanted.remove(&id);
            }
        }
        Ok(wanted.into_values().collect())
    }
}

/// What is committed, and what of it was not seen yet.
fn newest(
    reader: &BaseConsumer,
    topic: &str,
    partitions: i32,
    seen: &BTreeMap<i32, i64>,
) -> Result<(BTreeMap<i32, i64>, Vec<Placed>), String> {
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition(topic, partition);
    }
    let asked = reader.committed_offsets(list, REQUEST);
    let asked = asked.map_err(|error| error.to_string())?;
    let mut committed = BTreeMap::new();
    for element in asked.elements_for_topic(topic) {
        element.error().map_err(|error| error.to_string())?;
        if let Offset::Offset(offset) = element.offset() {
            committed.insert(element.partition(), offset);
        }
    }
    let from = committed
        .keys()
        .map(|partition| (*partition, seen.get(partition).copied().unwrap_or_default()))
        .collect();
    let mut records = Vec::new();
    recount::each_record(reader, topic, &from, &committed, REQUEST, |record| {
        records.push(record);
    })?;
    Ok((committed, records))
}
