//! Kafka's protocol: metadata, topics, end offsets, elections (and, for this crate's tests, one record).
//! In: an address and names; out: parsed answers. Versions are the newest without compact
//! encodings, which Kafka 4 still speaks.

mod codec;
#[cfg(test)]
mod produce;

#[cfg(test)]
pub(crate) use produce::produce;

use self::codec::{Reader, Writer};
use super::exchange;

const METADATA: (i16, i16) = (3, 4);
const CREATE_TOPICS: (i16, i16) = (19, 4);
const LIST_OFFSETS: (i16, i16) = (2, 1);
const ELECT_LEADERS: (i16, i16) = (43, 1);

/// The error code of a partition that is led by whom it should be.
pub(crate) const ELECTION_NOT_NEEDED: i16 = 84;

/// The error code of a topic that exists already.
pub(crate) const TOPIC_EXISTS: i16 = 36;

/// What a broker says about the cluster.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    pub(crate) brokers: Vec<(i32, String)>,
    pub(crate) controller: i32,
    pub(crate) topics: Vec<Topic>,
}

/// One topic as the broker sees it.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) error: i16,
    /// The leader of each partition; -1 while there is none.
    pub(crate) leaders: Vec<(i32, i32)>,
}

/// Asks about the named topics (none named: only about the brokers).
pub(crate) async fn metadata(address: &str, topics: &[&str]) -> Result<Metadata, String> {
    let mut body = Writer::default();
    body.array(topics, |body, topic| body.string(topic));
    body.i8(0);
    let answer = request(address, METADATA, body).await?;
    let mut read = Reader::new(&answer);
    read.i32()?;
    let brokers = read.array(|read| {
        let id = read.i32()?;
        let host = read.string()?.unwrap_or_default();
        let port = read.i32()?;
        read.string()?;
        Ok((id, format!("{host}:{port}")))
    })?;
    read.string()?;
    let controller = read.i32()?;
    let topics = read.array(|read| {
        let error = read.i16()?;
        let name = read.string()?.unwrap_or_default();
        read.i8()?;
        let leaders = read.array(|read| {
            read.i16()?;
            let partition = read.i32()?;
            let leader = read.i32()?;
            read.array(Reader::i32)?;
            read.array(Reader::i32)?;
            Ok((partition, leader))
        })?;
        Ok(Topic {
            name,
            error,
            leaders,
        })
    })?;
    Ok(Metadata {
        brokers,
        controller,
        topics,
    })
}

/// Asks for a topic; the answer is the error code (0 for created) and the broker's words.
pub(crate) async fn create_topic(
    address: &str,
    name: &str,
    partitions: i32,
    replicas: i16,
    settings: &[(&str, &str)],
) -> Result<(i16, String), String> {
    let mut body = Writer::default();
    body.array(&[name], |body, name| {
        body.string(name);
        body.i32(partitions);
        body.i16(replicas);
        body.i32(0);
        body.array(settings, |body, (key, value)| {
            body.string(key);
            body.string(value);
        });
    });
    body.i32(10_000);
    body.i8(0);
    let answer = request(address, CREATE_TOPICS, body).await?;
    let mut read = Reader::new(&answer);
    read.i32()?;
    let mut topics = read.array(|read| {
        read.string()?;
        Ok((read.i16()?, read.string()?.unwrap_or_default()))
    })?;
    topics
        .pop()
        .ok_or_else(|| "an answer without the topic".to_owned())
}

/// The offset after the last record of one partition, asked of its leader.
pub(crate) async fn end_offset(leader: &str, topic: &str, partition: i32) -> Result<i64, String> {
    let mut body = Writer::default();
    body.i32(-1);
    body.array(&[topic], |body, topic| {
        body.string(topic);
        body.i32(1);
        body.i32(partition);
        body.i64(-1);
    });
    let answer = request(leader, LIST_OFFSETS, body).await?;
    let mut read = Reader::new(&answer);
    let topics = read.array(|read| {
        read.string()?;
        read.array(|read| {
            read.i32()?;
            let error = read.i16()?;
            read.i64()?;
            Ok((error, read.i64()?))
        })
    })?;
    match topics.into_iter().flatten().next() {
        Some((0, offset)) => Ok(offset),
        Some((error, _)) => Err(format!("error code {error}")),
        None => Err("an answer without the partition".to_owned()),
    }
}

/// Asks for each partition to be led by the first of its replicas again; the answer is each
/// partition with the error code of its election.
pub(crate) async fn elect_preferred(
    address: &str,
    topic: &str,
    partitions: &[i32],
) -> Result<Vec<(i32, i16)>, String> {
    let mut body = Writer::default();
    body.i8(0);
    body.array(&[topic], |body, topic| {
        body.string(topic);
        body.array(partitions, Writer::i32);
    });
    body.i32(10_000);
    let answer = request(address, ELECT_LEADERS, body).await?;
    let mut read = Reader::new(&answer);
    read.i32()?;
    let error = read.i16()?;
    let topics = read.array(|read| {
        read.string()?;
        read.array(|read| {
            let elected = (read.i32()?, read.i16()?);
            read.string()?;
            Ok(elected)
        })
    })?;
    match error {
        0 => Ok(topics.into_iter().flatten().collect()),
        error => Err(format!("error code {error}")),
    }
}

async fn request(
    address: &str,
    (key, version): (i16, i16),
    body: Writer,
) -> Result<Vec<u8>, String> {
    let mut head = Writer::default();
    head.i16(key);
    head.i16(version);
    head.i32(1);
    head.string("devstack");
    let size = i32::try_from(head.0.len() + body.0.len()).map_err(|_| "a request too large")?;
    let mut frame = size.to_be_bytes().to_vec();
    frame.extend_from_slice(&head.0);
    frame.extend_from_slice(&body.0);
    let mut answer = exchange(address, &frame, |head| i64::from(i32::from_be_bytes(head))).await?;
    if answer.len() < 4 {
        return Err("an answer without a head".to_owned());
    }
    Ok(answer.split_off(4))
}
