//! What broker and database hold, read whole and kept small. In: their addresses. Out: records and
//! documents as sales, in memory that a million of them fit into.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bson::Document;
use e2e::answer::Event;
use e2e::topic::Witness;
use futures_util::TryStreamExt;
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use crate::book::sale;
use crate::ledger::Placed;

/// How long nothing may come while there is more to be read.
const SILENCE: Duration = Duration::from_secs(30);
/// Between two looks for records.
const POLL: Duration = Duration::from_millis(200);

/// A client that reads from the broker and joins no group.
pub(crate) fn reader(witness: &Witness) -> BaseConsumer {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &witness.servers)
        .set("client.id", "campaign")
        .set("group.id", &witness.group)
        .set("enable.auto.commit", "false")
        .set("reconnect.backoff.max.ms", "500")
        // Its complaints about a broker that was killed are of no interest.
        .set("log_level", "0");
    client
        .create()
        .expect("the campaign's properties are valid")
}

/// The collection of a shop, asked at the database itself and not through what cuts it off.
///
/// # Panics
/// If the address is none.
pub(crate) async fn collection(uri: &str, database: &str) -> Collection<Document> {
    let options = ClientOptions::parse(uri).await;
    let mut options = options.unwrap_or_else(|error| panic!("{uri}: {error}"));
    options.server_selection_timeout = Some(Duration::from_secs(3));
    let client = Client::with_options(options).unwrap_or_else(|error| panic!("{uri}: {error}"));
    client.database(database).collection("purchases")
}

/// Every record of the topic up to these ends.
///
/// # Panics
/// If the broker does not give them.
pub(crate) async fn records(witness: &Witness, ends: BTreeMap<i32, i64>) -> Vec<Placed> {
    let witness = witness.clone();
    let work = move || {
        let mut records = Vec::new();
        let from = ends.keys().map(|partition| (*partition, 0)).collect();
        let read = each_record(
            &reader(&witness),
            &witness.topic,
            &from,
            &ends,
            SILENCE,
            |record| {
                records.push(record);
            },
        );
        read.unwrap_or_else(|error| panic!("the topic cannot be recounted: {error}"));
        records
    };
    let read = tokio::task::spawn_blocking(work).await;
    read.unwrap_or_else(|error| panic!("{error}"))
}

/// Reads each partition from an offset (included) to another one (not included).
///
/// # Errors
/// What the broker says, or that it says nothing any more.
pub(crate) fn each_record(
    consumer: &BaseConsumer,
    topic: &str,
    from: &BTreeMap<i32, i64>,
    ends: &BTreeMap<i32, i64>,
    silence: Duration,
    mut take: impl FnMut(Placed),
) -> Result<(), String> {
    let mut list = TopicPartitionList::new();
    let mut left = BTreeMap::new();
    for (partition, from) in from {
        let end = ends.get(partition).copied().unwrap_or_default();
        if *from < end {
            let added = list.add_partition_offset(topic, *partition, Offset::Offset(*from));
            added.map_err(|error| error.to_string())?;
            left.insert(*partition, end);
        }
    }
    consumer.assign(&list).map_err(|error| error.to_string())?;
    let mut heard = Instant::now();
    while !left.is_empty() {
        if heard.elapsed() > silence {
            return Err(format!("nothing more comes before {left:?}"));
        }
        // Errors of connections heal by themselves; what does not ends in silence.
        let Some(Ok(message)) = consumer.poll(POLL) else {
            continue;
        };
        heard = Instant::now();
        let Some(end) = left.get(&message.partition()).copied() else {
            continue;
        };
        if message.offset() < end {
            let place = (message.partition(), message.offset());
            let id = message.headers().and_then(|headers| {
                let found = headers.iter().find(|header| header.key == "purchase-id")?;
                std::str::from_utf8(found.value?).ok()
            });
            let value = message.payload().unwrap_or_default();
            let event: Event = serde_json::from_slice(value)
                .map_err(|error| format!("{place:?} is no purchase: {error}"))?;
            let sale = sale(id.unwrap_or_default(), &event);
            take(Placed { sale, place });
        }
        if message.offset() + 1 >= end {
            left.remove(&message.partition());
        }
    }
    Ok(())
}

/// Every document, in the form of the contract, with what it costs and what it is.
///
/// # Panics
/// If the database does not give them, or one is not in that form.
pub(crate) async fn documents(
    collection: &Collection<Document>,
    topic: &str,
    mut each: impl FnMut(&e2e::documents::Stored),
) -> Vec<Placed> {
    let mut documents = Vec::new();
    let reading = async {
        let mut cursor = collection.find(bson::doc! {}).batch_size(5_000).await?;
        while let Some(document) = cursor.try_next().await? {
            let stored = e2e::documents::Stored::read(&document)
                .unwrap_or_else(|error| panic!("{error} in {document}"));
            assert_eq!(stored.topic, topic, "the origin of {document}");
            each(&stored);
            documents.push(Placed {
                sale: sale(&stored.id, &stored.event),
                place: (stored.partition, stored.offset),
            });
        }
        Ok::<_, mongodb::error::Error>(())
    };
    let read = reading.await;
    read.unwrap_or_else(|error| panic!("the collection cannot be recounted: {error}"));
    documents
}
