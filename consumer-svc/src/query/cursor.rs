//! The opaque keyset cursor of a history page. Pure.
//!
//! It names the last purchase of the page that was given, so that the next page is stable while
//! new purchases arrive, and carries the range that was asked for, so that a client cannot lose it
//! between two pages. The version in front says which form it has.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use purchases::{PurchaseId, Timestamp};

use super::range::Range;

/// Place in a user's history: everything strictly older comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// Moment of the last purchase of the page.
    pub timestamp: Timestamp,
    /// Its id, which orders purchases of the same moment.
    pub id: PurchaseId,
    /// What the history was limited to.
    pub range: Range,
}

/// A text that is no cursor of this service.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("is not a cursor of this service")]
pub struct InvalidCursor;

/// Of the whole history: version, milliseconds, id.
const WHOLE: u8 = 1;
const WHOLE_LENGTH: usize = 1 + 8 + 12;
/// Of a range: the same, and each bound as one byte that says whether it is there, and milliseconds.
const RANGED: u8 = 2;
const RANGED_LENGTH: usize = WHOLE_LENGTH + 9 + 9;

impl Cursor {
    /// The cursor as it stands in a URL.
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(RANGED_LENGTH);
        let whole = self.range.is_whole();
        bytes.push(if whole { WHOLE } else { RANGED });
        bytes.extend(self.timestamp.as_millis().to_be_bytes());
        bytes.extend(self.id.as_bytes());
        if !whole {
            for bound in [self.range.since, self.range.until] {
                bytes.push(u8::from(bound.is_some()));
                bytes.extend(bound.map_or(0, Timestamp::as_millis).to_be_bytes());
            }
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor back.
    ///
    /// # Errors
    /// Anything `encode` has not made.
    pub fn decode(text: &str) -> Result<Self, InvalidCursor> {
        // Longer texts are not even decoded.
        if text.len() > RANGED_LENGTH.div_ceil(3) * 4 {
            return Err(InvalidCursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        let (place, rest) = bytes.split_at_checked(WHOLE_LENGTH).ok_or(InvalidCursor)?;
        let range = match (place[0], rest) {
            (WHOLE, []) => Range::WHOLE,
            (RANGED, bounds) if bounds.len() == 18 => Range {
                since: bound(&bounds[..9])?,
                until: bound(&bounds[9..])?,
            },
            _ => return Err(InvalidCursor),
        };
        let id: [u8; 12] = place[9..].try_into().map_err(|_| InvalidCursor)?;
        Ok(Self {
            timestamp: moment(&place[1..9])?,
            id: PurchaseId::from_bytes(id),
            range,
        })
    }
}

fn moment(bytes: &[u8]) -> Result<Timestamp, InvalidCursor> {
    let bytes = bytes.try_into().map_err(|_| InvalidCursor)?;
    Timestamp::from_millis(i64::from_be_bytes(bytes)).ok_or(InvalidCursor)
}

fn bound(bytes: &[u8]) -> Result<Option<Timestamp>, InvalidCursor> {
    match bytes {
        [0, 0, 0, 0, 0, 0, 0, 0, 0] => Ok(None),
        [1, bytes @ ..] => moment(bytes).map(Some),
        _ => Err(InvalidCursor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(millis: i64, range: Range) -> Cursor {
        Cursor {
            timestamp: Timestamp::from_millis(millis).unwrap(),
            id: PurchaseId::from_bytes([7; 12]),
            range,
        }
    }

    fn ranges() -> impl Iterator<Item = Range> {
        let bounds = || [None, Timestamp::from_millis(0), Timestamp::from_millis(-7)].into_iter();
        bounds().flat_map(move |since| bounds().map(move |until| Range { since, until }))
    }

    #[test]
    fn a_cursor_comes_back_as_it_went_and_with_its_range() {
        for millis in [0, 1, 1_795_369_334_187] {
            for range in ranges() {
                let cursor = cursor(millis, range);
                assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor));
            }
        }
    }

    #[test]
    fn a_foreign_text_is_refused() {
        let whole = cursor(5, Range::WHOLE).encode();
        let ranged = cursor(5, ranges().nth(1).unwrap()).encode();
        let changed = |text: &str, at: usize, to: u8| {
            let mut bytes = URL_SAFE_NO_PAD.decode(text).unwrap();
            bytes[at] = to;
            URL_SAFE_NO_PAD.encode(bytes)
        };
        for text in [
            "",
            "x",
            "AAAA",
            "not base64!",
            &changed(&whole, 0, 2),
            &changed(&whole, 0, 3),
            &changed(&ranged, 0, 1),
            &changed(&ranged, 21, 2),
            // A bound that is not there has no moment.
            &changed(&ranged, 29, 1),
            // A moment that no calendar has.
            &changed(&whole, 1, 0x7F),
            &format!("{whole}A"),
            &format!("{ranged}AAAA"),
            &ranged[..40],
        ] {
            assert_eq!(Cursor::decode(text), Err(InvalidCursor), "{text}");
        }
    }
}
