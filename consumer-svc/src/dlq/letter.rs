//! A dead letter as it is read back: which headers are the record's own, and which are the letter's.
//! Pure.

use purchases::{Timestamp, wire};

use crate::dead_letter::header;
use crate::flow::{Origin, Original};
use crate::read::{Decoded, Raw, decode};

/// Header of a mark: what was done with a letter.
const MARK: &str = "dlq-mark";
/// Header of a mark: the offset of that letter, in the mark's partition.
const MARK_OF: &str = "dlq-mark-of";

/// Where a letter's record stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// What became of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    Replayed(Timestamp),
    Dropped(Timestamp),
}

impl Fate {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replayed(_) => "replayed",
            Self::Dropped(_) => "dropped",
        }
    }

    pub(super) fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Open => None,
            Self::Replayed(at) | Self::Dropped(at) => Some(*at),
        }
    }
}

/// A letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    /// The record, without the headers of the letter.
    pub(super) original: Original,
    pub(super) origin: Place,
    pub(super) reason: String,
    /// When it was written.
    pub(super) written: String,
    /// It has only the beginning of the value, which was so long.
    pub(super) truncated_from: Option<usize>,
}

/// What is kept in mind of a letter among many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) origin: Place,
    pub(super) reason: String,
    pub(super) written: String,
    /// Its record was sent back before, and refused again.
    pub(super) again: bool,
    pub(super) fate: Fate,
}

/// What stands in the dead-letter topic.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Letter(Letter),
    Mark { of: i64, fate: Fate },
    Other,
}

impl Entry {
    pub(super) fn read(record: Original) -> Self {
        mark(&record)
            .or_else(|| letter(record).map(Self::Letter))
            .unwrap_or(Self::Other)
    }
}

fn text<'h>(headers: &'h [(String, Option<Vec<u8>>)], name: &str) -> Option<&'h str> {
    let (_, value) = headers.iter().rev().find(|(found, _)| found == name)?;
    std::str::from_utf8(value.as_deref()?).ok()
}

fn mark(record: &Original) -> Option<Entry> {
    let of = text(&record.headers, MARK_OF)?.parse().ok()?;
    let at = Timestamp::parse(text(&record.headers, header::TIME)?).ok()?;
    let fate = match text(&record.headers, MARK)? {
        "replayed" => Fate::Replayed(at),
        "dropped" => Fate::Dropped(at),
        _ => return None,
    };
    record.value.is_none().then_some(Entry::Mark { of, fate })
}

/// The record that marks a letter: what was done, to which, and when.
pub(super) fn mark_headers(offset: i64, fate: &Fate) -> Vec<(String, Option<Vec<u8>>)> {
    let at = fate.at().map(|at| at.to_string()).unwrap_or_default();
    [
        (MARK, fate.word().to_owned()),
        (MARK_OF, offset.to_string()),
        (header::TIME, at),
    ]
    .map(|(name, value)| (name.to_owned(), Some(value.into_bytes())))
    .into()
}

/// The letter's own headers stand behind those of the record, each once, and the reason is the first of
/// them. The record may have some of the same names: one that was a letter of another pipeline, for example.
fn letter(record: Original) -> Option<Letter> {
    const OWN: [&str; 7] = [
        header::REASON,
        header::TOPIC,
        header::PARTITION,
        header::OFFSET,
        header::RECORD_TIME,
        header::TIME,
        header::TRUNCATED_FROM,
    ];
    let mut headers = record.headers;
    let mut own: Vec<(String, Option<Vec<u8>>)> = Vec::new();
    while let Some(last) = headers.pop() {
        let new = |name: &str| own.iter().all(|(known, _)| known != name);
        if OWN.contains(&last.0.as_str()) && new(&last.0) {
            let is_first = last.0 == header::REASON;
            own.push(last);
            if is_first {
                break;
            }
        } else {
            headers.push(last);
            break;
        }
    }
    let origin = Place {
        topic: text(&own, header::TOPIC)?.to_owned(),
        partition: text(&own, header::PARTITION)?.parse().ok()?,
        offset: text(&own, header::OFFSET)?.parse().ok()?,
    };
    let time = text(&own, header::RECORD_TIME).and_then(|time| Timestamp::parse(time).ok());
    Some(Letter {
        origin,
        reason: text(&own, header::REASON).unwrap_or_default().to_owned(),
        written: text(&own, header::TIME).unwrap_or_default().to_owned(),
        // A length that cannot be read is that of no record.
        truncated_from: text(&own, header::TRUNCATED_FROM)
            .map(|length| length.parse().unwrap_or(usize::MAX)),
        original: Original {
            headers,
            time,
            ..record
        },
    })
}

