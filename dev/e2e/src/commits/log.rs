//! The broker's own topic of commits, read for one group. In: a witness. Out: what it says, in its order.
//!
//! All that is about one group stands in one partition of it, so its order is that in which the broker decided.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;

use super::Entry;
use super::format;
use crate::reading;
use crate::topic::Witness;

/// Where the broker keeps commits.
const TOPIC: &str = "__consumer_offsets";
/// How long the broker may take to answer.
const REQUEST: Duration = Duration::from_secs(10);
/// How long nothing may come while there is more to be read.
const SILENCE: Duration = Duration::from_secs(10);
/// How long the broker may refuse to answer at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// A place in the log of commits.
pub type Mark = i64;

/// Where the log of the group's commits ends now.
///
/// # Panics
/// If the broker does not say so.
pub async fn mark(witness: &Witness) -> Mark {
    let found = of(witness, |reader, group| {
        Ok(place(reader, group)?.map_or(0, |(_, _, end)| end))
    });
    found.await
}

/// Everything that stands there of the witness's group and topic, with its place.
///
/// # Panics
/// If the broker does not give it.
pub async fn read(witness: &Witness) -> Vec<(Mark, Entry)> {
    let topic = witness.topic.clone();
    let found = of(witness, move |reader, group| {
        let mut history = Vec::new();
        let Some((partition, first, end)) = place(reader, group)? else {
            return Ok(history);
        };
        let only = |offset| BTreeMap::from([(partition, offset)]);
        reading::each(reader, TOPIC, &only(first), &only(end), SILENCE, |record| {
            let key = record.key().unwrap_or_default();
            if let Some(entry) = format::read(key, record.payload(), group, &topic)? {
                history.push((record.offset(), entry));
            }
            Ok(())
        })?;
        Ok(history)
    });
    found.await
}

/// Asks until the broker answers: it makes that topic when the first group comes, and may have lost its leader.
async fn of<T: Send + 'static>(
    witness: &Witness,
    ask: impl Fn(&BaseConsumer, &str) -> Result<T, String> + Send + 'static,
) -> T {
    let witness = witness.clone();
    let work = move || {
        let reader = witness.reader();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match ask(&reader, &witness.group) {
                Err(_) if Instant::now() < deadline => {
                    std::thread::park_timeout(Duration::from_millis(50));
                }
                answer => return answer,
            }
        }
    };
    let asked = tokio::task::spawn_blocking(work).await;
    let answer = asked.unwrap_or_else(|error| panic!("{error}"));
    answer.unwrap_or_else(|error| panic!("the commits cannot be read: {error}"))
}

/// The partition of the group, where it begins and where it ends; none before the first group.
fn place(reader: &BaseConsumer, group: &str) -> Result<Option<(i32, Mark, Mark)>, String> {
    let words = |error: rdkafka::error::KafkaError| error.to_string();
    let metadata = reader.fetch_metadata(Some(TOPIC), REQUEST).map_err(words)?;
    let topic = metadata.topics().first().ok_or("no topic is told")?;
    let partitions = i32::try_from(topic.partitions().len()).map_err(|error| error.to_string())?;
    if partitions == 0 {
        return Ok(None);
    }
    let partition = hash(group).checked_abs().unwrap_or(0) % partitions;
    let (first, end) = reader
        .fetch_watermarks(TOPIC, partition, REQUEST)
        .map_err(words)?;
    Ok(Some((partition, first, end)))
}

/// As the broker's language hashes texts; groups of proofs are plain ones.
fn hash(text: &str) -> i32 {
    let units = text.encode_utf16();
    units.fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}
