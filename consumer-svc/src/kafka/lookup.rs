//! Reads records again from where they stand, apart from the group: for letters, and for those who
//! look at them.
//!
//! In: a topic, a partition, offsets. Out: records, whole. Asking blocks; waiting for one's turn does not.
//! It joins no group and commits nothing; connects when it is first asked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::Semaphore;

use super::observer::Quiet;
use super::{asking_config, partitions_of, time_of};
use crate::config::KafkaConfig;
use crate::flow::Original;

/// A record that is not wanted is read over rather than jumped over if no more than this lie
/// between two that are.
const GAP: i64 = 1_000;
/// How long one request may take, and how long the next record may keep one waiting.
const PATIENCE: Duration = Duration::from_secs(10);
/// One look for the next record.
const POLL: Duration = Duration::from_millis(100);

/// Clients at most that are asked at the same time. A question about a partition whose leader is away takes
/// long, and one more can be asked meanwhile. Each has threads, connections and records of its own, which count
/// in the memory of a process that has none to spare; so there are no more, and the others wait.
const AT_ONCE: usize = 2;

/// Looks records up. One client is kept; who asks while it is asked has another one.
pub(crate) struct Lookup {
    config: KafkaConfig,
    /// What one fetch brings, and how many records are kept before they are asked for.
    fetch: (usize, usize),
    consumer: Mutex<Option<BaseConsumer<Quiet>>>,
    turns: Arc<Semaphore>,
}

/// First offset and end of a partition's log.
pub(crate) struct Extent {
    pub(crate) partition: i32,
    pub(crate) first: i64,
    pub(crate) end: i64,
}

impl Lookup {
    pub(crate) fn new(config: &KafkaConfig) -> Self {
        Self::fetching(config, (1 << 20, 100_000))
    }

    /// For single records: what stands behind them is not fetched along, but for the rest of their batch.
    pub(crate) fn of_single(config: &KafkaConfig) -> Self {
        Self::fetching(config, (16 << 10, 1))
    }

