//! Customer management service: every purchase event stored once, and the history served.
//!
//! Reading order: [`flow`] names what travels; [`read`] → [`mod@write`] → [`commit`] is its way, with
//! [`dead_letter`] beside and [`assign`] around it; [`tally`] is what commit counts; [`query`] reads
//! what was written and shows what [`stats`] puts on the [`board`]; `app.rs` connects them. A stage
//! knows [`flow`] and its own port, never another stage.

pub mod app;
pub mod assign;
pub mod board;
pub mod commit;
pub mod config;
pub mod dead_letter;
pub mod dlq;
pub mod document;
pub mod flow;
pub mod health;
pub mod kafka;
pub mod lane;
pub mod mark;
pub mod metrics;
pub mod mongo;
pub mod query;
pub mod read;
pub mod schema;
pub mod stats;
pub mod tally;
pub mod write;
