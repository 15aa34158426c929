//! The broker as a witness: what is in a topic, what a group has committed; and a foreign client
//! that writes and resets.
//!
//! In: addresses and names. Out: records and offsets, straight from the broker. It never joins a
//! group, so it moves no partition.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};

use crate::answer::Event;
use crate::until;

/// A broker that was just restarted takes its time.
const PATIENCE: Duration = Duration::from_secs(30);
const REQUEST: Duration = Duration::from_secs(5);

/// Bytes that may be absent.
pub type Maybe = Option<Vec<u8>>;

/// A record as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Key.
    pub key: Maybe,
    /// Value; none is a tombstone.
    pub value: Maybe,
    /// Headers in their order.
    pub headers: Vec<(String, Maybe)>,
}

impl Record {
    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(found, _)| found == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    }

    /// The value, which must be the five fields and nothing else.
    ///
    /// # Panics
    /// If it is anything else.
    pub fn event(&self) -> Event {
        let value = self.value.as_deref().unwrap_or_default();
        serde_json::from_slice(value).unwrap_or_else(|error| {
            let text = String::from_utf8_lossy(value);
            panic!(
                "{}/{} is not the five fields ({error}): {text}",
                self.partition, self.offset
            )
        })
    }
}

/// A record to be written by a client that is not ours.
#[derive(Clone, Debug, Default)]
pub struct NewRecord {
    /// Partition.
    pub partition: i32,
    /// Key.
    pub key: Maybe,
    /// Value; none is a tombstone.
    pub value: Maybe,
    /// Headers.
    pub headers: Vec<(String, Maybe)>,
}

/// One group's view of one topic.
#[derive(Clone, Debug)]
pub struct Witness {
    /// Where the broker is.
    pub servers: String,
    /// The topic.
    pub topic: String,
    /// The group.
    pub group: String,
}

impl Witness {
    /// Every record from the first to the end as it is now, by partition and offset.
    pub async fn records(&self) -> Vec<Record> {
        self.records_of(&self.topic).await
    }

    /// The same of another topic.
    pub async fn records_of(&self, topic: &str) -> Vec<Record> {
        let topic = topic.to_owned();
        self.ask(move |consumer| read(consumer, &topic)).await
    }

    /// The end of each partition.
    pub async fn ends(&self) -> BTreeMap<i32, i64> {
        let topic = self.topic.clone();
        self.ask(move |consumer| {
            let marks = watermarks(consumer, &topic)?;
            Ok(marks
                .into_iter()
                .map(|(partition, (_, end))| (partition, end))
                .collect())
        })
        .await
    }

