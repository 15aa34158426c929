//! Pure: by what a log is known again. A mark is a record that was seen at an offset.
//!
//! A topic that was deleted and made anew has the same name, and once it is filled again, the same
//! offsets; what stands at them is something else. The client tells no topic's id.

use actors::Epoch;
use purchases::Timestamp;

use crate::flow::Original;

/// A record that stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where.
    pub offset: u64,
    /// What it is.
    pub print: Print,
}

/// The fingerprint of a record as it stands in the log: key, value, headers, and the log's time, which
/// tells equal records apart that were written at different times. The same in every version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print(pub u64);

/// Whether a log is the one that was read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kin {
    /// The marked record stands where it stood.
    Same,
    /// Another one stands there.
    Other(Mark),
    /// There is no mark, or no record any more where it was.
    Unknown,
}

/// What a look at one partition was about.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// The partition.
    pub partition: i32,
    /// The epoch it was in.
    pub epoch: Epoch,
    /// The record that should stand where it stood.
    pub known: Mark,
    /// One that was read before the look began, and later than that.
    pub newer: Option<Mark>,
}

impl Print {
    /// Of a record in its parts.
    pub(crate) fn of<'r>(
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'r str, Option<&'r [u8]>)>,
        time: Option<Timestamp>,
    ) -> Self {
        let mut print = Self(0xcbf2_9ce4_8422_2325);
        print.part(key);
        print.part(value);
        let time = time.map(|time| time.as_millis().to_be_bytes());
        print.part(time.as_ref().map(<[u8; 8]>::as_slice));
        for (name, value) in headers {
            print.part(Some(name.as_bytes()));
            print.part(value);
        }
        print
    }

    /// Of a record that was read again.
    pub(crate) fn again(record: &Original) -> Self {
        let headers = record.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_deref()));
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        Self::of(key, value, headers, record.time)
    }

    /// FNV-1a. The length stands before, so that no two lists of parts are alike.
    fn part(&mut self, bytes: Option<&[u8]>) {
        let length = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
        for byte in length.to_be_bytes().iter().chain(bytes.unwrap_or_default()) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Original {
        Original {
            key: Some(b"u1".to_vec()),
            value: Some(b"{}".to_vec()),
            headers: vec![
                ("a".to_owned(), None),
                ("b".to_owned(), Some(b"c".to_vec())),
            ],
            time: Timestamp::from_millis(5),
        }
    }

    #[test]
    fn a_print_is_the_same_in_every_version() {
        assert_eq!(Print::again(&record()), Print::again(&record()));
        assert_eq!(Print::of(None, None, [], None).0, 0x4d21_b858_6586_b16d);
    }

    #[test]
    fn any_difference_makes_another_print() {
        let changes: [fn(&mut Original); 8] = [
            |record| record.key = None,
            |record| record.key = Some(Vec::new()),
            |record| record.value = Some(b"{ }".to_vec()),
            |record| record.value = None,
            |record| record.time = Timestamp::from_millis(6),
            |record| record.headers[0].1 = Some(Vec::new()),
            |record| record.headers.swap(0, 1),
            |record| record.headers.truncate(1),
        ];
        let mut prints = vec![Print::again(&record())];
        for change in changes {
            let mut changed = record();
            change(&mut changed);
            let print = Print::again(&changed);
            assert!(!prints.contains(&print), "{changed:?}");
            prints.push(print);
        }
    }
}
