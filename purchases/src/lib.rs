//! The contract between the services: what a purchase is, how it looks on the
//! wire, and how its id is made.
//!
//! In: untrusted text and bytes. Out: values that are valid by construction,
//! or an error that names the field and the reason.
//!
//! Pure: no I/O, no clock, no randomness, no runtime. Whoever needs "now" or
//! entropy passes it in, so every result here can be pinned by a test.

pub mod views;
pub mod wire;

mod event;
mod id;
mod key;
mod money;
mod names;
mod schema;
mod time;

pub use event::{Event, Purchase};
pub use id::{IdError, IdSource, PurchaseId};
pub use key::{IdempotencyKey, KEY_PATTERN, KeyError};
pub use money::{Cents, MoneyError};
pub use names::{FieldError, ItemName, NAME_PATTERN, UserId, Username};
pub use time::{TimeError, Timestamp};
