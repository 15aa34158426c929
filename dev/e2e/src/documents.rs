//! The database as a witness: which documents are in the collection.
//!
//! In: its address. Out: documents, read field by field as the contract names them.

use std::time::Duration;

use bson::{Document, doc};
use futures_util::TryStreamExt;
use mongodb::options::{ClientOptions, IndexOptions};
use mongodb::{Client, Collection, IndexModel};

use crate::answer::Event;

/// A stored purchase.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// `_id` in hexadecimal.
    pub id: String,
    /// The five fields; the time as RFC 3339 in milliseconds, as the services write it.
    pub event: Event,
    /// Milliseconds of `created_at`.
    pub created_at: i64,
    /// Topic it was read from.
    pub topic: String,
    /// Partition it was read from.
    pub partition: i32,
    /// Offset it was read from.
    pub offset: i64,
}

impl Stored {
    /// Reads a document field by field.
    ///
    /// # Errors
    /// The first field that is not as the contract names it.
    pub fn read(document: &Document) -> Result<Self, bson::error::Error> {
        let origin = document.get_document("origin")?;
        let text = |name| document.get_str(name).map(str::to_owned);
        let when = document.get_datetime("timestamp")?.timestamp_millis();
        let timestamp = purchases::Timestamp::from_millis(when).map(|when| when.to_string());
        Ok(Self {
            id: document.get_object_id("_id")?.to_hex(),
            event: Event {
                username: text("username")?,
                user_id: text("user_id")?,
                item_name: text("item_name")?,
                price: document.get_f64("price")?,
                timestamp: timestamp.unwrap_or_else(|| format!("{when} is no time")),
            },
            created_at: document.get_datetime("created_at")?.timestamp_millis(),
            topic: origin.get_str("topic")?.to_owned(),
            partition: origin.get_i32("partition")?,
            offset: origin.get_i64("offset")?,
        })
    }
}

/// The collection of one shop.
#[derive(Clone, Debug)]
pub struct Documents {
    collection: Collection<Document>,
}

impl Documents {
    /// The collection `purchases` of this database.
    ///
    /// # Panics
    /// If the address is none.
    pub async fn of(uri: &str, database: &str) -> Self {
        let mut options = ClientOptions::parse(uri)
            .await
            .unwrap_or_else(|error| panic!("{uri}: {error}"));
        options.app_name = Some("witness".to_owned());
        options.server_selection_timeout = Some(Duration::from_secs(30));
        let client = Client::with_options(options).unwrap_or_else(|error| panic!("{uri}: {error}"));
        Self {
            collection: client.database(database).collection("purchases"),
        }
    }

    /// How many there are; 0 before the collection exists.
    ///
    /// # Panics
    /// If the database does not answer.
    pub async fn count(&self) -> usize {
        let counted = self.collection.count_documents(doc! {}).await;
        let count = counted.unwrap_or_else(|error| panic!("the database does not count: {error}"));
        usize::try_from(count).expect("a count fits")
    }

    /// Puts documents in, as they are.
    ///
    /// # Panics
    /// If the database refuses.
    pub async fn add(&self, documents: &[Document]) {
        for batch in documents.chunks(5_000) {
            let added = self.collection.insert_many(batch).ordered(false).await;
            added.unwrap_or_else(|error| panic!("documents cannot be added: {error}"));
        }
    }

    /// Takes away what came from this place in the topic.
    ///
    /// # Panics
    /// If there is nothing of the kind.
    pub async fn remove_from(&self, partition: i32, offset: i64) {
        let from = doc! { "origin.partition": partition, "origin.offset": offset };
        let removed = self.collection.delete_many(from).await;
        let removed = removed.unwrap_or_else(|error| panic!("no document goes away: {error}"));
        assert_eq!(
            removed.deleted_count, 1,
            "documents from {partition}/{offset}"
        );
    }

    /// What the database says to a command.
    ///
    /// # Panics
    /// If it refuses.
    pub async fn command(&self, command: Document) -> Document {
        let database = self
            .collection
            .client()
            .database(&self.collection.namespace().db);
        let told = database.run_command(command.clone()).await;
        told.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// The client, for what is not about the purchases.
    pub(crate) fn client(&self) -> &Client {
        self.collection.client()
    }

    /// Lets no two documents have the same value in this field.
    ///
    /// # Panics
    /// If the database refuses.
    pub async fn make_unique(&self, field: &str) {
        let options = IndexOptions::builder()
            .unique(true)
            .name(format!("one_{field}"))
            .build();
        let index = IndexModel::builder()
            .keys(doc! { field: 1 })
            .options(options)
            .build();
        let made = self.collection.create_index(index).await;
        made.unwrap_or_else(|error| panic!("no unique index on {field}: {error}"));
    }

    /// Takes [`make_unique`](Self::make_unique) back.
    ///
    /// # Panics
    /// If the database refuses.
    pub async fn make_common(&self, field: &str) {
        let dropped = self.collection.drop_index(format!("one_{field}")).await;
        dropped.unwrap_or_else(|error| panic!("the index on {field} stays: {error}"));
    }

    /// All of them.
    ///
    /// # Panics
    /// If the database does not answer, or a document is not as the contract says.
    pub async fn all(&self) -> Vec<Stored> {
        let found = async {
            self.collection
                .find(doc! {})
                .await?
                .try_collect::<Vec<Document>>()
                .await
        };
        let found = found
            .await
            .unwrap_or_else(|error| panic!("the database does not answer: {error}"));
        found
            .iter()
            .map(|document| {
                Stored::read(document).unwrap_or_else(|error| panic!("{error} in {document}"))
            })
            .collect()
    }
}
