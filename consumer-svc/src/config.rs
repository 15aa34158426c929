//! Configuration from the environment: every variable of this service, with its meaning, default
//! and limits. The only file that knows their names.

mod kafka;
mod vars;

use std::net::SocketAddr;
use std::time::Duration;

use host::env::{Reader, Secret, bytes, count_in, duration, secret, socket_addr, text};
use host::kafka::KafkaSettings;
use host::serve::Tls;
use host::web::cors::Cors;

use self::vars::RESERVED;
pub use self::vars::VARS;
use crate::kafka::Prefetch;
use crate::lane::BadLimits;

/// Kafka, as this service uses it.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// How to reach it.
    pub settings: KafkaSettings,
    /// Topic to read.
    pub topic: String,
    /// Topic for dead letters.
    pub dlq_topic: String,
    /// Consumer group.
    pub group_id: String,
    /// Name for static membership.
    pub group_instance_id: Option<String>,
    /// Records a turn.
    pub max_poll_records: usize,
    /// What the client may hold that was not read yet.
    pub prefetch: Prefetch,
    /// Session timeout of the membership.
    pub session_timeout: Duration,
    /// How the group shares its partitions out: the client's name for it.
    pub assignor: String,
}

/// MongoDB, as this service uses it.
#[derive(Clone, Debug)]
pub struct MongoConfig {
    /// Connection string. May hold a password.
    pub uri: Secret,
    /// User and password, where the connection string has none.
    pub user: Option<(String, Secret)>,
    /// File with the authorities that the servers' certificates are held against.
    pub tls_ca_file: Option<String>,
    /// Database name.
    pub database: String,
    /// Collection name.
    pub collection: String,
    /// Wait for one answer to a write.
    pub write_timeout: Duration,
    /// How long a query may take as a whole.
    pub query_timeout: Duration,
}

/// How records are batched, bounded and committed.
#[derive(Clone, Copy, Debug)]
pub struct FlowConfig {
    /// Records a batch.
    pub batch_records: usize,
    /// Bytes a batch.
    pub batch_bytes: usize,
    /// Age of a batch.
    pub batch_age: Duration,
    /// Batches written at once.
    pub writers: usize,
    /// Records between reading and settling.
    pub in_flight_records: usize,
    /// Bytes between reading and settling.
    pub in_flight_bytes: usize,
    /// Records a partition may be read ahead of its oldest unsettled one.
    pub ahead_records: usize,
    /// Pause between commits.
    pub commit_interval: Duration,
    /// After which a reader whose work does not move is started anew.
    pub stall_timeout: Duration,
    /// When a partition counts as broken.
    pub bad: BadLimits,
}

/// Everything this service can be told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Query API.
    pub http_addr: SocketAddr,
    /// Certificate and key of the query API, if it speaks TLS.
    pub tls: Option<Tls>,
    /// Admin port.
    pub admin_addr: SocketAddr,
    /// Kafka.
    pub kafka: KafkaConfig,
    /// MongoDB.
    pub mongo: MongoConfig,
    /// Flow.
    pub flow: FlowConfig,
    /// Queries at once.
    pub queries: usize,
    /// Totals of long histories at once, of each size.
    pub long_queries: usize,
    /// Streams of statistics at once.
    pub stats_streams: usize,
    /// Other origins whose pages may read answers.
    pub cors: Option<Cors>,
    /// Deadline of a shutdown.
    pub drain_timeout: Duration,
}

impl Config {
    /// Reads everything; `None` says that the reader noted at least one error.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let http_addr = reader.get("HTTP_ADDR", socket_addr);
        let admin_addr = reader.get("ADMIN_ADDR", socket_addr);
        let tls = Tls::read(reader);
        let kafka = KafkaConfig::read(reader);
        let mongo = MongoConfig::read(reader);
        let flow = FlowConfig::read(
            reader,
            kafka.as_ref().map(|kafka| kafka.max_poll_records),
            mongo.as_ref().map(|mongo| mongo.write_timeout),
        );
        let queries = reader.get("QUERY_MAX_IN_FLIGHT", count_in(1..=10_000));
        let long_queries = reader.get("QUERY_MAX_LONG", count_in(1..=10_000));
        let stats_streams = reader.get("STATS_MAX_STREAMS", count_in(1..=10_000));
        let cors = Cors::read(reader);
        let drain_timeout = reader.get("DRAIN_TIMEOUT", within(INSTANT, HOUR));
        Some(Self {
            http_addr: http_addr?,
            tls: tls?,
            admin_addr: admin_addr?,
            kafka: kafka?,
            mongo: mongo?,
            flow: flow?,
            queries: queries?,
            long_queries: long_queries?,
            stats_streams: stats_streams?,
            cors: cors?,
            drain_timeout: drain_timeout?,
        })
    }
}

