//! The client's retry key, from the `Idempotency-Key` header.
//!
//! In: the header's text. Out: the bare key. What a key means (one purchase per
//! user and key) is [`PurchaseId::derived`](crate::PurchaseId::derived).

use std::fmt;
use std::str::FromStr;

/// A retry key: 1 to 64 of `A-Z a-z 0-9 _ -`, which every UUID is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Box<str>);

/// Why a header is not a retry key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No character between the quotes, or none at all.
    #[error("is empty")]
    Empty,
    /// More than 64 characters.
    #[error("is longer than 64 characters")]
    TooLong,
    /// Another character than `A-Z a-z 0-9 _ -`, or only one quote.
    #[error("may contain only A-Z a-z 0-9 _ - (in double quotes or bare)")]
    Character,
}

/// The header in both its forms, as a regular expression of JSON Schema.
pub const KEY_PATTERN: &str = r#"^("[A-Za-z0-9_-]{1,64}"|[A-Za-z0-9_-]{1,64})$"#;

/// Longest key in characters: a UUID has 36, a hex SHA-256 has 64.
const MAX_CHARS: usize = 64;

impl IdempotencyKey {
    /// Reads the header in both forms in use, the draft's quoted string and the
    /// bare token. Both name the same key.
    pub fn parse(header: &str) -> Result<Self, KeyError> {
        let text = header.trim_matches([' ', '\t']);
        let key = match text.strip_prefix('"') {
            Some(rest) => rest.strip_suffix('"').ok_or(KeyError::Character)?,
            None => text,
        };
        if key.is_empty() {
            return Err(KeyError::Empty);
        }
        if !key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        {
            return Err(KeyError::Character);
        }
        if key.len() > MAX_CHARS {
            return Err(KeyError::TooLong);
        }
        Ok(Self(key.into()))
    }

    /// The bare key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
