//! The customer-facing service: takes purchases over HTTP, chooses the item, writes the event to
//! Kafka and answers when all in-sync replicas have it; passes the history on from consumer-svc.
//!
//! In: HTTP requests. Out: records on a topic, and answers that promise no more than what happened.
//! The stages (`intake`, `select`, `publish`, `history`, `restock`) know `flow`, not each other; `app` connects
//! them.

pub mod app;
pub mod catalog;
pub mod config;
pub mod flow;
pub mod history;
pub mod intake;
pub mod link;
pub mod metrics;
pub mod publish;
pub mod replay;
pub mod restock;
pub mod select;
pub mod selection;
pub mod shelf;
mod whose;
