//! The log in Kafka: the only place of this stage that names the client library.
//!
//! In: records. Out: their delivery reports, given straight from the library's polling thread to
//! whoever waits, without another hop. Idempotent, acks from all in-sync replicas, and nothing
//! here ever blocks the caller.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use host::kafka::{KafkaSettings, Refusal};
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer,
};

use super::partition::partition_of;
use super::statistics::BrokerStatistics;
use super::{Addressed, InFlight, RecordLog, Reports, Unwritable, resend::Resends};
use crate::config::KafkaConfig;
use crate::flow::BrokerReport;
use crate::metrics::{BrokerTroubles, Metrics};

mod ending;
mod report;

use ending::End;
use report::{address_of, refused_for_content, request_too_large};

/// How long the broker may take to answer a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The producer and the topic it writes.
pub struct KafkaLog {
    /// Taken out only when dropped.
    producer: Option<ThreadedProducer<Context>>,
    topic: String,
    servers: String,
    /// As the last probe found it; 0 before the first.
    partitions: Partitions,
}

/// How many partitions the topic has, as its last log knew; for the next one, which would otherwise take
/// all for one until it knows better.
pub type Partitions = Arc<AtomicU32>;

/// What the library calls back, always from its polling thread. Nothing here may panic: that
/// would end the thread, and with it every report.
struct Context {
    reports: Reports,
    settings: KafkaSettings,
    refusal: Refusal,
    metrics: Arc<Metrics>,
    resends: Resends,
    /// As the last statistics had them.
    troubles: Mutex<BrokerTroubles>,
}

/// No properties yet. Whatever is done with the library begins here: its first use initializes OpenSSL, which
/// otherwise cleans up after itself when the process ends, under threads of clients that still use it (see
/// `OPENSSL_INIT_NO_ATEXIT`, <https://docs.openssl.org/3.0/man3/OPENSSL_init_crypto/>); a process that drained
/// could end with SIGSEGV.
pub(crate) fn no_properties() -> ClientConfig {
    openssl_sys::init();
    ClientConfig::new()
}

/// The library's properties. What the promise of a 201 rests on comes last and cannot be changed
/// from outside.
fn properties(config: &KafkaConfig) -> ClientConfig {
    let mut properties = no_properties();
    properties
        .set_log_level(RDKafkaLogLevel::Info)
        .set("client.id", "producer-svc")
        // The partitioner of the Java client: a user's records meet in one partition whoever writes.
        .set("partitioner", "murmur2_random")
        .set("socket.keepalive.enable", "true")
        // The library's 10 s would keep a broker that is back waiting for us.
        .set("reconnect.backoff.max.ms", "1000")
        .set("statistics.interval.ms", "5000")
        .set(
            "socket.timeout.ms",
            // What the library takes.
            config
                .delivery_timeout
                .as_millis()
                .clamp(1_000, 300_000)
                .to_string(),
        );
    for (name, value) in config.settings.client_properties() {
        properties.set(name, value);
    }
    properties
        // Beyond what credits let in, so that the library's queue is never what is full.
        .set(
            "queue.buffering.max.messages",
            (config.max_records * 2).to_string(),
        )
        .set(
            "queue.buffering.max.kbytes",
            (config.max_bytes / 1024 * 4).max(4 * 1024).to_string(),
        )
        .set("linger.ms", config.linger.as_millis().to_string())
        // Never: when a record expires, the library numbers all others anew, and a broker does not know
        // again by its new number what it has already. The publish stage keeps the time instead.
        .set("message.timeout.ms", i32::MAX.to_string())
        .set("enable.idempotence", "true")
        .set("acks", "all");
    properties
}