impl KafkaConfig {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let settings = KafkaSettings::read(reader, RESERVED, kafka::takes);
        let topic = reader.get("KAFKA_TOPIC", topic_name);
        let dlq_topic = reader.get("KAFKA_DLQ_TOPIC", topic_name);
        let group_id = reader.get("KAFKA_GROUP_ID", text);
        let group_instance_id = reader.optional("KAFKA_GROUP_INSTANCE_ID", text);
        let max_poll_records = reader.get("KAFKA_MAX_POLL_RECORDS", count_in(1..=10_000));
        let prefetch_records = reader.get("PREFETCH_MAX_RECORDS", count_in(100..=10_000_000));
        let prefetch_bytes = reader.get("PREFETCH_MAX_BYTES", within_bytes(TURN_BYTES, 1 << 30));
        let session_timeout = reader.get(
            "KAFKA_SESSION_TIMEOUT",
            within(Duration::from_secs(1), Duration::from_secs(1800)),
        );
        let assignor = reader.get("KAFKA_PARTITION_ASSIGNMENT_STRATEGY", assignor);
        if topic.is_some() && topic == dlq_topic {
            reader.fail(
                "KAFKA_DLQ_TOPIC",
                "is the same as KAFKA_TOPIC: dead letters would be read again",
            );
        }
        let config = Self {
            settings: settings?,
            topic: topic?,
            dlq_topic: dlq_topic?,
            group_id: group_id?,
            group_instance_id: group_instance_id?,
            max_poll_records: max_poll_records?,
            prefetch: Prefetch {
                records: prefetch_records?,
                bytes: prefetch_bytes?,
            },
            session_timeout: session_timeout?,
            assignor: assignor?,
        };
        if let Err(error) = kafka::check(&config) {
            let variable = config.settings.variable_in(&error);
            reader.fail(
                &variable,
                format!("is refused by the Kafka client: {error}"),
            );
            return None;
        }
        Some(config)
    }
}

impl MongoConfig {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let uri = reader.get("MONGODB_URI", secret);
        let schemes = ["mongodb://", "mongodb+srv://"];
        if let Some(uri) = uri.as_ref().map(Secret::expose) {
            if !schemes.iter().any(|scheme| uri.starts_with(scheme)) {
                reader.fail(
                    "MONGODB_URI",
                    "(value hidden) does not begin with mongodb:// or mongodb+srv://",
                );
            } else if let Err(reason) = crate::mongo::parse(uri) {
                reader.fail("MONGODB_URI", reason);
            }
        }
        let username = reader.optional("MONGODB_USERNAME", text);
        let password = reader.optional("MONGODB_PASSWORD", secret);
        let tls_ca_file = reader.optional("MONGODB_TLS_CA_FILE", host::env::certificates);
        let in_uri = uri.as_ref().is_some_and(|uri| has_user(uri.expose()));
        let (name_given, word_given) = (
            !matches!(username, Some(None)),
            !matches!(password, Some(None)),
        );
        match (name_given, word_given) {
            (true, true) if in_uri => reader.fail(
                "MONGODB_USERNAME",
                "is set, but MONGODB_URI has a user already",
            ),
            (true, false) => reader.fail(
                "MONGODB_PASSWORD",
                "is required, because MONGODB_USERNAME is set",
            ),
            (false, true) => reader.fail(
                "MONGODB_USERNAME",
                "is required, because MONGODB_PASSWORD is set",
            ),
            _ => {}
        }
        let database = reader.get("MONGODB_DATABASE", database_name);
        let collection = reader.get("MONGODB_COLLECTION", collection_name);
        let write_timeout = reader.get("WRITE_TIMEOUT", within(INSTANT, HOUR));
        let query_timeout = reader.get("QUERY_TIMEOUT", within(INSTANT, HOUR));
        Some(Self {
            uri: uri?,
            user: username?.zip(password?),
            tls_ca_file: tls_ca_file?,
            database: database?,
            collection: collection?,
            write_timeout: write_timeout?,
            query_timeout: query_timeout?,
        })
    }
}

/// Whether a connection string names a user: what stands before the last `@` of its hosts.
fn has_user(uri: &str) -> bool {
    let hosts = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    hosts
        .split(['/', '?'])
        .next()
        .is_some_and(|hosts| hosts.contains('@'))
}

