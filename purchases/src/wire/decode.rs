//! Reading a record's value, whoever wrote it.
//!
//! In: bytes of unknown origin. Out: the five parsed fields, or the field and the
//! reason. Lenient where the meaning is clear (order, whitespace, extra fields,
//! any zone, whole-number prices), strict where it is not. A price is read from
//! its digits, never through a float.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{Cents, Event, ItemName, Timestamp, UserId, Username};

/// Why a record is not a purchase. The text names the field and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The value is not JSON, or has something after it.
    #[error("value: is not valid JSON: {0}")]
    NotJson(String),
    /// The value is JSON, but not an object.
    #[error("value: is not a JSON object")]
    NotAnObject,
    /// A field is not there.
    #[error("{0}: is missing")]
    Missing(&'static str),
    /// A field is there twice, and nobody can know which one was meant.
    #[error("{0}: appears more than once")]
    Duplicate(&'static str),
    /// A field's value has the wrong type or is not acceptable.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field's name on the wire.
        field: &'static str,
        /// What is wrong with it, without repeating its content.
        reason: String,
    },
    /// The schema version header names a form that this code does not know.
    #[error("schema-version: {0:?} is not known here")]
    Version(String),
}

impl DecodeError {
    /// The field that is at fault, or `value` for the whole and `schema-version`
    /// for the header.
    pub fn field(&self) -> &'static str {
        match self {
            Self::NotJson(_) | Self::NotAnObject => "value",
            Self::Missing(field) | Self::Duplicate(field) | Self::Invalid { field, .. } => field,
            Self::Version(_) => super::SCHEMA_VERSION,
        }
    }

    /// One of a few fixed words, for a metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "not_json",
            Self::NotAnObject => "not_an_object",
            Self::Missing(_) => "missing",
            Self::Duplicate(_) => "duplicate",
            Self::Invalid { .. } => "invalid",
            Self::Version(_) => "version",
        }
    }
}

const USERNAME: &str = "username";
const USER_ID: &str = "user_id";
const ITEM_NAME: &str = "item_name";
const PRICE: &str = "price";
const TIMESTAMP: &str = "timestamp";

/// Reads a record's value.
pub fn decode_value(bytes: &[u8]) -> Result<Event, DecodeError> {
    let mut fault = None;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let event = reader.deserialize_map(Fields { fault: &mut fault });
    match event {
        Ok(event) => reader
            .end()
            .map(|()| event)
            .map_err(|e| DecodeError::NotJson(e.to_string())),
        Err(error) => Err(fault.unwrap_or_else(|| match error.classify() {
            serde_json::error::Category::Data => DecodeError::NotAnObject,
            _ => DecodeError::NotJson(error.to_string()),
        })),
    }
}

/// Collects the fields. The first fault is put aside with its field, because
/// serde's own errors are flat text.
struct Fields<'f> {
    fault: &'f mut Option<DecodeError>,
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Event;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event, A::Error> {
        let (mut username, mut user_id, mut item_name) = (None, None, None);
        let (mut price, mut timestamp) = (None, None);
        while let Some(Text(name)) = map.next_key()? {
            let read = match name.as_ref() {
                USERNAME => text(&mut map, USERNAME, &mut username, Username::parse),
                USER_ID => text(&mut map, USER_ID, &mut user_id, UserId::parse),
                ITEM_NAME => text(&mut map, ITEM_NAME, &mut item_name, ItemName::parse),
                TIMESTAMP => text(&mut map, TIMESTAMP, &mut timestamp, Timestamp::parse),
                PRICE => money(&mut map, &mut price),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    Ok(())
                }
            };
            if let Err(error) = read {
                return Err(aside(self.fault, error));
            }
        }
        let missing = |field| move || DecodeError::Missing(field);
        let complete = || {
            Ok(Event {
                username: username.ok_or_else(missing(USERNAME))?,
                user_id: user_id.ok_or_else(missing(USER_ID))?,
                item_name: item_name.ok_or_else(missing(ITEM_NAME))?,
                price: price.ok_or_else(missing(PRICE))?,
                timestamp: timestamp.ok_or_else(missing(TIMESTAMP))?,
            })
        };
        complete().map_err(|error| aside(self.fault, error))
    }
}

fn aside<E: serde::de::Error>(fault: &mut Option<DecodeError>, error: DecodeError) -> E {
    *fault = Some(error);
    E::custom("see the fault put aside")
}

fn text<'de, A: MapAccess<'de>, T, E: fmt::Display>(
    map: &mut A,
    field: &'static str,
    slot: &mut Option<T>,
    parse: fn(&str) -> Result<T, E>,
) -> Result<(), DecodeError> {
    let invalid = |reason: String| DecodeError::Invalid { field, reason };
    if slot.is_some() {
        return Err(DecodeError::Duplicate(field));
    }
    let Text(value) = map
        .next_value()
        .map_err(|e: A::Error| invalid(e.to_string()))?;
    *slot = Some(parse(&value).map_err(|e| invalid(e.to_string()))?);
    Ok(())
}

fn money<'de, A: MapAccess<'de>>(map: &mut A, slot: &mut Option<Cents>) -> Result<(), DecodeError> {
    let invalid = |reason: String| DecodeError::Invalid {
        field: PRICE,
        reason,
    };
    if slot.is_some() {
        return Err(DecodeError::Duplicate(PRICE));
    }
    let raw: &RawValue = map
        .next_value()
        .map_err(|e: A::Error| invalid(e.to_string()))?;
    let found = match raw.get().as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => {
            *slot = Some(Cents::parse_decimal(raw.get()).map_err(|e| invalid(e.to_string()))?);
            return Ok(());
        }
    };
    Err(invalid(format!("is {found}, expected a number")))
}

/// A JSON string, borrowed from the input unless it holds escapes.
struct Text<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Str;
        impl<'de> Visitor<'de> for Str {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: serde::de::Error>(
                self,
                text: &'de str,
            ) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Str)
    }
}
