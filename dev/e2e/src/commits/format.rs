//! How the broker writes commits and memberships down. In: a key and a value. Out: what they say of one group and
//! one topic, or nothing, where they speak of others.

use std::collections::{BTreeMap, BTreeSet};

use super::Entry;

/// The newest form of a membership that is read here; it has been the newest for long.
const MEMBERSHIP: i16 = 3;

/// What this record says of the group and the topic.
///
/// # Errors
/// If it is of that group, and of a form that is not known.
pub fn read(
    key: &[u8],
    value: Option<&[u8]>,
    group: &str,
    topic: &str,
) -> Result<Option<Entry>, String> {
    let told = || entry(key, value, group, topic);
    told().ok_or_else(|| format!("a record of the commits' log is cut short: {key:?} {value:?}"))?
}

/// None is a record that ends too early.
fn entry(
    key: &[u8],
    value: Option<&[u8]>,
    group: &str,
    topic: &str,
) -> Option<Result<Option<Entry>, String>> {
    let mut key = Bytes(key);
    match key.i16()? {
        0 | 1 => {
            if key.text()?? != group || key.text()?? != topic {
                return Some(Ok(None));
            }
            let partition = key.i32()?;
            let offset = match value {
                // In all versions the offset stands behind the version.
                Some(value) => Some(Bytes(value.get(2..)?).i64()?),
                None => None,
            };
            Some(Ok(Some(Entry::Commit(partition, offset))))
        }
        2 if key.text()?? == group => {
            let Some(value) = value else {
                return Some(Ok(Some(Entry::Generation(BTreeMap::new()))));
            };
            let mut value = Bytes(value);
            let version = value.i16()?;
            if version != MEMBERSHIP {
                return Some(Err(format!("a membership of version {version}")));
            }
            Some(Ok(Some(Entry::Generation(members(value, topic)?))))
        }
        _ => Some(Ok(None)),
    }
}

/// Members by their ids, and which partitions of the topic each has.
fn members(mut value: Bytes<'_>, topic: &str) -> Option<BTreeMap<String, BTreeSet<i32>>> {
    value.text()?; // kind of protocol
    value.i32()?; // generation
    value.text()?; // protocol
    value.text()?; // leader
    value.i64()?; // since when
    let mut members = BTreeMap::new();
    for _ in 0..value.i32()? {
        let id = value.text()??;
        for _ in 0..3 {
            value.text()?; // its own name, its client's, its host's
        }
        value.i32()?; // how long a rebalance may take
        value.i32()?; // its session
        value.bytes()?; // what it asked for
        let given = value.bytes()?;
        let partitions = if given.0.is_empty() {
            BTreeSet::new()
        } else {
            assigned(given, topic)?
        };
        members.insert(id.to_owned(), partitions);
    }
    Some(members)
}

fn assigned(mut given: Bytes<'_>, topic: &str) -> Option<BTreeSet<i32>> {
    given.i16()?;
    let mut partitions = BTreeSet::new();
    for _ in 0..given.i32()? {
        let ours = given.text()?? == topic;
        for _ in 0..given.i32()? {
            let partition = given.i32()?;
            if ours {
                partitions.insert(partition);
            }
        }
    }
    Some(partitions)
}

/// What is left to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn i16(&mut self) -> Option<i16> {
        self.take().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }

    fn part(&mut self, length: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(part)
    }

    /// A text; it may be absent, which is not the end.
    fn text(&mut self) -> Option<Option<&'a str>> {
        let length = self.i16()?;
        if length < 0 {
            return Some(None);
        }
        let text = self.part(usize::try_from(length).ok()?)?;
        Some(Some(std::str::from_utf8(text).ok()?))
    }

    fn bytes(&mut self) -> Option<Self> {
        let length = usize::try_from(self.i32()?).ok()?;
        self.part(length).map(Self)
    }
}