impl Letter {
    /// Whether its record was sent back before.
    pub(super) fn is_of_a_return(&self) -> bool {
        let replayed = |(name, _): &(String, _)| name == wire::REPLAY_OF;
        self.original.headers.iter().any(replayed)
    }

    /// Whether this is the record of which the letter has the beginning, of the value, of the key, or of
    /// both. A topic that was made anew has another one in its place.
    pub(super) fn is_of(&self, found: &Original) -> bool {
        let Original {
            key,
            value,
            headers,
            time,
        } = &self.original;
        let begins = |whole: &Option<Vec<u8>>, part: &Option<Vec<u8>>| match (whole, part) {
            (Some(whole), Some(part)) => whole.starts_with(part),
            (whole, part) => whole.is_none() && part.is_none(),
        };
        // A letter that had no room for the headers says only whether it came back.
        let left_out =
            |header: &(String, _)| header.0 == wire::REPLAY_OF && found.headers.contains(header);
        let same_headers = *headers == found.headers || headers.iter().all(left_out);
        // The log may not tell a time.
        let same_time = time.is_none() || found.time.is_none() || *time == found.time;
        let length = found.value.as_ref().map_or(0, Vec::len);
        self.truncated_from == Some(length)
            && begins(&found.value, value)
            && begins(&found.key, key)
            && same_headers
            && same_time
    }

    pub(super) fn summary(&self) -> Summary {
        Summary {
            origin: self.origin.clone(),
            reason: self.reason.clone(),
            written: self.written.clone(),
            again: self.is_of_a_return(),
            fate: Fate::Open,
        }
    }
}

/// The record as it goes back. The place where it stood first stays what it was, however often it
/// comes back: a foreign event's id is made of it.
pub(super) fn back(mut record: Original, origin: &Place, now: Timestamp) -> Original {
    record.headers.retain(|(name, _)| name != wire::REPLAYED_AT);
    if record
        .headers
        .iter()
        .all(|(name, _)| name != wire::REPLAY_OF)
    {
        let place = wire::place(&origin.topic, origin.partition, origin.offset);
        let header = (wire::REPLAY_OF.to_owned(), Some(place.into_bytes()));
        record.headers.push(header);
    }
    let now = now.to_string().into_bytes();
    record
        .headers
        .push((wire::REPLAYED_AT.to_owned(), Some(now)));
    record
}

/// Why this record, sent back, would be refused again by what reads it in this version; nothing if it can be
/// read, whatever the database says of it then.
pub(super) fn unreadable(record: &Original, origin: &Place) -> Option<String> {
    let headers = record.headers.iter();
    let raw = Raw {
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: headers
            .map(|(name, value)| (name.as_str(), value.as_deref()))
            .collect(),
    };
    let origin = Origin {
        topic: origin.topic.as_str().into(),
        partition: origin.partition,
        offset: origin.offset,
    };
    match decode(&raw, origin) {
        Decoded::Bad(bad) => Some(bad.reason),
        Decoded::Purchase(_) | Decoded::Tombstone => None,
    }
}

#[cfg(test)]
mod tests;