impl KafkaLog {
    /// Makes a producer. It connects by itself, now or whenever a broker can be reached.
    ///
    /// # Errors
    ///
    /// The property that the library does not take.
    pub fn open(
        config: &KafkaConfig,
        reports: Reports,
        metrics: Arc<Metrics>,
    ) -> Result<Self, KafkaError> {
        let context = Context {
            reports,
            settings: config.settings.clone(),
            refusal: Refusal::default(),
            metrics,
            resends: Resends::default(),
            troubles: Mutex::default(),
        };
        let producer = ThreadedProducer::from_config_and_context(&properties(config), context)?;
        let servers = config.settings.bootstrap_servers().to_owned();
        Ok(Self {
            producer: Some(producer),
            topic: config.topic.clone(),
            servers,
            partitions: Partitions::default(),
        })
    }

    /// Knows what the logs before it found out.
    #[must_use]
    pub fn knowing(mut self, partitions: &Partitions) -> Self {
        self.partitions = Arc::clone(partitions);
        self
    }

    /// Whether the library takes these properties at all.
    ///
    /// # Errors
    ///
    /// The one that it does not take, without its value, which may be a secret under a wrong name;
    /// or what else keeps a client from being made, a key's wrong password for instance.
    pub(crate) fn check(config: &KafkaConfig) -> Result<(), String> {
        let made: Result<BaseProducer, KafkaError> = properties(config).create();
        made.map(drop).map_err(|error| match error {
            KafkaError::ClientConfig(_, reason, property, _) => format!("{property}: {reason}"),
            other => other.to_string(),
        })
    }

    fn producer(&self) -> Option<&ThreadedProducer<Context>> {
        self.producer.as_ref()
    }

    fn is_usable(&self, producer: &ThreadedProducer<Context>) -> Result<(), String> {
        let Some((code, reason)) = producer.client().fatal_error() else {
            return Ok(());
        };
        // Told before, unless its log line was lost on the way.
        let context = producer.context();
        (context.reports)(context.over(format!("{code}: {reason}")));
        Err(code.to_string())
    }
}

