//! The three texts that people choose: user id, username and item name.
//!
//! In: any text. Out: trimmed, 1 to 100 characters, free of what would let one
//! text pass for another or break a log line. Nothing is rewritten but the ends.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

/// White space, as a class of a regular expression.
macro_rules! space {
    () => {
        r"\u0009-\u000D \u0085\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000"
    };
}

/// What no name contains, as such a class.
macro_rules! unfit {
    () => {
        r"\u0000-\u001F\u007F-\u009F\u2028-\u202E\u2066-\u2069"
    };
}

/// Longest name, counted in characters and not in bytes.
const MAX_CHARS: usize = 100;

/// A name before it is trimmed, as a regular expression of JSON Schema: what `trim` takes off at both
/// ends, and between them 1 to 100 characters of which neither the first nor the last is such a one.
pub const NAME_PATTERN: &str = concat!(
    "^[",
    space!(),
    "]*",
    "[^",
    space!(),
    unfit!(),
    "]",
    "([^",
    unfit!(),
    "]{0,98}[^",
    space!(),
    unfit!(),
    "])?",
    "[",
    space!(),
    "]*$"
);

/// Why a text is refused as a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// Nothing is left after trimming.
    #[error("is empty")]
    Empty,
    /// More than 100 characters after trimming.
    #[error("is longer than 100 characters")]
    TooLong,
    /// A control character or a line separator.
    #[error("contains the control character U+{:04X}", u32::from(*.0))]
    Control(char),
    /// A character that reorders the text around it when shown.
    #[error("contains the text direction override U+{:04X}", u32::from(*.0))]
    Bidi(char),
}

fn check(text: &str) -> Result<&str, FieldError> {
    // Most names: every byte is a character, and none of them a control character or white space.
    if (1..=MAX_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text);
    }
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(FieldError::Empty);
    }
    let mut length = 0;
    for character in trimmed.chars() {
        length += 1;
        if length > MAX_CHARS {
            return Err(FieldError::TooLong);
        }
        match character {
            // Embeddings, overrides and isolates. The plain marks (U+200E, U+200F,
            // U+061C) are allowed: right-to-left names need them.
            '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => {
                return Err(FieldError::Bidi(character));
            }
            '\u{2028}' | '\u{2029}' => return Err(FieldError::Control(character)),
            c if c.is_control() => return Err(FieldError::Control(character)),
            _ => {}
        }
    }
    Ok(trimmed)
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Trimmed, 1 to 100 characters. Cloning shares the text.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Trims and checks a text.
            pub fn parse(text: &str) -> Result<Self, FieldError> {
                check(text).map(|text| Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = FieldError;

            fn from_str(text: &str) -> Result<Self, FieldError> {
                Self::parse(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

name!(
    /// Who bought, as known to machines: partition key, shard key, path segment.
    UserId
);
name!(
    /// Who bought, as shown to people.
    Username
);
name!(
    /// What was bought.
    ItemName
);
