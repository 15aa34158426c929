//! What broker and database hold, read whole and kept small. In: their addresses. Out: records and
//! documents as sales, in memory that a million of them fit into.

use std::collections::BTreeMap;
use std::time::Duration;

use bson::Document;
use e2e::answer::Event;
use e2e::reading;
use e2e::topic::Witness;
use futures_util::TryStreamExt;
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection};
use rdkafka::message::{BorrowedMessage, Headers, Message};

use crate::book::sale;
use crate::ledger::{Place, Placed};
use crate::spoil;

/// How long nothing may come while there is more to be read.
const SILENCE: Duration = Duration::from_secs(30);

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

/// Every record of the topic up to these ends, and where the bad ones stand that were put there.
///
/// # Panics
/// If the broker does not give them, or one is neither a purchase nor one of those.
pub(crate) async fn records(
    witness: &Witness,
    ends: BTreeMap<i32, i64>,
) -> (Vec<Placed>, Vec<Place>) {
    let witness = witness.clone();
    let work = move || {
        let (mut records, mut bad) = (Vec::new(), Vec::new());
        let from = ends.keys().map(|partition| (*partition, 0)).collect();
        let (reader, topic) = (witness.reader(), &witness.topic);
        let read = reading::each(&reader, topic, &from, &ends, SILENCE, |record| {
            if spoil::is_bad(record.payload()) {
                bad.push((record.partition(), record.offset()));
            } else {
                records.push(placed(record)?);
            }
            Ok(())
        });
        read.unwrap_or_else(|error| panic!("the topic cannot be recounted: {error}"));
        (records, bad)
    };
    let read = tokio::task::spawn_blocking(work).await;
    read.unwrap_or_else(|error| panic!("{error}"))
}

fn placed(record: &BorrowedMessage<'_>) -> Result<Placed, String> {
    let place = (record.partition(), record.offset());
    let id = record.headers().and_then(|headers| {
        let found = headers.iter().find(|header| header.key == "purchase-id")?;
        std::str::from_utf8(found.value?).ok()
    });
    let event: Event = serde_json::from_slice(record.payload().unwrap_or_default())
        .map_err(|error| format!("{place:?} is no purchase: {error}"))?;
    let sale = sale(id.unwrap_or_default(), &event);
    Ok(Placed { sale, place })
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
