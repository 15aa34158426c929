//! A campaign against the whole system: purchases, while consumers, producers, broker and database
//! are killed, frozen, cut off and rebalanced at random; and afterwards an exact account.
//!
//! In: a seed, and how much of it. Out: a report, or a panic that names what was broken and the
//! command that does the same again. What happens when is decided by the seed alone ([`plan`]), what
//! is right by what customers were told and what broker and database hold ([`ledger`]); both are pure.

mod book;
mod campaign;
mod customers;
mod field;
pub mod ledger;
pub mod plan;
mod recount;
mod slot;
mod spoil;
mod statistics;

pub use campaign::{Campaign, Report};
