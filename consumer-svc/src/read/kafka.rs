//! One partition's queue of the group consumer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers, Message};

use super::decode::Raw;
use super::{Decoded, OpenPartition, PartitionSource, Polled, SourceError, Traced, decode};
use crate::flow::Origin;
use crate::kafka::{ConsumerSlot, GroupConsumer, GroupContext, time_of};
use crate::lane::{Cause, Halt};
use crate::mark::{Mark, Print};

/// How long the client may take to move its position.
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);

/// A partition of the present assignment.
///
/// The queue is split off while the assignment is made, before the first record can arrive at the
/// consumer itself, and waits here for the reader. A restarted reader splits it again: by then the
/// old one has been dropped, which matters, because dropping a queue removes the wake-up of
/// whoever holds the partition's queue at that moment.
pub struct KafkaPartition {
    slot: ConsumerSlot,
    topic: Arc<str>,
    partition: i32,
    waiting: Mutex<Option<PartitionQueue<GroupContext>>>,
    traced: Traced,
}

impl KafkaPartition {
    /// Splits the partition's queue off. `None` if the client does not know the partition.
    pub(crate) fn split(
        consumer: &Arc<GroupConsumer>,
        slot: ConsumerSlot,
        topic: Arc<str>,
        partition: i32,
        traced: Traced,
    ) -> Option<Self> {
        let queue = consumer.split_partition_queue(&topic, partition)?;
        Some(Self {
            slot,
            topic,
            partition,
            waiting: Mutex::new(Some(queue)),
            traced,
        })
    }
}

impl OpenPartition for KafkaPartition {
    type Source = KafkaSource;

    fn open(&self, wake: Arc<dyn Fn() + Send + Sync>) -> Result<KafkaSource, String> {
        let waiting = self
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let mut queue = match waiting {
            Some(queue) => queue,
            None => self
                .slot
                .get()
                .and_then(|consumer| consumer.split_partition_queue(&self.topic, self.partition))
                .ok_or_else(|| {
                    format!("partition {} cannot be opened: no consumer", self.partition)
                })?,
        };
        queue.set_nonempty_callback(move || wake());
        Ok(KafkaSource {
            queue,
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            traced: self.traced.clone(),
            mark: None,
        })
    }

    fn seek(&self, offset: u64) -> Result<(), String> {
        let consumer = self.slot.get().ok_or("no consumer to seek with")?;
        consumer
            .seek(
                &self.topic,
                self.partition,
                Offset::Offset(offset as i64),
                SEEK_TIMEOUT,
            )
            .map_err(|error| {
                format!(
                    "partition {} cannot be set to offset {offset}: {error}",
                    self.partition
                )
            })
    }
}

/// Reads without waiting.
pub struct KafkaSource {
    queue: PartitionQueue<GroupContext>,
    topic: Arc<str>,
    partition: i32,
    traced: Traced,
    mark: Option<Mark>,
}

impl PartitionSource for KafkaSource {
    fn poll(&mut self) -> Result<Option<Polled>, SourceError> {
        match self.queue.poll(Duration::ZERO) {
            None => Ok(None),
            Some(Ok(message)) => {
                let mark = &mut self.mark;
                Ok(Some(polled(&message, &self.topic, &self.traced, mark)))
            }
            Some(Err(error)) => Err(self.classify(&error)),
        }
    }

    fn mark(&mut self) -> Option<Mark> {
        self.mark.take()
    }
}

impl KafkaSource {
    /// The client goes on by itself after every error but one: where the next offset is not in
    /// the log, somebody has to say what that means, and it will not be a jump.
    fn classify(&self, error: &KafkaError) -> SourceError {
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => SourceError::Lost(Halt {
                cause: Cause::OffsetGone,
                reason: format!(
                    "the next offset is not in the log of {} any more ({error})",
                    self.topic
                ),
            }),
            _ => SourceError::Passing(format!("partition {}: {error}", self.partition)),
        }
    }
}

fn polled(
    message: &BorrowedMessage<'_>,
    topic: &Arc<str>,
    traced: &Traced,
    mark: &mut Option<Mark>,
) -> Polled {
    let headers = message.headers().map(|headers| {
        headers
            .iter()
            .map(|header| (header.key, header.value))
            .collect()
    });
    let raw = Raw {
        key: message.key(),
        value: message.payload(),
        headers: headers.unwrap_or_default(),
    };
    // Of a purchase nothing is kept of the headers but its id.
    let bytes = message.payload_len() + message.key_len() + 64;
    let origin = Origin {
        topic: Arc::clone(topic),
        partition: message.partition(),
        offset: message.offset(),
    };
    // The first of a turn.
    mark.get_or_insert_with(|| Mark {
        offset: message.offset().unsigned_abs(),
        print: Print::of(
            raw.key,
            raw.value,
            raw.headers.iter().copied(),
            time_of(message),
        ),
    });
    let mut span = traced.begin(&raw, &origin);
    match decode(&raw, origin) {
        Decoded::Purchase(mut purchase) => {
            purchase.span = span;
            Polled::Purchase(Box::new(purchase), bytes)
        }
        Decoded::Bad(mut record) => {
            span.fail(&record.reason);
            record.original.time = time_of(message);
            // It is kept whole.
            let bytes = record.weight();
            Polled::Bad(Box::new(record), bytes)
        }
        Decoded::Tombstone => Polled::Tombstone {
            offset: message.offset(),
        },
    }
}