    fn fetching(config: &KafkaConfig, fetch: (usize, usize)) -> Self {
        Self {
            config: config.clone(),
            fetch,
            consumer: Mutex::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Asks when it is one's turn, on a thread that may block; a question that was begun ends by itself.
    pub(crate) async fn in_turn<T: Send + 'static>(
        self: &Arc<Self>,
        ask: impl FnOnce(&Self) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|closed| closed.to_string())?;
        let lookup = Arc::clone(self);
        let asked = tokio::task::spawn_blocking(move || {
            let answer = ask(&lookup);
            drop(turn);
            answer
        });
        asked.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// The partitions of a topic, which is the one that `variable` names.
    pub(crate) fn extents(&self, (topic, variable): (&str, &str)) -> Result<Vec<Extent>, String> {
        self.with(|consumer| {
            let partitions = partitions_of(consumer, (topic, variable), PATIENCE)
                .map_err(|cause| cause.to_string())?;
            let extents = partitions.into_iter().map(|partition| {
                let (first, end) = consumer
                    .fetch_watermarks(topic, partition, PATIENCE)
                    .map_err(|cause| format!("{topic}/{partition}: {cause}"))?;
                Ok(Extent {
                    partition,
                    first,
                    end,
                })
            });
            extents.collect()
        })
    }

    /// Everything from one offset up to another, which is not read any more.
    pub(crate) fn range(
        &self,
        topic: &str,
        partition: i32,
        (from, to): (i64, i64),
        mut each: impl FnMut(i64, Original),
    ) -> Result<(), String> {
        self.with(|consumer| {
            let (first, end) = consumer
                .fetch_watermarks(topic, partition, PATIENCE)
                .map_err(|cause| format!("{topic}/{partition}: {cause}"))?;
            let (from, to) = (from.max(first), to.min(end));
            if from >= to {
                return Ok(());
            }
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(topic, partition, Offset::Offset(from))
                .and_then(|()| consumer.assign(&list))
                .map_err(|cause| format!("{topic}/{partition}: {cause}"))?;
            let read = scan(consumer, (from, to), &mut each);
            let left = consumer.assign(&TopicPartitionList::new());
            read.and_then(|()| left.map_err(|cause| cause.to_string()))
                .map_err(|cause| format!("{topic}/{partition}: {cause}"))
        })
    }

    /// These records of a partition, in the order of the log; without those that are not there any
    /// more. `offsets` rise.
    pub(crate) fn at(
        &self,
        topic: &str,
        partition: i32,
        offsets: &[i64],
    ) -> Result<Vec<(i64, Original)>, String> {
        let mut found = Vec::with_capacity(offsets.len());
        for near in offsets.chunk_by(|one, next| next - one <= GAP) {
            let (Some(first), Some(last)) = (near.first(), near.last()) else {
                continue;
            };
            self.range(topic, partition, (*first, last + 1), |offset, record| {
                if near.binary_search(&offset).is_ok() {
                    found.push((offset, record));
                }
            })?;
        }
        Ok(found)
    }

    fn with<T>(
        &self,
        ask: impl FnOnce(&BaseConsumer<Quiet>) -> Result<T, String>,
    ) -> Result<T, String> {
        let kept = || self.consumer.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = kept().take();
        let consumer = match idle {
            Some(consumer) => consumer,
            None => asking_config(&self.config)
                .set("auto.offset.reset", "error")
                .set("enable.partition.eof", "true")
                .set("queued.max.messages.kbytes", "4096")
                .set("fetch.message.max.bytes", self.fetch.0.to_string())
                .set("queued.min.messages", self.fetch.1.to_string())
                .create_with_context(Quiet)
                .map_err(|cause| format!("kafka consumer: {cause}"))?,
        };
        let answer = ask(&consumer);
        // One that failed is not used again. Whichever is not kept is closed after the lock is let go.
        let spare = match answer.is_ok() {
            true => kept().replace(consumer),
            false => Some(consumer),
        };
        drop(spare);
        answer
    }
}

fn scan(
    consumer: &BaseConsumer<Quiet>,
    (from, to): (i64, i64),
    each: &mut impl FnMut(i64, Original),
) -> Result<(), String> {
    let mut heard = Instant::now();
    loop {
        match consumer.poll(POLL) {
            None if heard.elapsed() < PATIENCE => {}
            None => return Err(format!("nothing came within {PATIENCE:?}")),
            Some(Ok(message)) => {
                heard = Instant::now();
                let offset = message.offset();
                if (from..to).contains(&offset) {
                    each(offset, original(&message));
                }
                // The log may have no record at the very last offset that was asked for.
                if offset + 1 >= to {
                    return Ok(());
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
            // What the client reports of brokers that are away, it gets over by itself.
            Some(Err(_)) if heard.elapsed() < PATIENCE => {}
            Some(Err(cause)) => return Err(cause.to_string()),
        }
    }
}

fn original(message: &BorrowedMessage<'_>) -> Original {
    let headers = message.headers().map(|headers| {
        let each = headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)));
        each.collect()
    });
    Original {
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
        time: time_of(message),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::mpsc;

    use host::env::Reader;

    use super::*;
    use crate::config::{Config, VARS};

    #[tokio::test]
    async fn no_more_are_asked_at_once_than_there_is_memory_for_and_who_left_is_not_asked_for() {
        let env: HashMap<String, String> = HashMap::new();
        let mut reader = Reader::new(VARS, &env);
        let read = Config::read(&mut reader);
        let config = reader.finish(|| read).unwrap().kafka;
        let lookup = Arc::new(Lookup::new(&config));
        let (begins, begun) = mpsc::channel();
        let ask = |number: usize| {
            let (lookup, begins) = (Arc::clone(&lookup), begins.clone());
            let (end, ends) = mpsc::channel::<()>();
            let asked = tokio::spawn(async move {
                let long = move |_: &Lookup| {
                    begins.send(number).unwrap();
                    ends.recv().map_err(|gone| gone.to_string())
                };
                lookup.in_turn(long).await
            });
            (end, asked)
        };
        let mut all: Vec<_> = (0..AT_ONCE + 2).map(ask).collect();
        let mut first: Vec<usize> = Vec::new();
        while first.len() < AT_ONCE {
            tokio::task::yield_now().await;
            first.extend(begun.try_iter());
        }
        first.sort_unstable();
        assert_eq!(first, (0..AT_ONCE).collect::<Vec<_>>());
        // The others wait, and the next of them no longer.
        all[AT_ONCE].1.abort();
        assert!(begun.try_recv().is_err());
        let (end, asked) = all.swap_remove(0);
        end.send(()).unwrap();
        assert_eq!(asked.await.unwrap(), Ok(()));
        let next = tokio::task::spawn_blocking(move || begun.recv()).await;
        assert_eq!(next.unwrap(), Ok(AT_ONCE + 1));
        drop(all);
    }
}
