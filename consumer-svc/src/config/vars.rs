//! The table of variables: what `--help` prints and what the reader reads by.

use host::env::Var;
use host::kafka;
use host::serve::tls;
use host::web::cors;

/// The variables beside those of the process frame and of the Kafka connection.
const OWN: &[Var] = &[
    Var::with_default("HTTP_ADDR", "0.0.0.0:8001", "where the query API listens"),
    Var::with_default(
        "ADMIN_ADDR",
        "0.0.0.0:9001",
        "where /metrics, /livez, /readyz, /actors and /log-level listen",
    ),
    Var::with_default(
        "KAFKA_TOPIC",
        "purchases",
        "topic the purchases are read from",
    ),
    Var::with_default(
        "KAFKA_DLQ_TOPIC",
        "purchases.dlq",
        "topic for records that can never become a purchase",
    ),
    Var::with_default(
        "KAFKA_GROUP_ID",
        "customer-management-group",
        "consumer group",
    ),
    Var::optional(
        "KAFKA_GROUP_INSTANCE_ID",
        "static membership: a name that stays the same over restarts of this member",
    ),
    Var::with_default(
        "KAFKA_MAX_POLL_RECORDS",
        "500",
        "records a partition reader takes in one turn, 1 to 10000",
    ),
    Var::with_default(
        "KAFKA_SESSION_TIMEOUT",
        "60s",
        "after this long without a heartbeat the group takes our partitions, 1s to 30m",
    ),
    Var::with_default(
        "KAFKA_PARTITION_ASSIGNMENT_STRATEGY",
        "cooperative-sticky",
        "how the group shares its partitions out, the same in all its members: cooperative-sticky, range or roundrobin",
    ),
    Var::with_default(
        "MONGODB_URI",
        "mongodb://localhost:27017",
        "database (a standalone mongod, a replica set, or a mongos), with user and options (tls=true, authSource, …) where needed",
    )
    .secret(),
    Var::optional(
        "MONGODB_USERNAME",
        "database user, where MONGODB_URI has none; of the database admin or the URI's authSource",
    ),
    Var::optional(
        "MONGODB_PASSWORD",
        "its password, as it is (in a URI it must be percent-encoded)",
    )
    .secret(),
    Var::optional(
        "MONGODB_TLS_CA_FILE",
        "file with the CA certificates (PEM) that the database's is held against; switches TLS on",
    ),
    Var::with_default("MONGODB_DATABASE", "purchases", "database name"),
    Var::with_default("MONGODB_COLLECTION", "purchases", "collection name"),
    Var::with_default(
        "BATCH_MAX_RECORDS",
        "2000",
        "records a batch holds before it is written, 1 to 100000",
    ),
    Var::with_default(
        "BATCH_MAX_BYTES",
        "4MiB",
        "bytes a batch holds before it is written, up to 16MiB",
    ),
    Var::with_default(
        "BATCH_MAX_AGE",
        "2ms",
        "how long a record waits for its batch to fill",
    ),
    Var::with_default(
        "WRITE_CONCURRENCY",
        "4",
        "batches written at the same time, 1 to 64",
    ),
    Var::with_default(
        "WRITE_TIMEOUT",
        "30s",
        "how long to wait for the answer to one write before it is repeated",
    ),
    Var::with_default(
        "IN_FLIGHT_MAX_RECORDS",
        "20000",
        "records between reading and settling, over all partitions",
    ),
    Var::with_default(
        "IN_FLIGHT_MAX_BYTES",
        "16MiB",
        "bytes between reading and settling, over all partitions",
    ),
    Var::with_default(
        "PREFETCH_MAX_RECORDS",
        "15000",
        "records fetched from the broker and not read yet, over all partitions, 100 to 10000000",
    ),
    Var::with_default(
        "PREFETCH_MAX_BYTES",
        "16MiB",
        "the bytes of their values, over all partitions (keys and headers come on top: where those are large, lower PREFETCH_MAX_RECORDS); each holds at least one batch as its producer made it, 1MiB to 1GiB",
    ),
    Var::with_default(
        "READ_AHEAD_MAX_RECORDS",
        "20000",
        "records a partition is read ahead of its oldest unsettled one, 1 to 1000000; there it waits",
    ),
    Var::with_default(
        "STALL_TIMEOUT",
        "120s",
        "after this long with work and without a sign of life a partition's reader is started anew, 1s to 1h",
    ),
    Var::with_default(
        "BAD_RUN_LIMIT",
        "100",
        "so many records in a row that can never become a purchase stop their partition, 1 to 1000000; those that dlq replay sent back do not count",
    ),
    Var::with_default(
        "BAD_WINDOW_RECORDS",
        "1000",
        "records that BAD_PERCENT_LIMIT looks back over, 1 to 1000000",
    ),
    Var::with_default(
        "BAD_PERCENT_LIMIT",
        "50",
        "so many bad ones in a hundred of them stop the partition, 1 to 100; without those that were sent back",
    ),
    Var::with_default(
        "COMMIT_INTERVAL",
        "500ms",
        "how often statistics are saved and moved offsets committed",
    ),
    Var::with_default(
        "QUERY_TIMEOUT",
        "5s",
        "how long one query may take as a whole; half of it at most is waited for its turn",
    ),
    Var::with_default(
        "QUERY_MAX_IN_FLIGHT",
        "64",
        "pages read at the same time, and as many histories added up; who asks for more gets a 503, 1 to 10000",
    ),
    Var::with_default(
        "QUERY_MAX_LONG",
        "1",
        "long histories added up at the same time, so many of each size: from 10000, 40000, 160000 and 640000 purchases on; users take turns, 1 to 10000",
    ),
    Var::with_default(
        "STATS_MAX_STREAMS",
        "256",
        "clients of /stats/stream at the same time; more get a 503, 1 to 10000",
    ),
    Var::with_default(
        "DRAIN_TIMEOUT",
        "30s",
        "how long a shutdown may take to finish what was begun",
    ),
];

/// All tables, for the frame.
pub const VARS: &[&[Var]] = &[OWN, tls::VARS, cors::VARS, kafka::VARS];

/// Client properties this service's promises rest on: they are set here and nowhere else.
pub(super) const RESERVED: &[&str] = &[
    "group.id",
    "group.instance.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "partition.assignment.strategy",
    "session.timeout.ms",
    "enable.idempotence",
    "acks",
    "queued.min.messages",
    "queued.max.messages.kbytes",
    "fetch.message.max.bytes",
    "max.partition.fetch.bytes",
    "statistics.interval.ms",
];
