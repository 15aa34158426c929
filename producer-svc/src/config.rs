//! Configuration: the only file that reads the environment.
//!
//! In: variables. Out: a whole [`Config`], or every error at once. What cannot work together is
//! refused here, so that nothing behind it has to check.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::Service;
use host::env::{self, Reader, Var};
use host::kafka::KafkaSettings;
use host::serve::Tls;
use host::web::client::{self, TrustedHeader};
use host::web::cors::{self, Cors};
use host::web::limit::{self, RateLimit};

use crate::catalog::Catalog;
use crate::publish::kafka::KafkaLog;
use crate::replay;

pub use history::HistoryConfig;

mod history;
mod idempotency;
mod kafka;

/// This service as the frame runs it. The variables for logs are the frame's own.
pub const SERVICE: Service<Config> = Service {
    name: "producer-svc",
    version: env!("CARGO_PKG_VERSION"),
    about: "takes purchases over HTTP and writes them to Kafka; answers 201 only when they are stored there",
    vars: &[
        VARS,
        history::VARS,
        idempotency::VARS,
        host::serve::tls::VARS,
        cors::VARS,
        limit::VARS,
        client::VARS,
        host::kafka::VARS,
    ],
    configure: Config::read,
    commands: &[],
};

const VARS: &[Var] = &[
    Var::with_default("HTTP_ADDR", "0.0.0.0:8000", "where customers are served"),
    Var::with_default(
        "ADMIN_ADDR",
        "0.0.0.0:9000",
        "where /metrics, /livez, /readyz, /actors and /log-level are",
    ),
    Var::with_default(
        "KAFKA_TOPIC",
        "purchases",
        "topic that purchases are written to",
    ),
    Var::with_default(
        "KAFKA_LINGER",
        "1ms",
        "how long a record may wait for others to share its request: longer costs latency, shorter costs CPU",
    ),
    Var::with_default(
        "KAFKA_DELIVERY_TIMEOUT",
        "10s",
        "how long a purchase may wait for the broker's confirmation; then the answer is 503, outcome unknown",
    ),
    Var::optional(
        "CATALOG_FILE",
        "JSON file with the items for sale, [{\"name\", \"price\", \"weight\"}], weights for all or none; read again on SIGHUP; without it a built-in catalog is used",
    ),
    Var::optional(
        "INTAKE_MAX_PURCHASES",
        "purchases on their way at once; more wait, then get 503. Below HTTP_MAX_CONNECTIONS, which would otherwise be what \
         is full, and then nobody is answered. Without it half of that, at most 2048",
    ),
    Var::with_default("INTAKE_MAX_BYTES", "16MiB", "their bytes"),
    Var::with_default(
        "INTAKE_MAX_WAIT",
        "250ms",
        "how long a purchase waits for its turn before it gets 503",
    ),
    Var::with_default(
        "HTTP_MAX_CONNECTIONS",
        "4096",
        "connections at once; for more, those that are silent for longest make room",
    ),
    Var::with_default(
        "DRAIN_TIMEOUT",
        "25s",
        "how long a shutdown may take, all stages together",
    ),
];

/// Purchases on their way at once, where nobody says how many. Half of the connections that there may be: the
/// others are for who is told that there are too many, and for who asks something else.
const MAX_PURCHASES: usize = 2_048;

/// The longest that the client lets records wait for each other.
const MAX_LINGER: Duration = Duration::from_secs(15 * 60);

/// As much as the client can be told to hold, with room for what it adds.
const MAX_BYTES: usize = 256 << 30;

/// What may come after the broker's last word in a shutdown: answers on their way out.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Stands for a time that is wrong, where only something else is asked about.
const DELIVERY: Duration = Duration::from_secs(10);

/// Client properties on which the promise of a 201 or the memory bound rests.
const RESERVED: &[&str] = &[
    "acks",
    // With it the client tells of no success: every purchase would wait for its answer for ever.
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "linger.ms",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.send.max.retries",
    "message.timeout.ms",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "request.required.acks",
    "retries",
    // A broker of the client's own, in memory.
    "test.mock.num.brokers",
    "transactional.id",
];

