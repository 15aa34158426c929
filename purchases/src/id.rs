//! The identity of a purchase: twelve bytes, laid out so that the document
//! store takes them as its `_id`.
//!
//! In: a user and a retry key, a record's place in the log, or hex text. Out: the
//! same id for the same input, in every process and every version: the derived
//! forms are a promise to stored data, and tests pin them.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::{IdempotencyKey, UserId};

mod source;

pub use source::IdSource;

/// The id of a purchase: 12 bytes, written as 24 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PurchaseId([u8; 12]);

/// A text that is not a purchase id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not 24 hexadecimal digits")]
pub struct IdError;

impl PurchaseId {
    /// The id that these bytes are.
    pub const fn from_bytes(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    /// The id's bytes.
    pub const fn as_bytes(&self) -> &[u8; 12] {
        &self.0
    }

    /// The id of what this user buys under this retry key, on any replica, before
    /// and after restarts.
    pub fn derived(user: &UserId, key: &IdempotencyKey) -> Self {
        Self::hashed(
            "purchase-id/idempotency-key/1",
            &[user.as_str().as_bytes(), key.as_str().as_bytes()],
        )
    }

    /// The id of a record that came without one: its place in the log, so that a
    /// redelivery gives the same id.
    pub fn foreign(topic: &str, partition: i32, offset: i64) -> Self {
        let place = [
            topic.as_bytes(),
            &partition.to_be_bytes(),
            &offset.to_be_bytes(),
        ];
        Self::hashed("purchase-id/foreign-record/1", &place)
    }

    /// Every part is preceded by its length: no two lists of parts read the same.
    fn hashed(domain: &str, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in std::iter::once(domain.as_bytes()).chain(parts.iter().copied()) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let mut bytes = [0; 12];
        bytes.copy_from_slice(&digest[..12]);
        Self(bytes)
    }

    /// Reads the 24 hex digits of a header or a path segment.
    pub fn from_hex(text: &[u8]) -> Result<Self, IdError> {
        if text.len() != 24 {
            return Err(IdError);
        }
        let mut bytes = [0; 12];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }

    /// The 24 hex digits without an allocation.
    pub fn to_hex(self) -> [u8; 24] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 24];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        text
    }

    /// A number that is spread evenly also where ids are alike, to choose an item
    /// by. It is part of the retry promise: the same id always chooses the same.
    pub fn seed(self) -> u64 {
        let [a, b, c, d, e, f, g, h, tail @ ..] = self.0;
        let head = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        mix(mix(head) ^ u64::from(u32::from_be_bytes(tail)))
    }
}

/// The finishing steps of `SplitMix64`: every input bit reaches every output bit.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

fn nibble(digit: u8) -> Result<u8, IdError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(IdError),
    }
}

impl FromStr for PurchaseId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::from_hex(text.as_bytes())
    }
}

impl fmt::Display for PurchaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for digit in self.to_hex() {
            fmt::Write::write_char(f, char::from(digit))?;
        }
        Ok(())
    }
}

impl fmt::Debug for PurchaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PurchaseId({self})")
    }
}

impl Serialize for PurchaseId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