impl RecordLog for KafkaLog {
    fn append(
        &self,
        to: &Addressed<'_>,
        record: Box<InFlight>,
    ) -> Result<(), (String, Box<InFlight>)> {
        let Some(producer) = self.producer() else {
            return Err(("the producer is closed".to_owned(), record));
        };
        let mut headers = OwnedHeaders::new_with_capacity(to.headers.len());
        for &(key, value) in to.headers {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        producer
            .send(
                BaseRecord::with_opaque_to(&self.topic, record)
                    .key(to.key)
                    .payload(to.value)
                    .headers(headers),
            )
            .map_err(|(error, back)| (error.to_string(), back.delivery_opaque))
    }

    fn lane(&self, key: &str) -> usize {
        partition_of(key.as_bytes(), self.partitions.load(Ordering::Relaxed)) as usize
    }

    fn probe(&self) -> Result<(), Unwritable> {
        let closed = || Unwritable::Unanswered("the producer is closed".to_owned());
        let producer = self.producer().ok_or_else(closed)?;
        self.is_usable(producer).map_err(Unwritable::Told)?;
        let metadata = producer
            .client()
            .fetch_metadata(Some(&self.topic), PROBE_TIMEOUT)
            .map_err(|error| {
                let refused = producer.context().refusal.reason();
                Unwritable::Unanswered(refused.unwrap_or_else(|| {
                    format!(
                        "no answer from {} (KAFKA_BOOTSTRAP_SERVERS): {error}",
                        self.servers
                    )
                }))
            })?;
        producer.context().refusal.lift();
        let topic = metadata
            .topics()
            .first()
            .ok_or_else(|| Unwritable::Told("the broker does not know the topic".to_owned()))?;
        if let Some(error) = topic.error() {
            let code = RDKafkaErrorCode::from(error);
            return Err(Unwritable::Told(match code {
                RDKafkaErrorCode::UnknownTopicOrPartition => {
                    format!(
                        "topic `{}` (KAFKA_TOPIC) does not exist at {}: create it",
                        self.topic, self.servers
                    )
                }
                other => format!("topic `{}` (KAFKA_TOPIC): {other}", self.topic),
            }));
        }
        let partitions = topic.partitions();
        self.partitions
            .store(partitions.len() as u32, Ordering::Relaxed);
        // While this was asked the broker may have refused to let it write.
        self.is_usable(producer).map_err(Unwritable::Told)?;
        // One partition without a leader is no reason to refuse purchases for the others.
        if partitions.iter().all(|partition| partition.leader() < 0) {
            return Err(Unwritable::Told(format!(
                "no partition of topic `{}` has a leader",
                self.topic
            )));
        }
        Ok(())
    }

    fn flush(&self, within: Duration) -> usize {
        self.end(within, End::AllSent)
    }

    fn retire(&self, within: Duration) -> usize {
        self.end(within, End::NothingSent)
    }
}

/// What every code of a missing permission says of itself.
const NOT_PERMITTED: &str = "authorization failed";

impl Context {
    /// What the library calls fatal is so for this client only.
    fn over(&self, reason: String) -> BrokerReport {
        if !reason.contains(NOT_PERMITTED) {
            return BrokerReport::Fatal(reason);
        }
        let servers = self.settings.bootstrap_servers();
        BrokerReport::Barred(format!(
            "{servers} (KAFKA_BOOTSTRAP_SERVERS) does not let this service write: {reason}; grant its user WRITE on \
             KAFKA_TOPIC, and before Kafka 2.8 IDEMPOTENT_WRITE on the cluster"
        ))
    }
}

impl ClientContext for Context {
    /// A fatal error is told here and nowhere else: its error event carries only the code of what
    /// led to it, which need not be fatal at another time. A connection that failed is told at every
    /// attempt; the publish stage says it once.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "FATAL" {
            (self.reports)(self.over(message.to_owned()));
        } else if facility == "FAIL" {
            self.refusal.hear(&self.settings, message);
            tracing::debug!(target: "librdkafka", facility, "{message}");
        } else if (level as i32) <= RDKafkaLogLevel::Warning as i32 {
            tracing::warn!(target: "librdkafka", facility, "{message}");
        } else {
            tracing::debug!(target: "librdkafka", facility, "{message}");
        }
    }

    fn stats_raw(&self, json: &[u8]) {
        match BrokerStatistics::parse(json) {
            Ok(statistics) => {
                self.metrics.broker(statistics.gauges());
                let now = statistics.troubles();
                let mut before = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
                self.metrics
                    .troubled(std::mem::replace(&mut before, now), now);
            }
            Err(error) => {
                tracing::debug!(%error, "statistics of the Kafka client are not readable")
            }
        }
    }

    /// The library calls this twice for one event, so it must not matter.
    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // How many they are changes while names are resolved; why we are not let in says more.
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                let why = self.refusal.reason().unwrap_or_else(|| {
                    let servers = self.settings.bootstrap_servers();
                    format!("no broker can be reached ({servers}, KAFKA_BOOTSTRAP_SERVERS)")
                });
                (self.reports)(BrokerReport::Down(why));
            }
            Some(
                RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SSL
                | RDKafkaErrorCode::SaslAuthenticationFailed,
            ) => {
                let refused = self.refusal.note(&self.settings, reason);
                (self.reports)(BrokerReport::Refused(refused));
            }
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed,
            ) => (self.reports)(BrokerReport::Refused(reason.to_owned())),
            _ => tracing::debug!(%error, reason, "the Kafka client reports an error"),
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<InFlight>;

    fn delivery(&self, report: &DeliveryResult<'_>, record: Box<InFlight>) {
        match report {
            Ok(message) => {
                let offset = self.resends.trusted(message.partition(), message.offset());
                record.stored(message.partition(), offset);
            }
            Err((error, message)) if request_too_large(error) => {
                record.too_large(error.to_string(), || address_of(message));
            }
            Err((error, _)) if refused_for_content(error) => record.not_stored(error.to_string()),
            Err((error, _)) => record.unknown(error.to_string()),
        }
    }
}
