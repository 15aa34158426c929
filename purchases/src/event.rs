//! The purchase itself: five facts that are on the wire, and the id beside them.
//!
//! In: fields that were already parsed. Out: the event, read-only once it has
//! an id. It knows neither JSON nor a database document.

use crate::{Cents, ItemName, PurchaseId, Timestamp, UserId, Username};

/// What the topic carries in a record's value: exactly these five fields.
///
/// The fields are public because each of them is valid by its own type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Who bought, as shown to people.
    pub username: Username,
    /// Who bought, as known to machines; also the record's key.
    pub user_id: UserId,
    /// What was bought.
    pub item_name: ItemName,
    /// What it cost.
    pub price: Cents,
    /// When it was accepted.
    pub timestamp: Timestamp,
}

/// An event together with its identity. Two purchases with one id are one purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purchase {
    id: PurchaseId,
    event: Event,
}

impl Purchase {
    /// Gives an event its identity.
    pub fn new(id: PurchaseId, event: Event) -> Self {
        Self { id, event }
    }

    /// The id under which this purchase is stored exactly once.
    pub fn id(&self) -> PurchaseId {
        self.id
    }

    /// The five fields of the wire form.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Who bought, as shown to people.
    pub fn username(&self) -> &Username {
        &self.event.username
    }

    /// Who bought, as known to machines.
    pub fn user_id(&self) -> &UserId {
        &self.event.user_id
    }

    /// What was bought.
    pub fn item_name(&self) -> &ItemName {
        &self.event.item_name
    }

    /// What it cost.
    pub fn price(&self) -> Cents {
        self.event.price
    }

    /// When it was accepted.
    pub fn timestamp(&self) -> Timestamp {
        self.event.timestamp
    }

    /// Takes the purchase apart without copying its texts.
    pub fn into_parts(self) -> (PurchaseId, Event) {
        (self.id, self.event)
    }
}