    /// The committed offset of each partition; none where nothing was ever committed.
    pub async fn committed(&self) -> BTreeMap<i32, Option<i64>> {
        let topic = self.topic.clone();
        self.ask(move |consumer| {
            let mut list = TopicPartitionList::new();
            for partition in watermarks(consumer, &topic)?.into_keys() {
                list.add_partition(&topic, partition);
            }
            let committed = consumer.committed_offsets(list, REQUEST).map_err(words)?;
            let mut offsets = BTreeMap::new();
            for element in committed.elements_for_topic(&topic) {
                element.error().map_err(words)?;
                let offset = match element.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                };
                offsets.insert(element.partition(), offset);
            }
            Ok(offsets)
        })
        .await
    }

    /// Sets the group's offset in every partition. Only a group without members lets that happen.
    pub async fn commit_everywhere(&self, offset: i64) {
        let topic = self.topic.clone();
        self.ask(move |consumer| {
            let mut list = TopicPartitionList::new();
            for partition in watermarks(consumer, &topic)?.into_keys() {
                list.add_partition_offset(&topic, partition, Offset::Offset(offset))
                    .map_err(words)?;
            }
            consumer.commit(&list, CommitMode::Sync).map_err(words)
        })
        .await;
    }

    /// Writes records and tells where each stands. Records of one partition keep their order.
    ///
    /// # Panics
    /// If the broker does not take them.
    pub async fn write(&self, records: Vec<NewRecord>) -> Vec<(i32, i64)> {
        let producer: FutureProducer = self
            .client()
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .create()
            .expect("the properties of the proofs are valid");
        let writes = records.iter().map(async |record| {
            let headers =
                record
                    .headers
                    .iter()
                    .fold(OwnedHeaders::new(), |headers, (key, value)| {
                        headers.insert(Header {
                            key,
                            value: value.as_deref(),
                        })
                    });
            let mut new = FutureRecord::<[u8], [u8]>::to(&self.topic).partition(record.partition);
            (new.key, new.payload) = (record.key.as_deref(), record.value.as_deref());
            if !record.headers.is_empty() {
                new = new.headers(headers);
            }
            match producer.send(new, Timeout::After(PATIENCE)).await {
                Ok(delivered) => (delivered.partition, delivered.offset),
                Err((error, _)) => panic!("the broker did not take a record: {error}"),
            }
        });
        join_all(writes).await
    }

    /// Removes what stands before this offset in every partition, as retention does.
    ///
    /// # Panics
    /// If the broker does not.
    pub async fn remove_before(&self, offset: i64) {
        let mut list = TopicPartitionList::new();
        for partition in self.ends().await.into_keys() {
            list.add_partition_offset(&self.topic, partition, Offset::Offset(offset))
                .expect("an offset");
        }
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let removed = self.admin().delete_records(&list, &options).await;
        removed.unwrap_or_else(|error| panic!("the broker removes nothing: {error}"));
    }

    /// Gives the topic more partitions, so many in all.
    ///
    /// # Panics
    /// If the broker does not.
    pub async fn add_partitions(&self, count: usize) {
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let wish = NewPartitions::new(&self.topic, count);
        let made = self.admin().create_partitions(&[wish], &options).await;
        let made = made.unwrap_or_else(|error| panic!("no partition is made: {error}"));
        assert!(made.iter().all(Result::is_ok), "{made:?}");
    }

    /// Deletes the topic, and waits until the broker knows it no more.
    ///
    /// # Panics
    /// If it does not.
    pub async fn delete_topic(&self) {
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let deleted = self.admin().delete_topics(&[&self.topic], &options).await;
        let deleted = deleted.unwrap_or_else(|error| panic!("no topic is deleted: {error}"));
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    }

    /// Forgets the group and its offsets, as they are forgotten that nobody uses for long. Only a group
    /// without members lets that happen.
    ///
    /// # Panics
    /// If the broker does not.
    pub async fn forget_group(&self) {
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        until("the group is forgotten", PATIENCE, async || {
            let forgotten = self.admin().delete_groups(&[&self.group], &options).await;
            let forgotten = forgotten.unwrap_or_else(|error| panic!("{error}"));
            forgotten.iter().all(Result::is_ok).then_some(())
        })
        .await;
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        let client = self.client().create();
        client.expect("the properties of the proofs are valid")
    }

    /// Asks until the broker answers, off the runtime's threads because the client blocks.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl Fn(&BaseConsumer) -> Result<T, String> + Send + 'static,
    ) -> T {
        let mut client = self.client();
        client
            .set("group.id", &self.group)
            .set("enable.auto.commit", "false");
        let work = move || {
            let consumer: BaseConsumer = client.create().map_err(words)?;
            let deadline = Instant::now() + PATIENCE;
            loop {
                match question(&consumer) {
                    Err(error) if Instant::now() >= deadline => return Err(error),
                    Err(_) => std::thread::park_timeout(Duration::from_millis(50)),
                    answer => return answer,
                }
            }
        };
        let answer = tokio::task::spawn_blocking(work).await;
        let answer = answer.unwrap_or_else(|error| Err(error.to_string()));
        answer.unwrap_or_else(|error| {
            panic!("the broker does not testify about {}: {error}", self.topic)
        })
    }

    /// A client that reads, knows the group and never joins it.
    ///
    /// # Panics
    /// If its properties are none.
    pub fn reader(&self) -> BaseConsumer {
        let mut client = self.client();
        client
            .set("group.id", &self.group)
            .set("enable.auto.commit", "false")
            // A fetch that waits for more holds up the next one.
            .set("fetch.wait.max.ms", "50");
        client
            .create()
            .expect("the properties of the proofs are valid")
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.servers)
            .set("client.id", "witness")
            .set("reconnect.backoff.max.ms", "500")
            // Its complaints about a broker that a proof has killed are of no interest.
            .set("log_level", "0");
        client
    }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// First and end offset of each partition.
fn watermarks(consumer: &BaseConsumer, topic: &str) -> Result<BTreeMap<i32, (i64, i64)>, String> {
    let metadata = consumer
        .fetch_metadata(Some(topic), REQUEST)
        .map_err(words)?;
    let found = metadata.topics().first().ok_or("no such topic")?;
    if found.error().is_some() || found.partitions().is_empty() {
        return Err(format!("no topic {topic}"));
    }
    let mut marks = BTreeMap::new();
    for partition in found.partitions() {
        let both = consumer
            .fetch_watermarks(topic, partition.id(), REQUEST)
            .map_err(words)?;
        marks.insert(partition.id(), both);
    }
    Ok(marks)
}

fn read(consumer: &BaseConsumer, topic: &str) -> Result<Vec<Record>, String> {
    let marks = watermarks(consumer, topic)?;
    let mut list = TopicPartitionList::new();
    for partition in marks.keys() {
        list.add_partition_offset(topic, *partition, Offset::Beginning)
            .map_err(words)?;
    }
    consumer.assign(&list).map_err(words)?;
    let mut left: BTreeMap<i32, i64> = marks
        .into_iter()
        .filter(|(_, (first, end))| first < end)
        .map(|(partition, (_, end))| (partition, end))
        .collect();
    let mut records = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while !left.is_empty() {
        if Instant::now() >= deadline {
            return Err(format!(
                "{} records read, and no more come; open ends: {left:?}",
                records.len()
            ));
        }
        let Some(polled) = consumer.poll(Duration::from_millis(200)) else {
            continue;
        };
        // What was written after the ends were asked for belongs to the next reading.
        let message = polled.map_err(words)?;
        let Some(end) = left.get(&message.partition()) else {
            continue;
        };
        if message.offset() < *end {
            records.push(record(&message));
        }
        if message.offset() + 1 >= *end {
            left.remove(&message.partition());
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

fn record(message: &rdkafka::message::BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map(|headers| {
        let each = headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)));
        each.collect()
    });
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}
