//! The whole shop: broker and database, a topic, a group and a database of its own, and both
//! services wired to each other.
//!
//! In: the ground. Out: plans to start the services, and the witnesses. Names are new in every
//! proof, so proofs share a broker without meeting.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use crate::documents::Documents;
use crate::ground::Ground;
use crate::load::Load;
use crate::service::{Plan, Service};
use crate::topic::Witness;
use crate::until_text;

static SHOPS: AtomicU32 = AtomicU32::new(0);

/// Partitions of the topic.
const PARTITIONS: u32 = 3;

/// A shop that is open for business once its services are started.
#[derive(Debug)]
pub struct Shop {
    /// New in every proof; begins the names of everything.
    pub name: String,
    /// Broker and database.
    pub ground: Ground,
    /// What the broker knows.
    pub witness: Witness,
    /// What the database knows.
    pub documents: Documents,
    logs: PathBuf,
    producer: Plan,
    consumer: Plan,
}

impl Shop {
    /// A shop with its topics.
    ///
    /// # Panics
    /// If the topics cannot be made.
    pub async fn on(ground: Ground) -> Self {
        let shop = Self::without_topics(ground).await;
        for (topic, partitions) in [
            (shop.witness.topic.clone(), PARTITIONS),
            (shop.dead_letters(), 1),
        ] {
            let made = shop.ground.create_topic(&topic, partitions).await;
            made.unwrap_or_else(|error| panic!("{error}"));
        }
        shop
    }

    /// A shop whose topics are not there yet.
    ///
    /// # Panics
    /// If its directory for logs cannot be made.
    pub async fn without_topics(ground: Ground) -> Self {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        // The time, because a broker that was given keeps the topics of earlier runs.
        let name = format!(
            "e2e-{:x}-{}",
            since.as_millis(),
            SHOPS.fetch_add(1, Ordering::Relaxed)
        );
        let logs = ground.dir().join(format!("services-{name}"));
        std::fs::create_dir_all(&logs)
            .unwrap_or_else(|error| panic!("{}: {error}", logs.display()));
        let witness = Witness {
            servers: ground.bootstrap_servers(),
            topic: format!("{name}-purchases"),
            group: format!("{name}-group"),
        };
        let documents = Documents::of(&ground.database_uri(), &name).await;
        let wired = |plan: Plan| {
            plan.env("KAFKA_BOOTSTRAP_SERVERS", &witness.servers)
                .env("KAFKA_TOPIC", &witness.topic)
        };
        let consumer = wired(Plan::new("consumer", "consumer-svc", &logs))
            .env("KAFKA_GROUP_ID", &witness.group)
            .env("KAFKA_DLQ_TOPIC", format!("{name}-dead"))
            .env(
                "KAFKA_SESSION_TIMEOUT",
                format!("{}s", ground.session().as_secs()),
            )
            .env("MONGODB_URI", ground.database_uri())
            .env("MONGODB_DATABASE", &name);
        let producer = wired(Plan::new("producer", "producer-svc", &logs)).env(
            "CUSTOMER_MANAGEMENT_API_URL",
            format!("http://{}", consumer.http),
        );
        Self {
            name,
            ground,
            witness,
            documents,
            logs,
            producer,
            consumer,
        }
    }

    /// The dead-letter topic.
    pub fn dead_letters(&self) -> String {
        format!("{}-dead", self.name)
    }

    /// How to start the producer.
    pub fn producer(&self) -> Plan {
        self.producer.clone()
    }

    /// How to start another replica of the producer, on other ports.
    pub fn second_producer(&self) -> Plan {
        self.another_producer("second-producer")
    }

    /// How to start the consumer.
    pub fn consumer(&self) -> Plan {
        self.consumer.clone()
    }

    /// How to start another consumer of the same group, on other ports.
    pub fn second_consumer(&self) -> Plan {
        self.another_consumer("second-consumer")
    }

    /// How to start one more consumer of the same group, under this name and on ports of its own.
    pub fn another_consumer(&self, name: &str) -> Plan {
        self.consumer
            .at(Plan::new(name, "consumer-svc", &self.logs))
    }

    /// How to start one more replica of the producer, likewise.
    pub fn another_producer(&self, name: &str) -> Plan {
        self.producer
            .at(Plan::new(name, "producer-svc", &self.logs))
    }

    /// And a third.
    pub fn third_consumer(&self) -> Plan {
        self.consumer
            .at(Plan::new("third-consumer", "consumer-svc", &self.logs))
    }

    /// A command of the consumer's binary, with the consumer's variables.
    pub fn command(&self, arguments: &[&str]) -> Plan {
        let number = SHOPS.fetch_add(1, Ordering::Relaxed);
        let plan = Plan::new(&format!("command-{number}"), "consumer-svc", &self.logs);
        let plan = self.consumer.at(plan);
        arguments.iter().fold(plan, |plan, one| plan.arg(one))
    }

    /// What a service said so far, over all its runs.
    ///
    /// # Panics
    /// If it was never started.
    pub fn log(&self, name: &str) -> String {
        let path = self.logs.join(format!("{name}.log"));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Starts both and waits until both are ready.
    pub async fn open(&self) -> (Service, Service) {
        tokio::join!(self.producer.ready(), self.consumer.ready())
    }

    /// Load on the producer.
    pub fn load(&self, orders: usize) -> Load {
        Load::new(self.producer.http, &self.name, orders)
    }

    /// Waits until the group has committed every partition to its end: nothing is left to be
    /// stored, now or later.
    ///
    /// # Panics
    /// If that does not come.
    pub async fn settles(&self, within: Duration) {
        until_text(
            "every partition is committed to its end",
            within,
            async || {
                let (committed, ends) = tokio::join!(self.witness.committed(), self.witness.ends());
                let behind: Vec<_> = ends
                    .iter()
                    .filter(|(partition, end)| committed.get(partition) != Some(&Some(**end)))
                    .collect();
                if behind.is_empty() {
                    Ok(())
                } else {
                    Err(format!("ends {behind:?}, committed {committed:?}"))
                }
            },
        )
        .await;
    }
}
