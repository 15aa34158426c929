//! The one consumer of this process: its properties, its events, and the slot it is found in.
//! Beside it an [`Observer`], which reads nothing and only asks.

mod contact;
mod lookup;
mod observer;
mod prefetch;
mod renewed;
mod side_by_side;
mod slot;

use std::sync::Arc;
use std::time::Duration;

use host::kafka::KafkaSettings;
use purchases::Timestamp;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use tracing::{debug, error, info};

pub(crate) use self::lookup::Lookup;
pub use self::observer::Observer;
pub use self::prefetch::Prefetch;
use self::prefetch::Share;
pub(crate) use self::renewed::{Renewed, let_go};
use self::side_by_side::side_by_side;
pub use self::slot::ConsumerSlot;
use crate::config::KafkaConfig;
use crate::metrics;

/// A client that has heard of no broker for this long where there is one will not: longer than it takes to
/// connect again, at the longest pause between two tries; shorter than anybody waits before looking what is
/// wrong.
pub(crate) const REACHES_WITHIN: Duration = Duration::from_secs(10);

/// What happens when the group moves partitions. Called on the thread that polls the consumer.
pub(crate) trait Rebalance: Send + Sync + 'static {
    /// Partitions were given to this member.
    fn assigned(&self, consumer: &Arc<GroupConsumer>, partitions: &mut TopicPartitionList);
    /// Partitions are taken from this member; with `lost` they already belong to somebody else.
    fn revoked(&self, consumer: &Arc<GroupConsumer>, partitions: &TopicPartitionList, lost: bool);
}

/// The consumer type of this service.
pub type GroupConsumer = BaseConsumer<GroupContext>;

/// Callbacks of the consumer.
pub struct GroupContext {
    rebalance: Arc<dyn Rebalance>,
    own: ConsumerSlot,
    settings: KafkaSettings,
}

impl GroupContext {
    pub(crate) fn new(
        rebalance: Arc<dyn Rebalance>,
        own: ConsumerSlot,
        settings: KafkaSettings,
    ) -> Self {
        Self {
            rebalance,
            own,
            settings,
        }
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        if fac == "FAIL" {
            self.own.failed(&self.settings, message);
        }
        log(level, fac, message);
    }

    /// The polling thread hears of the same errors and says so. Why the broker does not let us in
    /// is said here only.
    fn error(&self, cause: KafkaError, reason: &str) {
        if let Some(
            RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SSL
            | RDKafkaErrorCode::SaslAuthenticationFailed,
        ) = cause.rdkafka_error_code()
        {
            self.own.refused(&self.settings, reason);
        }
        debug!(%cause, reason, "consumer error");
    }

    fn stats(&self, statistics: Statistics) {
        self.own.told(&statistics);
        let topics = statistics.topics.values();
        let partitions = topics.flat_map(|topic| topic.partitions.values());
        let (records, bytes) = partitions.fold((0, 0), |(records, bytes), partition| {
            (
                records + partition.fetchq_cnt,
                bytes + partition.fetchq_size,
            )
        });
        metrics::prefetched(records.unsigned_abs(), bytes);
    }
}

impl ConsumerContext for GroupContext {
    /// Replaces the library's own handling as a whole: its hooks run around an assignment made
    /// with offsets that we want to choose, and it ignores what assigning answers.
    fn rebalance(
        &self,
        closing: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        // Another one may be in its place by the time the last who held it lets go.
        let own = self.own.get();
        let Some(consumer) = own.filter(|own| std::ptr::eq(Arc::as_ptr(own), closing)) else {
            // The client is being closed; it never ends while a rebalance is without an answer.
            let revoked = event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS;
            let answer = if revoked {
                unassign(closing, partitions)
            } else {
                decline(closing)
            };
            if let Err(error) = answer {
                error!(%error, "rebalance while closing");
            }
            return;
        };
        match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.rebalance.assigned(&consumer, partitions)
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                let lost = consumer.assignment_lost();
                self.rebalance.revoked(&consumer, partitions, lost);
            }
            other => error!(code = ?other, "rebalance failed"),
        }
    }
}

/// Takes an assignment as it is wanted: added to the present one, or in its place.
pub(crate) fn assign(consumer: &GroupConsumer, partitions: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(partitions),
        _ => consumer.assign(partitions),
    }
}

/// Answers an assignment by taking nothing. An assignment without an answer keeps the client from
/// ever being closed.
pub(crate) fn decline(consumer: &GroupConsumer) -> KafkaResult<()> {
    assign(consumer, &TopicPartitionList::new())
}

/// Answers a revocation. What was declined is revoked, too, and the client refuses to be told to give up what
/// it does not have; then the revocation would be without an answer.
pub(crate) fn unassign(
    consumer: &GroupConsumer,
    partitions: &TopicPartitionList,
) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => {
            let (held, mut both) = (consumer.assignment()?, TopicPartitionList::new());
            for element in partitions.elements() {
                let (topic, partition) = (element.topic(), element.partition());
                if held.find_partition(topic, partition).is_some() {
                    both.add_partition(topic, partition);
                }
            }
            consumer.incremental_unassign(&both)
        }
        _ => consumer.unassign(),
    }
}

/// Why a topic could not be seen.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unseen {
    /// Nobody answered.
    #[error("{0}")]
    Away(String),
    /// The broker answered that there is none.
    #[error("{0}")]
    Missing(String),
}

