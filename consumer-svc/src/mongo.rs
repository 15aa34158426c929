//! The database client of this process, and the one rule for using it.

use std::time::Duration;

use mongodb::Client;
use mongodb::error::Error;
use mongodb::options::{Acknowledgment, ClientOptions, CollectionOptions, WriteConcern};
use tokio::task::JoinHandle;

use crate::config::MongoConfig;

/// The driver's own search for a server; shorter than ours for an answer, so that its reason
/// reaches the log.
const SERVER_SELECTION: Duration = Duration::from_secs(3);

/// Opens no connection yet; the driver finds the servers in the background.
///
/// # Errors
/// A connection string the driver does not take.
pub(crate) async fn connect(config: &MongoConfig) -> Result<Client, Error> {
    let mut options = ClientOptions::parse(config.uri.expose()).await?;
    options
        .app_name
        .get_or_insert_with(|| "consumer-svc".to_owned());
    options
        .server_selection_timeout
        .get_or_insert(SERVER_SELECTION);
    Client::with_options(options)
}

/// Writes with majority and journal: what is acknowledged survives a crash of the primary.
pub(crate) fn durable() -> CollectionOptions {
    let concern = WriteConcern::builder()
        .w(Acknowledgment::Majority)
        .journal(true)
        .build();
    CollectionOptions::builder().write_concern(concern).build()
}

/// Runs a driver operation in a task of its own, so that whoever waits may be dropped.
pub(crate) async fn owned<T: Send + 'static>(
    operation: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let task: JoinHandle<Result<T, Error>> = tokio::spawn(operation);
    task.await
        .unwrap_or_else(|join| Err(Error::custom(format!("database task ended: {join}"))))
}
