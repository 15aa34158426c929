//! From a record's bytes to a purchase, a bad record, or a tombstone. Pure.

use host::span::Span;
use purchases::{Purchase, PurchaseId, wire};

use crate::flow::{BadRecord, Incoming, Origin, Original};

/// A record as the client shows it.
pub(crate) struct Raw<'r> {
    pub(crate) key: Option<&'r [u8]>,
    pub(crate) value: Option<&'r [u8]>,
    pub(crate) headers: Vec<(&'r str, Option<&'r [u8]>)>,
}

/// What it is.
#[derive(Debug)]
pub(crate) enum Decoded {
    Purchase(Incoming),
    Bad(BadRecord),
    Tombstone,
}

/// Decodes a record. The id comes from the `purchase-id` header; a foreign event has none and
/// gets one from its place in the log, so that a redelivery makes the same document.
pub(crate) fn decode(raw: &Raw<'_>, origin: Origin) -> Decoded {
    let Some(value) = raw.value else {
        return Decoded::Tombstone;
    };
    match purchase(raw, value, &origin) {
        Ok(purchase) => Decoded::Purchase(Incoming {
            purchase,
            came_back: came_back(raw, &origin),
            origin,
            span: Span::none(),
        }),
        Err(reason) => Decoded::Bad(bad(raw, origin, reason)),
    }
}

fn purchase(raw: &Raw<'_>, value: &[u8], origin: &Origin) -> Result<Purchase, String> {
    wire::check_version(raw.header(wire::SCHEMA_VERSION)).map_err(|error| error.to_string())?;
    let id = match raw.header(wire::PURCHASE_ID) {
        Some(hex) => PurchaseId::from_hex(hex)
            .map_err(|error| format!("header {}: {error}", wire::PURCHASE_ID))?,
        None => match raw.header(wire::REPLAY_OF) {
            // A foreign event that comes back from the dead letters is still the same event.
            Some(place) => {
                let (topic, partition, offset) = wire::read_place(place)
                    .ok_or_else(|| format!("header {}: is not a place", wire::REPLAY_OF))?;
                PurchaseId::foreign(topic, partition, offset)
            }
            None => PurchaseId::foreign(&origin.topic, origin.partition, origin.offset),
        },
    };
    let event = wire::decode_value(value).map_err(|error| error.to_string())?;
    Ok(Purchase::new(id, event))
}

impl<'r> Raw<'r> {
    /// The header's value. A header without a value counts as an empty one.
    pub(super) fn header(&self, name: &str) -> Option<&'r [u8]> {
        let (_, value) = self.headers.iter().find(|(found, _)| *found == name)?;
        Some(value.unwrap_or_default())
    }
}

fn came_back(raw: &Raw<'_>, origin: &Origin) -> bool {
    origin.is_return(raw.header(wire::REPLAY_OF))
}

fn bad(raw: &Raw<'_>, origin: Origin, reason: String) -> BadRecord {
    let original = Original {
        key: raw.key.map(<[u8]>::to_vec),
        value: raw.value.map(<[u8]>::to_vec),
        headers: raw
            .headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)))
            .collect(),
        time: None,
    };
    BadRecord {
        original,
        reason,
        came_back: came_back(raw, &origin),
        origin,
    }
}

#[cfg(test)]
mod tests;
