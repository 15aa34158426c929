//! A dead letter as it is read back: which headers are the record's own, and which are the letter's.
//! Pure.

use purchases::{Timestamp, wire};

use crate::dead_letter::header;
use crate::flow::Original;

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
    /// It has only the beginning of the value.
    pub(super) truncated: bool,
}

/// What is kept in mind of a letter among many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) origin: Place,
    pub(super) reason: String,
    pub(super) written: String,
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

/// The letter's own headers stand behind those of the record, each once. The record may have some
/// of the same names: one that was a letter of another pipeline, for example.
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
            own.push(last);
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
        truncated: text(&own, header::TRUNCATED_FROM).is_some(),
        original: Original {
            headers,
            time,
            ..record
        },
    })
}

impl Letter {
    pub(super) fn summary(&self) -> Summary {
        Summary {
            origin: self.origin.clone(),
            reason: self.reason.clone(),
            written: self.written.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;

    type Headers = Vec<(String, Option<Vec<u8>>)>;

    fn headers(all: &[(&str, &str)]) -> Headers {
        all.iter()
            .map(|(name, value)| ((*name).to_owned(), Some(value.as_bytes().to_vec())))
            .collect()
    }

    fn as_letter(own: &[(&str, &str)], offset: &str) -> Original {
        let mut all = headers(own);
        all.extend(headers(&[
            ("dlq-reason", "no"),
            ("dlq-topic", "purchases"),
            ("dlq-partition", "2"),
            ("dlq-offset", offset),
            ("dlq-record-time", "2026-01-31T18:00:00.000Z"),
            ("dlq-time", "2026-01-31T18:00:01.000Z"),
        ]));
        Original {
            value: Some(b"{".to_vec()),
            headers: all,
            ..Original::default()
        }
    }

    fn read(record: Original) -> Letter {
        match Entry::read(record) {
            Entry::Letter(letter) => letter,
            other => panic!("no letter: {other:?}"),
        }
    }

    #[test]
    fn the_record_has_its_own_headers_again_also_those_of_the_same_names() {
        let own = [("trace", "1"), ("dlq-reason", "theirs"), ("trace", "2")];
        let letter = read(as_letter(&own, "42"));
        assert_eq!(letter.original.headers, headers(&own));
        let same = read(as_letter(&[("dlq-reason", "theirs")], "42"));
        assert_eq!(same.original.headers, headers(&[("dlq-reason", "theirs")]));
        assert_eq!((letter.reason.as_str(), letter.truncated), ("no", false));
        assert_eq!((letter.origin.partition, letter.origin.offset), (2, 42));
    }

    #[test]
    fn a_record_that_comes_back_twice_still_names_where_it_stood_first() {
        let now = Timestamp::from_millis(1).unwrap();
        let first = read(as_letter(&[], "42"));
        let back_once = back(first.original, &first.origin, now);
        let names: Vec<&str> = back_once.headers.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["replay-of", "replayed-at"]);
        // It is refused again, from another offset.
        let mut again = as_letter(&[], "99");
        again.headers = [back_once.headers, again.headers].concat();
        let again = read(again);
        assert_eq!(again.origin.offset, 99);
        let back_twice = back(again.original, &again.origin, now);
        assert_eq!(
            text(&back_twice.headers, "replay-of"),
            Some("purchases/2/42")
        );
        assert_eq!(back_twice.headers.len(), 2);
    }

    #[test]
    fn a_mark_is_read_as_it_was_written_and_is_no_letter() {
        let fate = Fate::Dropped(Timestamp::from_millis(1_000).unwrap());
        let mark = Original {
            headers: mark_headers(17, &fate),
            ..Original::default()
        };
        assert_eq!(Entry::read(mark), Entry::Mark { of: 17, fate });
        assert_eq!(Entry::read(Original::default()), Entry::Other);
    }
}