/// Everything that can be told to this service.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where customers are served.
    pub http_addr: SocketAddr,
    /// Certificate and key for customers, if they are served over TLS.
    pub tls: Option<Tls>,
    /// Where operators are served.
    pub admin_addr: SocketAddr,
    /// How to write purchases.
    pub kafka: KafkaConfig,
    /// What is for sale at the start.
    pub catalog: Catalog,
    /// Its file, to be read again; `None` for the built-in one.
    pub catalog_file: Option<PathBuf>,
    /// Bounds of the intake.
    pub intake: IntakeConfig,
    /// What is remembered for retries.
    pub replays: replay::Limits,
    /// Other origins whose pages may read answers.
    pub cors: Option<Cors>,
    /// What one client may send.
    pub rate_limit: Option<RateLimit>,
    /// Where a client's address stands, if not at the other end of its connection.
    pub client_header: Option<TrustedHeader>,
    /// How to ask consumer-svc.
    pub history: HistoryConfig,
    /// How long a shutdown may take.
    pub drain_timeout: Duration,
}

/// How to write purchases.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// Addresses, security and what was passed through.
    pub settings: KafkaSettings,
    /// The topic.
    pub topic: String,
    /// How long a record waits for company.
    pub linger: Duration,
    /// How long a report may take.
    pub delivery_timeout: Duration,
    /// Records that may be on their way.
    pub max_records: usize,
    /// Their bytes.
    pub max_bytes: usize,
}

impl KafkaConfig {
    /// How long a purchase may wait for its turn: a third of the whole.
    pub fn hold_timeout(&self) -> Duration {
        self.delivery_timeout / 3
    }

    /// How long the broker's report may take from then on: the rest.
    pub fn report_timeout(&self) -> Duration {
        self.delivery_timeout - self.hold_timeout()
    }
}

/// Bounds of the intake.
#[derive(Clone, Copy, Debug)]
pub struct IntakeConfig {
    /// Purchases on their way at once.
    pub max_purchases: usize,
    /// Their bytes.
    pub max_bytes: usize,
    /// How long one waits for its turn.
    pub max_wait: Duration,
    /// Connections at once.
    pub max_connections: usize,
}

impl Config {
    /// Reads all variables; `None` if the reader noted errors.
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let http_addr = reader.get("HTTP_ADDR", env::socket_addr);
        let tls = Tls::read(reader);
        let admin_addr = reader.get("ADMIN_ADDR", env::socket_addr);
        let catalog = reader.optional("CATALOG_FILE", catalog);
        let max_purchases = reader.optional("INTAKE_MAX_PURCHASES", env::count_in(1..=1_000_000));
        let max_bytes = reader.get("INTAKE_MAX_BYTES", bytes_in(64 << 10..=MAX_BYTES));
        let max_wait = reader.get("INTAKE_MAX_WAIT", env::duration);
        let max_connections = reader.get("HTTP_MAX_CONNECTIONS", env::count);
        let max_purchases = purchases_below(max_purchases, max_connections, reader);
        let settings = KafkaSettings::read(reader, RESERVED, kafka::takes);
        let topic = reader.get("KAFKA_TOPIC", topic);
        let linger = reader.get("KAFKA_LINGER", linger);
        let delivery_timeout = reader.get("KAFKA_DELIVERY_TIMEOUT", env::duration);
        let replays = idempotency::read(reader);
        let cors = Cors::read(reader);
        let rate_limit = RateLimit::read(reader);
        let client_header = TrustedHeader::read(reader);
        let history = HistoryConfig::read(reader);
        let drain_timeout = reader.get("DRAIN_TIMEOUT", env::duration);
        let times = delivery_timeout.zip(linger);
        let (least, twice) = (Duration::from_millis(100), 2);
        let times = times.filter(|(delivery, linger)| *delivery >= least.max(*linger * twice));
        if times.is_none() && delivery_timeout.is_some() && linger.is_some() {
            reader.fail(
                "KAFKA_DELIVERY_TIMEOUT",
                "must be at least 100ms and twice KAFKA_LINGER",
            );
        }
        if let (Some(delivery), Some(drain)) = (delivery_timeout, drain_timeout)
            && let Some(wait) = max_wait
            && intake_share(drain) < delivery + wait + LAST_WORDS.min(delivery)
        {
            reader.fail(
                "DRAIN_TIMEOUT",
                "must leave, less a tenth, KAFKA_DELIVERY_TIMEOUT, INTAKE_MAX_WAIT and a second, or a purchase may get no answer at a shutdown",
            );
        }
        if let (Some(http), Some(admin)) = (http_addr, admin_addr)
            && http == admin
            && http.port() != 0
        {
            reader.fail("ADMIN_ADDR", "must differ from HTTP_ADDR");
        }
        // Asked about security whatever else is wrong: in the place of that stands what is right.
        let (in_time, gathered) = times.unwrap_or((DELIVERY, Duration::ZERO));
        let kafka = settings.map(|settings| KafkaConfig {
            settings,
            topic: topic.clone().unwrap_or_default(),
            linger: gathered,
            delivery_timeout: in_time,
            max_records: max_purchases.unwrap_or(1),
            max_bytes: max_bytes.unwrap_or(1),
        });
        if let Some(kafka) = &kafka
            && let Err(error) = KafkaLog::check(kafka)
        {
            let variable = kafka.settings.variable_in(&error);
            reader.fail(
                &variable,
                format!("is refused by the Kafka client: {error}"),
            );
            return None;
        }
        let (catalog, catalog_file) = match catalog? {
            Some((catalog, file)) => (catalog, Some(file)),
            None => (Catalog::built_in(), None),
        };
        Some(Self {
            http_addr: http_addr?,
            tls: tls?,
            admin_addr: admin_addr?,
            kafka: topic.and(times).and(kafka)?,
            catalog,
            catalog_file,
            intake: IntakeConfig {
                max_purchases: max_purchases?,
                max_bytes: max_bytes?,
                max_wait: max_wait?,
                max_connections: max_connections?,
            },
            replays: replays?,
            cors: cors?,
            rate_limit: rate_limit?,
            client_header: client_header?,
            history: history?,
            drain_timeout: drain_timeout?,
        })
    }
}