/// The partitions of a topic, which is the one that `variable` names.
pub(crate) fn partitions_of<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    (topic, variable): (&str, &str),
    wait: Duration,
) -> Result<Vec<i32>, Unseen> {
    let metadata = consumer
        .fetch_metadata(Some(topic), wait)
        .map_err(|error| {
            Unseen::Away(format!(
                "no answer from the broker (KAFKA_BOOTSTRAP_SERVERS): {error}"
            ))
        })?;
    let found = metadata.topics().first();
    let partitions = found.map(|found| found.partitions()).unwrap_or_default();
    match found.and_then(|found| found.error()) {
        None if !partitions.is_empty() => Ok(partitions.iter().map(|one| one.id()).collect()),
        None | Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => {
            let what = format!("topic {topic} ({variable}) does not exist: create it");
            Err(Unseen::Missing(what))
        }
        Some(code) => {
            let code = RDKafkaErrorCode::from(code);
            Err(Unseen::Away(format!("topic {topic}: {code}")))
        }
    }
}

/// The time that the log gave a record, if it is one.
pub(crate) fn time_of(message: &impl Message) -> Option<Timestamp> {
    Timestamp::from_millis(message.timestamp().to_millis()?)
}

fn list_of(topic: &str, partitions: &[i32]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    list
}

/// Why no client can be made. A property's value is left out: it may be a secret under a wrong name.
pub(crate) fn refused(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, reason, property, _) => format!("{property}: {reason}"),
        other => other.to_string(),
    }
}

/// librdkafka's log in ours.
pub(crate) fn log(level: RDKafkaLogLevel, fac: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            error!(fac, "{message}")
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => debug!(fac, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            debug!(fac, "{message}")
        }
    }
}

/// How long the client lets a member go without polling, at least.
const POLL_INTERVAL: Duration = Duration::from_secs(300);
/// The longest that the client takes.
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(86_400);

/// The client refuses an interval shorter than the session; giving partitions back, while nobody
/// polls, takes most of a session and must not end the membership.
fn poll_interval(session: Duration) -> Duration {
    (session * 2).clamp(POLL_INTERVAL, POLL_INTERVAL_MAX)
}

/// How often the client tells how much it holds.
const STATISTICS: Duration = Duration::from_secs(5);

/// Properties of the group consumer, which may come to hold so many partitions.
pub(crate) fn consumer_config(config: &KafkaConfig, partitions: usize) -> ClientConfig {
    let mut client = asking_config(config);
    let share: Share = config.prefetch.share(partitions);
    share.set(&mut client);
    metrics::prefetch_limit(config.prefetch.records, config.prefetch.bytes);
    client
        .set("partition.assignment.strategy", &config.assignor)
        .set("enable.auto.offset.store", "false")
        // Positions are resolved by us at assignment. An offset that retention has removed is an
        // error to be seen, never a silent jump.
        .set("auto.offset.reset", "error")
        .set("statistics.interval.ms", STATISTICS.as_millis().to_string());
    let beat = (config.session_timeout / 20).max(Duration::from_millis(100));
    for (name, value) in [
        ("heartbeat.interval.ms", beat.as_millis()),
        // How soon a partition whose queue was full is looked at again. The library's second is longer
        // than such a short queue lasts: a third of a drain was waiting for it.
        ("fetch.queue.backoff.ms", 20),
        ("fetch.wait.max.ms", 500),
    ] {
        // What an operator passes through stands.
        if client.get(name).is_none() {
            client.set(name, value.to_string());
        }
    }
    if let Some(instance) = &config.group_instance_id {
        client.set("group.instance.id", instance);
    }
    info!(
        group = config.group_id,
        topic = config.topic,
        brokers = config.settings.bootstrap_servers(),
        "kafka consumer configured"
    );
    client
}

/// Properties of every client that knows the group, also of those that never join it: the client holds
/// what is passed through against the session, whoever it is.
pub(crate) fn asking_config(config: &KafkaConfig) -> ClientConfig {
    let mut client = base_config(config);
    client
        .set("group.id", &config.group_id)
        .set(
            "session.timeout.ms",
            config.session_timeout.as_millis().to_string(),
        )
        .set("enable.auto.commit", "false");
    // What an operator passes through stands.
    if client.get("max.poll.interval.ms").is_none() {
        let poll = poll_interval(config.session_timeout);
        client.set("max.poll.interval.ms", poll.as_millis().to_string());
    }
    client
}

/// Properties of every client that writes records of anybody: how large they may be is for their topic
/// to say, or for who passes a limit through.
pub(crate) fn writing_config(config: &KafkaConfig) -> ClientConfig {
    let mut client = base_config(config);
    for (name, value) in [
        ("message.max.bytes", "16777216"),
        ("queue.buffering.max.kbytes", "32768"),
    ] {
        if client.get(name).is_none() {
            client.set(name, value);
        }
    }
    client.set("enable.idempotence", "true").set("acks", "all");
    client
}

/// No properties yet. Whatever is done with the library begins here: its first use initializes OpenSSL, which
/// otherwise cleans up after itself when the process ends, under threads of clients that still use it (see
/// `OPENSSL_INIT_NO_ATEXIT`, <https://docs.openssl.org/3.0/man3/OPENSSL_init_crypto/>); a process that drained
/// could end with SIGSEGV.
pub(crate) fn no_properties() -> ClientConfig {
    openssl_sys::init();
    ClientConfig::new()
}

/// What every client of this process shares.
pub(crate) fn base_config(config: &KafkaConfig) -> ClientConfig {
    let mut client = no_properties();
    client
        .set("client.id", "consumer-svc")
        // How soon new partitions are found; the library's 5 minutes are long.
        .set("topic.metadata.refresh.interval.ms", "30000")
        .set("reconnect.backoff.ms", "50")
        // The library's 10 s would be most of the time to recover from a broker's restart.
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.keepalive.enable", "true");
    // What an operator passes through stands before these.
    client.extend(config.settings.client_properties().iter().cloned());
    client.set_log_level(RDKafkaLogLevel::Info);
    client
}
