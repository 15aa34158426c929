//! The opaque keyset cursor of a history page. Pure.
//!
//! It names the last purchase of the page that was given, so that the next page is stable while
//! new purchases arrive. A version in front lets its form change.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use purchases::{PurchaseId, Timestamp};

/// Place in a user's history: everything strictly older comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Moment of the last purchase of the page.
    pub timestamp: Timestamp,
    /// Its id, which orders purchases of the same moment.
    pub id: PurchaseId,
}

/// A text that is no cursor of this service.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("is not a cursor of this service")]
pub struct InvalidCursor;

const VERSION: u8 = 1;
/// Version, milliseconds, id.
const LENGTH: usize = 1 + 8 + 12;

impl Cursor {
    /// The cursor as it stands in a URL.
    pub fn encode(&self) -> String {
        let mut bytes = [0; LENGTH];
        bytes[0] = VERSION;
        bytes[1..9].copy_from_slice(&self.timestamp.as_millis().to_be_bytes());
        bytes[9..].copy_from_slice(self.id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor back.
    ///
    /// # Errors
    /// Anything `encode` has not made.
    pub fn decode(text: &str) -> Result<Self, InvalidCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        let bytes: [u8; LENGTH] = bytes.try_into().map_err(|_| InvalidCursor)?;
        let (moment, id) = (bytes[1..9].try_into(), bytes[9..].try_into());
        let (Ok(moment), Ok(id)) = (moment, id) else {
            return Err(InvalidCursor);
        };
        if bytes[0] != VERSION {
            return Err(InvalidCursor);
        }
        let timestamp = Timestamp::from_millis(i64::from_be_bytes(moment)).ok_or(InvalidCursor)?;
        Ok(Self {
            timestamp,
            id: PurchaseId::from_bytes(id),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(millis: i64) -> Cursor {
        Cursor {
            timestamp: Timestamp::from_millis(millis).unwrap(),
            id: PurchaseId::from_bytes([7; 12]),
        }
    }

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        for millis in [0, 1, 1_795_369_334_187] {
            assert_eq!(Cursor::decode(&cursor(millis).encode()), Ok(cursor(millis)));
        }
    }

    #[test]
    fn a_foreign_text_is_refused() {
        let mut other_version = URL_SAFE_NO_PAD.decode(cursor(5).encode()).unwrap();
        other_version[0] = 2;
        for text in [
            "",
            "x",
            "AAAA",
            "not base64!",
            &URL_SAFE_NO_PAD.encode(other_version),
            &format!("{}A", cursor(5).encode()),
        ] {
            assert_eq!(Cursor::decode(text), Err(InvalidCursor), "{text}");
        }
    }
}
