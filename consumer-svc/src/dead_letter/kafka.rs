//! Letters to the dead-letter topic through a Kafka producer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use purchases::{Timestamp, wire};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::util::Timeout;

use super::{LetterBox, Originals, header};
use crate::config::KafkaConfig;
use crate::flow::{BadRecord, Origin, Original};
use crate::kafka::{Lookup, Renewed, let_go, log, writing_config};

type Letters = FutureProducer<LetterContext>;

/// Writes letters to one topic.
pub struct KafkaLetterBox {
    producers: Arc<Renewed<Letters>>,
    topic: String,
}

/// Routes the client's log into ours.
pub struct LetterContext;

impl ClientContext for LetterContext {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        log(level, fac, message);
    }

    fn error(&self, cause: KafkaError, reason: &str) {
        tracing::debug!(%cause, reason, "dead-letter producer error");
    }
}

/// How long one letter may be on its way before the attempt counts as failed, at most.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

impl KafkaLetterBox {
    /// Creates the producer. `stall` is how long a partition may be without a sign of life. Nothing is sent, and no broker needs to be there.
    ///
    /// # Errors
    /// When the client refuses its configuration.
    pub fn new(config: &KafkaConfig, stall: Duration) -> Result<Self, KafkaError> {
        // Each attempt is a sign of life, so it must end before somebody misses one.
        let timeout = DELIVERY_TIMEOUT.min(stall / 3);
        let mut client = writing_config(config);
        client
            .set("message.timeout.ms", timeout.as_millis().to_string())
            // Each letter has a request of its own: a request that is too large for the topic is refused
            // as a whole, whoever of its letters is to blame.
            .set("batch.num.messages", "1")
            .set("linger.ms", "0");
        let producers = Renewed::new(move || client.create_with_context(LetterContext))?;
        Ok(Self {
            producers: Arc::new(producers),
            topic: config.dlq_topic.clone(),
        })
    }
}

/// What of a record goes into its letter, at most.
#[derive(Clone, Copy)]
struct Extract {
    value: usize,
    key: usize,
    reason: usize,
    headers: bool,
}

/// What is tried, one after the other, as long as the topic refuses the letter for its size. The
/// last is smaller than any record of a purchase.
const EXTRACTS: [Extract; 4] = [
    Extract {
        value: usize::MAX,
        key: usize::MAX,
        reason: usize::MAX,
        headers: true,
    },
    Extract {
        value: 64 * 1024,
        key: usize::MAX,
        reason: usize::MAX,
        headers: true,
    },
    Extract {
        value: 4 * 1024,
        key: 512,
        reason: 1024,
        headers: false,
    },
    Extract {
        value: 0,
        key: 0,
        reason: 128,
        headers: false,
    },
];

impl LetterBox for KafkaLetterBox {
    /// A letter is the original and its headers, so it can be too large for a topic with the
    /// limits of the original's. It then goes with the beginning of the value, if that is not enough
    /// without the headers and with the beginning of the key, and says so; its origin tells where the
    /// whole is. A partition must not stand still for it.
    async fn deliver(&self, record: &BadRecord) -> Result<(), String> {
        let producer = self.producers.get();
        let mut delivered = Ok(());
        for extract in EXTRACTS {
            delivered = self.produce(&producer, record, extract).await;
            if !delivered.as_ref().is_err_and(is_too_large) {
                break;
            }
        }
        let Err(error) = delivered else {
            let_go(producer);
            return Ok(());
        };
        let fatal = producer.client().fatal_error();
        // It got no further within the time of a letter, or never will: the next attempt is made with
        // another client, if this one had the time to reach a broker.
        if fatal.is_some() || is_timed_out(&error) {
            let producers = Arc::clone(&self.producers);
            let replaced = tokio::task::spawn_blocking(move || producers.in_vain(producer));
            replaced.await.map_err(|error| error.to_string())?;
        } else {
            let_go(producer);
        }
        Err(match fatal {
            Some((code, reason)) => format!("fatal producer error {code}: {reason}"),
            None if is_too_large(&error) => format!(
                "topic `{}` (KAFKA_DLQ_TOPIC) does not even take a letter without a value: raise its \
                 max.message.bytes ({error})",
                self.topic
            ),
            None => error.to_string(),
        })
    }
}

impl KafkaLetterBox {
    async fn produce(
        &self,
        producer: &Letters,
        record: &BadRecord,
        extract: Extract,
    ) -> Result<(), KafkaError> {
        let Original { key, value, .. } = &record.original;
        let (whole_key, whole_value) = (key.as_deref(), value.as_deref());
        let mut letter = FutureRecord::<[u8], [u8]>::to(&self.topic);
        letter.key = whole_key.map(|key| beginning(key, extract.key));
        letter.payload = whole_value.map(|value| beginning(value, extract.value));
        let is_whole = extract.headers && (letter.key, letter.payload) == (whole_key, whole_value);
        let letter = letter.headers(headers(record, extract, is_whole));
        // The queue is bounded by the credits upstream; an attempt that finds it full fails.
        let sent = producer.send(letter, Timeout::After(Duration::ZERO));
        sent.await.map(drop).map_err(|(error, _)| error)
    }
}

