//! One partition's queue of the group consumer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::decode::Raw;
use super::{
    Decoded, OpenPartition, PartitionSource, Polled, SeekError, SourceError, Traced, decode,
};
use crate::flow::Origin;
use crate::kafka::{ConsumerSlot, GroupConsumer, GroupContext, time_of};
use crate::lane::{Cause, Halt};
use crate::mark::{Mark, Print};

/// How long the client may take to move its position.
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may not read the partition at all before another one takes its place.
const UNREAD: Duration = Duration::from_secs(5);

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
    /// Since when the client does not let itself be set to an offset.
    unread: Mutex<Option<Instant>>,
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
            unread: Mutex::default(),
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

    fn seek(&self, offset: u64) -> Result<(), SeekError> {
        let sought = self.sought(offset).and_then(|list| {
            let elements = list.elements();
            elements.iter().try_for_each(|element| element.error())
        });
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        let error = match sought {
            Ok(()) => {
                *unread = None;
                return Ok(());
            }
            Err(error) => error,
        };
        let cause = format!(
            "partition {} cannot be set to offset {offset}: {error}",
            self.partition
        );
        if error.rdkafka_error_code() != Some(Code::State) {
            *unread = None;
            return Err(SeekError::Failed(cause));
        }
        // It has not begun to read it, which it does soon; or it failed to where it was to begin, and will
        // not try again.
        if unread.get_or_insert_with(Instant::now).elapsed() >= UNREAD {
            self.slot.give_up();
        }
        Err(SeekError::NotYet(cause))
    }
}

impl KafkaPartition {
    fn sought(&self, offset: u64) -> KafkaResult<TopicPartitionList> {
        let consumer = self.slot.get().ok_or(KafkaError::Canceled)?;
        let mut list = TopicPartitionList::new();
        let at = Offset::Offset(offset as i64);
        list.add_partition_offset(&self.topic, self.partition, at)?;
        consumer.seek_partitions(list, SEEK_TIMEOUT)
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

#[cfg(test)]
mod tests {
    use rdkafka::config::ClientConfig;

    use super::*;
    use crate::kafka::Rebalance;

    struct Nobody;

    impl Rebalance for Nobody {
        fn assigned(&self, _: &Arc<GroupConsumer>, _: &mut TopicPartitionList) {}
        fn revoked(&self, _: &Arc<GroupConsumer>, _: &TopicPartitionList, _: bool) {}
    }

    /// A client that knows the partition and has not begun to read it, as one that failed to its beginning.
    fn idle() -> (ConsumerSlot, KafkaPartition) {
        let slot = ConsumerSlot::default();
        let settings = host::kafka::KafkaSettings::plain("127.0.0.1:1");
        let context = GroupContext::new(Arc::new(Nobody), slot.clone(), settings);
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", "127.0.0.1:1");
        client.set("group.id", "nobody");
        let consumer: GroupConsumer = client.create_with_context(context).unwrap();
        let consumer = Arc::new(consumer);
        slot.set(Some(Arc::clone(&consumer)));
        let traced = Traced::new(host::span::Tracer::off(), Arc::from("none"));
        let topic = Arc::from("none");
        let partition = KafkaPartition::split(&consumer, slot.clone(), topic, 0, traced);
        (slot, partition.unwrap())
    }

    #[test]
    fn a_client_that_does_not_read_what_it_holds_is_waited_for_and_then_given_up() {
        let (slot, partition) = idle();
        for _ in 0..2 {
            let set = partition.seek(7);
            assert!(matches!(set, Err(SeekError::NotYet(_))), "{set:?}");
            assert!(!slot.is_given_up(), "it may yet begin");
        }
        *partition.unread.lock().unwrap() = Instant::now().checked_sub(UNREAD);
        let set = partition.seek(7);
        assert!(matches!(set, Err(SeekError::NotYet(_))), "{set:?}");
        assert!(slot.is_given_up());
        slot.set(None);
        assert!(!slot.is_given_up(), "the next one has not failed");
        assert!(matches!(partition.seek(7), Err(SeekError::Failed(_))));
    }
}