fn catalog(path: &str) -> Result<(Catalog, PathBuf), String> {
    let catalog = Catalog::load(Path::new(path)).map_err(|errors| errors.in_lines())?;
    Ok((catalog, PathBuf::from(path)))
}

/// How much of a drain the intake gets. It drains first, and leaves a tenth for the stages behind it,
/// which by then have little to do.
pub(crate) fn intake_share(drain_timeout: Duration) -> Duration {
    drain_timeout.mul_f64(0.9)
}

/// The broker's own rule for names.
fn topic(text: &str) -> Result<String, String> {
    let legal = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if legal && (1..=249).contains(&text.len()) && text != "." && text != ".." {
        Ok(text.to_owned())
    } else {
        Err("is not a topic name: 1 to 249 of letters, digits, . _ and -".to_owned())
    }
}

/// A limit below one request's size would refuse everything.
fn bytes_in(limits: RangeInclusive<usize>) -> impl FnOnce(&str) -> Result<usize, String> {
    move |text| match env::bytes(text)? {
        size if size < *limits.start() => Err(format!("is less than {}", limits.start())),
        size if size > *limits.end() => Err(format!("is more than {}GiB", limits.end() >> 30)),
        size => Ok(size),
    }
}

fn linger(text: &str) -> Result<Duration, String> {
    match env::duration(text)? {
        longer if longer > MAX_LINGER => Err("is longer than 15m".to_owned()),
        time => Ok(time),
    }
}

/// How many purchases may be on their way, if both are read without an error. A connection has one at a time,
/// so that as many as connections could never be too many, and whoever comes then waits at the door, unanswered.
fn purchases_below(
    set: Option<Option<usize>>,
    connections: Option<usize>,
    reader: &mut Reader<'_>,
) -> Option<usize> {
    let (set, connections) = (set?, connections?);
    let Some(purchases) = set else {
        return Some(MAX_PURCHASES.min(connections / 2).max(1));
    };
    if purchases >= connections {
        let reason = format!(
            "{purchases} is not below HTTP_MAX_CONNECTIONS, which is {connections}: too many purchases would be told nothing"
        );
        reader.fail("INTAKE_MAX_PURCHASES", reason);
        return None;
    }
    Some(purchases)
}

#[cfg(test)]
mod tests;