fn beginning(bytes: &[u8], most: usize) -> &[u8] {
    &bytes[..bytes.len().min(most)]
}

/// Those of the record, and behind them the letter's own.
fn headers(record: &BadRecord, extract: Extract, is_whole: bool) -> OwnedHeaders {
    let Origin {
        topic,
        partition,
        offset,
    } = &record.origin;
    let (partition, offset) = (partition.to_string(), offset.to_string());
    let reason = &record.reason[..record.reason.floor_char_boundary(extract.reason)];
    let written = Timestamp::from(SystemTime::now()).to_string();
    let time = record.original.time.map(|time| time.to_string());
    let length = record.original.value.as_ref().map_or(0, Vec::len);
    let truncated_from = (!is_whole).then(|| length.to_string());
    let own: [(&str, Option<&str>); 7] = [
        (header::REASON, Some(reason)),
        (header::TOPIC, Some(topic)),
        (header::PARTITION, Some(&partition)),
        (header::OFFSET, Some(&offset)),
        (header::RECORD_TIME, time.as_deref()),
        (header::TIME, Some(&written)),
        (header::TRUNCATED_FROM, truncated_from.as_deref()),
    ];
    let originals = &record.original.headers;
    let mut headers = OwnedHeaders::new_with_capacity(originals.len() + own.len());
    // That it came back is a short word, and must be known wherever it is met.
    let kept = |name: &str| extract.headers || record.came_back && name == wire::REPLAY_OF;
    for (key, value) in originals.iter().filter(|(name, _)| kept(name)) {
        headers = headers.insert(Header {
            key,
            value: value.as_deref(),
        });
    }
    for (key, value) in own.iter().filter(|(_, value)| value.is_some()) {
        headers = headers.insert(Header { key, value: *value });
    }
    headers
}

fn is_too_large(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge)
    )
}

fn is_timed_out(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageTimedOut)
}

/// Reads records again from the topics they stand in.
pub struct KafkaOriginals(Arc<Lookup>);

impl KafkaOriginals {
    /// Connects when it is first asked, which may be never.
    pub fn new(config: &KafkaConfig) -> Self {
        Self(Arc::new(Lookup::new(config)))
    }
}

impl Originals for KafkaOriginals {
    async fn read(&self, wanted: Vec<Origin>) -> Result<Vec<Option<Original>>, String> {
        let asked = self.0.in_turn(move |lookup| {
            let mut places: BTreeMap<(&str, i32), Vec<i64>> = BTreeMap::new();
            for origin in &wanted {
                let offsets = places.entry((&*origin.topic, origin.partition));
                offsets.or_default().push(origin.offset);
            }
            let mut found = BTreeMap::new();
            for ((topic, partition), mut offsets) in places {
                offsets.sort_unstable();
                for (offset, record) in lookup.at(topic, partition, &offsets)? {
                    found.insert((topic, partition, offset), record);
                }
            }
            let each = wanted
                .iter()
                .map(|origin| found.remove(&(&*origin.topic, origin.partition, origin.offset)));
            Ok(each.collect())
        });
        asked.await
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::config::ClientConfig;
    use rdkafka::message::Headers;

    use super::*;

    #[test]
    fn the_shortest_letter_still_says_that_its_record_came_back() {
        let place = b"purchases/0/7".to_vec();
        let mut record = BadRecord {
            original: Original {
                headers: vec![
                    ("long".to_owned(), Some(vec![b'x'; 4096])),
                    (wire::REPLAY_OF.to_owned(), Some(place)),
                ],
                ..Original::default()
            },
            reason: "no".to_owned(),
            came_back: true,
            origin: Origin {
                topic: "purchases".into(),
                partition: 0,
                offset: 9,
            },
        };
        let names = |record: &BadRecord| {
            let headers = headers(record, EXTRACTS[3], false);
            let names = headers.iter().map(|header| header.key.to_owned());
            names.collect::<Vec<_>>()
        };
        let told = names(&record);
        assert!(told.contains(&wire::REPLAY_OF.to_owned()) && !told.contains(&"long".to_owned()));
        // Whoever only says so may say it at any length.
        record.came_back = false;
        assert!(!names(&record).contains(&wire::REPLAY_OF.to_owned()));
    }

    #[tokio::test]
    async fn the_letter_that_was_not_taken_in_time_goes_through_another_producer_the_next_time() {
        let mut client = ClientConfig::new();
        // Nobody listens there.
        client.set("bootstrap.servers", "127.0.0.1:1");
        client.set("message.timeout.ms", "100");
        let make = move || client.create_with_context(LetterContext);
        let letters = KafkaLetterBox {
            producers: Arc::new(Renewed::within(Duration::ZERO, make).unwrap()),
            topic: "dead".to_owned(),
        };
        let record = BadRecord {
            original: Original::default(),
            reason: "no purchase".to_owned(),
            came_back: false,
            origin: Origin {
                topic: Arc::from("purchases"),
                partition: 0,
                offset: 0,
            },
        };
        for _ in 0..2 {
            let used = letters.producers.get();
            assert!(letters.deliver(&record).await.is_err());
            assert!(!Arc::ptr_eq(&used, &letters.producers.get()));
        }
    }
}
