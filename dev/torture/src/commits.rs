//! Every commit that the broker took, in its order. In: the broker's own topic of commits. Out: where a
//! commit went backwards.
//!
//! Looks at what is committed see a moment each; what somebody commits who no longer has the partition
//! is soon covered by who has it. Here it stands: its owner commits on from where it was, and one of
//! the two is behind the other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use e2e::topic::Witness;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::ledger::Wrongs;
use crate::recount;

/// Where the broker keeps commits.
const TOPIC: &str = "__consumer_offsets";
/// How long the broker may take to answer.
const REQUEST: Duration = Duration::from_secs(10);
/// How long nothing may come while there is more to be read.
const SILENCE: Duration = Duration::from_secs(30);
/// Between two looks for records.
const POLL: Duration = Duration::from_millis(200);

/// A commit by somebody who no longer had the partition.
pub(crate) const OVERTAKEN: &str = "commits that were behind an earlier one";
/// Then nothing was shown.
pub(crate) const NONE: &str = "partitions of which no commit was found";

/// Every commit of the witness's group to its topic, by partition.
///
/// # Panics
/// If the broker does not give them.
pub(crate) async fn read(witness: &Witness) -> BTreeMap<i32, Vec<i64>> {
    let witness = witness.clone();
    let read = tokio::task::spawn_blocking(move || {
        let read = all(&recount::reader(&witness), &witness);
        read.unwrap_or_else(|error| panic!("the commits cannot be read: {error}"))
    });
    read.await.unwrap_or_else(|error| panic!("{error}"))
}

/// Commits of one partition only move on, and there is at least one.
pub(crate) fn check(commits: &BTreeMap<i32, Vec<i64>>, partitions: i32) -> Wrongs {
    let mut wrongs = Wrongs::default();
    for partition in 0..partitions {
        let of_it = commits.get(&partition).map_or(&[][..], Vec::as_slice);
        if of_it.is_empty() {
            wrongs.add(NONE, || format!("partition {partition}"));
        }
        for pair in of_it.windows(2).filter(|pair| pair[1] < pair[0]) {
            wrongs.add(OVERTAKEN, || {
                format!("partition {partition}: {} after {}", pair[1], pair[0])
            });
        }
    }
    wrongs
}

fn all(reader: &BaseConsumer, witness: &Witness) -> Result<BTreeMap<i32, Vec<i64>>, String> {
    let words = |error: rdkafka::error::KafkaError| error.to_string();
    let metadata = reader.fetch_metadata(Some(TOPIC), REQUEST).map_err(words)?;
    let topic = metadata.topics().first().ok_or("there is no such topic")?;
    let (mut list, mut left) = (TopicPartitionList::new(), BTreeMap::new());
    for partition in topic.partitions() {
        let id = partition.id();
        let (first, end) = reader.fetch_watermarks(TOPIC, id, REQUEST).map_err(words)?;
        if first < end {
            list.add_partition_offset(TOPIC, id, Offset::Offset(first))
                .map_err(words)?;
            left.insert(id, end);
        }
    }
    reader.assign(&list).map_err(words)?;
    let (mut commits, mut heard) = (BTreeMap::<i32, Vec<i64>>::new(), Instant::now());
    while !left.is_empty() {
        if heard.elapsed() > SILENCE {
            return Err(format!("nothing more comes before {left:?}"));
        }
        let Some(Ok(message)) = reader.poll(POLL) else {
            // What ends in something that is no record is read to its end, too.
            let position = reader.position().map_err(words)?;
            left.retain(|id, end| {
                let at = position.find_partition(TOPIC, *id);
                !matches!(at.map(|at| at.offset()), Some(Offset::Offset(at)) if at >= *end)
            });
            continue;
        };
        heard = Instant::now();
        if let Some((group, topic, partition)) = message.key().and_then(place)
            && group == witness.group
            && topic == witness.topic
            && let Some(offset) = message.payload().and_then(offset)
        {
            commits.entry(partition).or_default().push(offset);
        }
        let id = message.partition();
        if left
            .get(&id)
            .is_some_and(|end| message.offset() + 1 >= *end)
        {
            left.remove(&id);
        }
    }
    Ok(commits)
}

/// The key of a commit, of version 0 or 1: group, topic, partition. Others are of memberships.
fn place(key: &[u8]) -> Option<(String, String, i32)> {
    let (version, rest) = key.split_at_checked(2)?;
    if !matches!(version, [0, 0 | 1]) {
        return None;
    }
    let (group, rest) = text(rest)?;
    let (topic, rest) = text(rest)?;
    Some((group, topic, i32::from_be_bytes(rest.try_into().ok()?)))
}

fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = bytes.split_at_checked(2)?;
    let length = i16::from_be_bytes(length.try_into().ok()?);
    let (text, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((std::str::from_utf8(text).ok()?.to_owned(), rest))
}

/// The value of a commit: in all versions the offset stands behind the version.
fn offset(value: &[u8]) -> Option<i64> {
    let offset = value.get(2..10)?;
    Some(i64::from_be_bytes(offset.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_read_as_the_broker_writes_it_and_a_membership_is_none() {
        let key = b"\0\x01\0\x02gr\0\x03top\0\0\0\x07";
        let read = place(key).unwrap();
        assert_eq!(read, ("gr".to_owned(), "top".to_owned(), 7));
        assert_eq!(place(b"\0\x02\0\x02gr"), None);
        assert_eq!(place(&key[..9]), None);
        assert_eq!(
            offset(b"\0\x03\0\0\0\0\0\0\x01\0\xff\xff\xff\xff"),
            Some(256)
        );
        assert_eq!(offset(b"\0\x03\0"), None);
    }

    #[test]
    fn a_commit_behind_an_earlier_one_is_found_whatever_comes_later() {
        let good = BTreeMap::from([(0, vec![0, 5, 5, 9]), (1, vec![3])]);
        assert!(check(&good, 2).is_empty());
        assert_eq!(check(&good, 3).counts(), BTreeMap::from([(NONE, 1)]));
        let bad = BTreeMap::from([(0, vec![0, 500, 420, 600, 700])]);
        assert_eq!(check(&bad, 1).counts(), BTreeMap::from([(OVERTAKEN, 1)]));
    }
}