impl FlowConfig {
    fn read(
        reader: &mut Reader<'_>,
        turn: Option<usize>,
        answer: Option<Duration>,
    ) -> Option<Self> {
        let batch_records = reader.get("BATCH_MAX_RECORDS", count_in(1..=100_000));
        let batch_bytes = reader.get("BATCH_MAX_BYTES", within_bytes(1024, 16 << 20));
        let batch_age = reader.get("BATCH_MAX_AGE", within(INSTANT, Duration::from_secs(60)));
        let writers = reader.get("WRITE_CONCURRENCY", count_in(1..=64));
        let in_flight_records = reader.get("IN_FLIGHT_MAX_RECORDS", count_in(1..=10_000_000));
        let in_flight_bytes = reader.get("IN_FLIGHT_MAX_BYTES", within_bytes(TURN_BYTES, 1 << 30));
        let commit_interval = reader.get(
            "COMMIT_INTERVAL",
            within(Duration::from_millis(1), Duration::from_secs(60)),
        );
        let ahead_records = reader.get("READ_AHEAD_MAX_RECORDS", count_in(1..=1_000_000));
        let stall_timeout = reader.get(
            "STALL_TIMEOUT",
            within(Duration::from_secs(1), Duration::from_secs(3600)),
        );
        let bad_run = reader.get("BAD_RUN_LIMIT", count_in(1..=1_000_000));
        let bad_window = reader.get("BAD_WINDOW_RECORDS", count_in(1..=1_000_000));
        let bad_percent = reader.get("BAD_PERCENT_LIMIT", count_in(1..=100));
        // One attempt to write is an insert and a look at what was there before.
        if let (Some(stall), Some(answer)) = (stall_timeout, answer)
            && stall < answer * 3
        {
            reader.fail(
                "STALL_TIMEOUT",
                format!(
                    "is less than three times WRITE_TIMEOUT, {answer:?}: waiting for the database would look like a stall"
                ),
            );
        }
        if let (Some(turn), Some(limit)) = (turn, in_flight_records)
            && limit < turn
        {
            reader.fail(
                "IN_FLIGHT_MAX_RECORDS",
                format!("is less than KAFKA_MAX_POLL_RECORDS, {turn}: nothing could ever be read"),
            );
        }
        Some(Self {
            batch_records: batch_records?,
            batch_bytes: batch_bytes?,
            batch_age: batch_age?,
            writers: writers?,
            in_flight_records: in_flight_records?,
            in_flight_bytes: in_flight_bytes?,
            ahead_records: ahead_records?,
            commit_interval: commit_interval?,
            stall_timeout: stall_timeout?,
            bad: BadLimits {
                run: bad_run?,
                window: bad_window?,
                percent: bad_percent?,
            },
        })
    }
}

/// Bytes one turn of a reader asks credit for: a broker's largest record by default, so that a
/// turn is never refused for its size.
pub const TURN_BYTES: usize = 1 << 20;

/// The broker's own rule for names.
fn topic_name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=249).contains(&text.len()) && text.chars().all(legal) && text != "." && text != ".." {
        Ok(text.to_owned())
    } else {
        Err(
            "is not a topic name: 1 to 249 letters, digits, dots, underscores and hyphens"
                .to_owned(),
        )
    }
}

/// The server's rule, as strict as it is on any system.
fn database_name(text: &str) -> Result<String, String> {
    let legal = |c: char| !c.is_control() && !r#"/\. "$*<>:|?"#.contains(c);
    if (1..=63).contains(&text.len()) && text.chars().all(legal) {
        Ok(text.to_owned())
    } else {
        Err(
            r#"is not a database name: 1 to 63 bytes without any of /\. "$*<>:|? and spaces"#
                .to_owned(),
        )
    }
}

/// The same for a collection.
fn collection_name(text: &str) -> Result<String, String> {
    let legal = |c: char| !c.is_control() && c != '$';
    if (1..=190).contains(&text.len()) && text.chars().all(legal) && !text.starts_with("system.") {
        Ok(text.to_owned())
    } else {
        Err(
            "is not a collection name: 1 to 190 bytes without a $, not beginning with `system.`"
                .to_owned(),
        )
    }
}

/// The least of a time that must pass.
const INSTANT: Duration = Duration::from_millis(1);
/// More than anybody waits.
const HOUR: Duration = Duration::from_secs(3600);

/// All members of a group must have one in common, so none is made up here.
fn assignor(text: &str) -> Result<String, String> {
    match text {
        "cooperative-sticky" | "range" | "roundrobin" => Ok(text.to_owned()),
        _ => Err("is none of cooperative-sticky, range and roundrobin".to_owned()),
    }
}

fn within(least: Duration, most: Duration) -> impl FnOnce(&str) -> Result<Duration, String> {
    move |text| match duration(text)? {
        value if (least..=most).contains(&value) => Ok(value),
        _ => Err(format!("is not between {least:?} and {most:?}")),
    }
}

fn within_bytes(least: usize, most: usize) -> impl FnOnce(&str) -> Result<usize, String> {
    move |text| match bytes(text)? {
        value if (least..=most).contains(&value) => Ok(value),
        _ => Err(format!("is not between {least} and {most} bytes")),
    }
}

#[cfg(test)]
mod tests;
