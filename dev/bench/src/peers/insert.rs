//! The ceiling of the database side: unordered `insert_many` of documents that are ready in
//! memory, with nothing before it and nothing to remember after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bson::RawDocumentBuf;
use mongodb::options::{Acknowledgment, CollectionOptions, WriteConcern};
use mongodb::{Client, Collection};
use tokio::task::JoinSet;

use crate::{Failure, corpus};

/// What to insert, and how.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    uri: String,
    #[arg(long)]
    database: String,
    #[arg(long)]
    records: u32,
    #[arg(long)]
    batch: usize,
    #[arg(long)]
    writers: usize,
}

/// Inserts everything, then ends.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let documents: Vec<_> = (0..args.records)
        .map(|number| corpus::document(number, args.records))
        .collect::<Result<_, _>>()?;
    let batches: Arc<Vec<Vec<RawDocumentBuf>>> = Arc::new(
        documents
            .chunks(args.batch.max(1))
            .map(<[_]>::to_vec)
            .collect(),
    );
    let client = Client::with_uri_str(&args.uri).await?;
    let collection = collection(&client, &args.database);
    let next = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for _ in 0..args.writers.max(1) {
        let (batches, next, collection) =
            (Arc::clone(&batches), Arc::clone(&next), collection.clone());
        writers.spawn(async move {
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                collection.insert_many(batch).ordered(false).await?;
            }
            Ok::<_, mongodb::error::Error>(())
        });
    }
    while let Some(written) = writers.join_next().await {
        written??;
    }
    Ok(())
}

/// The collection as durable as the service has it: majority and journal.
pub(crate) fn collection(client: &Client, database: &str) -> Collection<RawDocumentBuf> {
    let concern = WriteConcern::builder()
        .w(Acknowledgment::Majority)
        .journal(true)
        .build();
    let options = CollectionOptions::builder().write_concern(concern).build();
    client
        .database(database)
        .collection_with_options("purchases", options)
}
