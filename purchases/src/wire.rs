//! The record on the topic: its value as JSON, and the names of its headers.
//!
//! In and out: bytes. The value has exactly five fields, so that any foreign
//! client can read and write it; everything of ours travels in headers. The form
//! is pinned by `tests/golden/purchase-v1.json` and never changes under one
//! schema version.

mod decode;

pub use decode::{DecodeError, decode_value};

use crate::Purchase;
use crate::time::Texts;

/// Header: the purchase's id as 24 hex digits. Foreign records have none.
pub const PURCHASE_ID: &str = "purchase-id";
/// Header: W3C trace context of the request that made the record.
pub const TRACEPARENT: &str = "traceparent";
/// Header: what others note on that trace, where somebody does.
pub const TRACESTATE: &str = "tracestate";
/// Header: id of the request that made the record. Absent where it is that of the trace.
pub const REQUEST_ID: &str = "request-id";
/// Header: media type of the value, [`JSON`].
pub const CONTENT_TYPE: &str = "content-type";
/// Header: version of the value's form, [`VERSION`].
pub const SCHEMA_VERSION: &str = "schema-version";

/// Header of a record that comes back from the dead letters: the place, as [`place`] writes it, where
/// it stood first. A foreign event's id is made of that place and not of the new one, so that an
/// event that comes back twice is still one purchase.
pub const REPLAY_OF: &str = "replay-of";
/// Header of a record that comes back from the dead letters: when it was sent back.
pub const REPLAYED_AT: &str = "replayed-at";

/// The media type of every value we write.
pub const JSON: &str = "application/json";
/// The version of the value's form that this code writes and reads.
pub const VERSION: &str = "1";

/// A place in a log as one word: `topic/partition/offset`. No topic has a slash in its name.
pub fn place(topic: &str, partition: i32, offset: i64) -> String {
    format!("{topic}/{partition}/{offset}")
}

/// Reads what [`place`] writes, and nothing else.
pub fn read_place(word: &[u8]) -> Option<(&str, i32, i64)> {
    let word = std::str::from_utf8(word).ok()?;
    let mut parts = word.split('/');
    let (topic, partition, offset) = (parts.next()?, parts.next()?, parts.next()?);
    let read = (topic, partition.parse().ok()?, offset.parse().ok()?);
    (parts.next().is_none() && place(read.0, read.1, read.2) == word && !topic.is_empty())
        .then_some(read)
}

/// Checks the schema version header before the value is read. A record without
/// one is a foreign record and is read as the present version.
pub fn check_version(header: Option<&[u8]>) -> Result<(), DecodeError> {
    match header {
        None => Ok(()),
        Some(version) if version == VERSION.as_bytes() => Ok(()),
        Some(other) => Err(DecodeError::Version(
            String::from_utf8_lossy(&other[..other.len().min(16)]).into_owned(),
        )),
    }
}

/// The record's value:
/// `{"username":…,"user_id":…,"item_name":…,"price":…,"timestamp":…}`.
///
/// Written by hand because it runs once per purchase: one allocation, no number
/// formatting through floats, no intermediate tree.
pub fn encode_value(purchase: &Purchase) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.encode(purchase);
    encoder.out
}

/// Writes the values of many records, one after the other and all in the same place: no allocation for any but the
/// longest.
#[derive(Debug, Default)]
pub struct Encoder {
    out: Vec<u8>,
    times: Texts,
}

impl Encoder {
    /// The record's value, as [`encode_value`] makes it; until the next one is written.
    pub fn encode(&mut self, purchase: &Purchase) -> &[u8] {
        let (event, out) = (purchase.event(), &mut self.out);
        out.clear();
        let texts = [
            event.username.as_str(),
            event.user_id.as_str(),
            event.item_name.as_str(),
        ];
        // Field names and punctuation take 70 bytes, the timestamp 24, a price up to
        // 16; the rest is room for a few escapes.
        out.reserve(128 + texts.iter().map(|text| text.len()).sum::<usize>());
        for (name, text) in [r#"{"username":"#, r#","user_id":"#, r#","item_name":"#]
            .into_iter()
            .zip(texts)
        {
            out.extend_from_slice(name.as_bytes());
            push_string(out, text);
        }
        out.extend_from_slice(br#","price":"#);
        push_decimal(out, event.price.get());
        out.extend_from_slice(br#","timestamp":""#);
        out.extend_from_slice(self.times.of(event.timestamp));
        out.extend_from_slice(br#""}"#);
        out
    }
}

/// Names hold no control characters, so a quote and a backslash are all that
/// JSON wants escaped.
fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    // A look at all bytes at once; most texts have nothing to escape.
    let escapes = rest
        .iter()
        .fold(false, |any, &byte| any | (byte == b'"') | (byte == b'\\'));
    while escapes && let Some(at) = rest.iter().position(|&byte| byte == b'"' || byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&[b'\\', rest[at]]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn push_decimal(out: &mut Vec<u8>, cents: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = cents;
    // At least three digits: 5 cents are "0.05".
    while rest > 0 || digits.len() - at < 3 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let (whole, fraction) = digits[at..].split_at(digits.len() - at - 2);
    out.extend_from_slice(whole);
    out.push(b'.');
    out.extend_from_slice(fraction);
}
