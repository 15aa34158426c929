//! Reading a part of a topic, record by record. In: a client that joins no group, and from where to where.
//! Out: each record once, in its partition's order; or that no more come.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

/// Between two looks for records.
const POLL: Duration = Duration::from_millis(200);

/// Reads each partition from an offset (included) to another one (not included). Blocks.
///
/// # Errors
/// What the broker says, that it says nothing any more, or what `take` says to a record.
pub fn each(
    reader: &BaseConsumer,
    topic: &str,
    from: &BTreeMap<i32, i64>,
    ends: &BTreeMap<i32, i64>,
    silence: Duration,
    take: impl FnMut(&BorrowedMessage<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let mut list = TopicPartitionList::new();
    let mut left = BTreeMap::new();
    for (partition, from) in from {
        let end = ends.get(partition).copied().unwrap_or_default();
        if *from < end {
            list.add_partition_offset(topic, *partition, Offset::Offset(*from))
                .map_err(|error| error.to_string())?;
            left.insert(*partition, end);
        }
    }
    if left.is_empty() {
        return Ok(());
    }
    reader.assign(&list).map_err(|error| error.to_string())?;
    let read = to_the_ends(reader, topic, left, silence, take);
    // Else the client fetched on what nobody asked for.
    reader.unassign().map_err(|error| error.to_string())?;
    read
}

fn to_the_ends(
    reader: &BaseConsumer,
    topic: &str,
    mut left: BTreeMap<i32, i64>,
    silence: Duration,
    mut take: impl FnMut(&BorrowedMessage<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let mut heard = Instant::now();
    while !left.is_empty() {
        if heard.elapsed() > silence {
            return Err(format!("nothing more comes before {left:?}"));
        }
        // Errors of connections heal by themselves; what does not ends in silence.
        let Some(Ok(message)) = reader.poll(POLL) else {
            // What ends in something that is no record is read to its end, too.
            let position = reader.position().map_err(|error| error.to_string())?;
            left.retain(|id, end| {
                let at = position.find_partition(topic, *id);
                !matches!(at.map(|at| at.offset()), Some(Offset::Offset(at)) if at >= *end)
            });
            continue;
        };
        heard = Instant::now();
        let Some(end) = left.get(&message.partition()).copied() else {
            continue;
        };
        if message.offset() < end {
            take(&message)?;
        }
        if message.offset() + 1 >= end {
            left.remove(&message.partition());
        }
    }
    Ok(())
}
