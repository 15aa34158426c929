//! The stack as a whole. In: wishes; out: a broker (or three) and a database that are really
//! ready, their addresses, topics, and the handles to make them fail.

mod builder;
mod greet;
mod leadership;
mod mending;

pub use builder::Builder;

use std::path::Path;
use std::time::Duration;

use crate::error::StackError;
use crate::layout::Layout;
use crate::part::Part;
use crate::proxy::Proxy;
use crate::secured::{Listener, Secured};
use crate::wait::wait_until;
use crate::wire::kafka;

/// How long a new topic may take to have a leader everywhere.
const TOPIC_PATIENCE: Duration = Duration::from_secs(30);

/// For a node of a cluster that ends as a whole.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(8);

/// A running broker and database. Dropping it kills what it started; [`Stack::stop`] ends it
/// gracefully.
#[derive(Debug)]
pub struct Stack {
    // Dropped in this order: proxies first, then the processes, then the directory.
    broker_proxies: Vec<Proxy>,
    database_proxy: Option<Proxy>,
    database: Part,
    brokers: Vec<Part>,
    secured: Option<Secured>,
    layout: Layout,
}

impl Stack {
    /// One broker, the database, a temporary directory.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// What clients put into `KAFKA_BOOTSTRAP_SERVERS`; through the proxies if there are any.
    pub fn bootstrap_servers(&self) -> String {
        if self.broker_proxies.is_empty() {
            return self.direct_bootstrap_servers();
        }
        let each: Vec<String> = self
            .broker_proxies
            .iter()
            .map(|proxy| proxy.address().to_string())
            .collect();
        each.join(",")
    }

    /// The brokers behind the proxies. Only the first contact goes there: a client then follows
    /// the addresses that the brokers tell, which are the proxies' again.
    pub fn direct_bootstrap_servers(&self) -> String {
        let each: Vec<&str> = self.brokers.iter().map(Part::address).collect();
        each.join(",")
    }

    /// What clients put into `MONGODB_URI`; through the proxy if there is one.
    pub fn mongodb_uri(&self) -> String {
        match &self.database_proxy {
            Some(proxy) => uri(&proxy.address().to_string()),
            None => self.direct_mongodb_uri(),
        }
    }

    /// The database behind the proxy.
    pub fn direct_mongodb_uri(&self) -> String {
        if self.database.is_ours() {
            uri(self.database.address())
        } else {
            self.database.address().to_owned()
        }
    }

    /// The brokers' addresses on one of the listeners that a secured stack adds.
    pub fn secured_bootstrap_servers(&self, listener: Listener) -> String {
        let brokers = &self.layout.state().brokers;
        let each: Vec<String> = brokers
            .iter()
            .map(|ports| format!("127.0.0.1:{}", ports.secured[listener as usize]))
            .collect();
        each.join(",")
    }

    /// The secured database for this user, or for nobody: who makes the first user is let in from
    /// this machine without one.
    ///
    /// # Panics
    /// If the stack was not built with `secured()`.
    pub fn secured_mongodb_uri(&self, user: Option<(&str, &str)>) -> String {
        let (address, ca) = (self.database.address(), self.secured().ca());
        let user = user.map(|(name, password)| format!("{name}:{password}@"));
        format!(
            "mongodb://{}{address}/?directConnection=true&tls=true&tlsCAFile={}",
            user.unwrap_or_default(),
            ca.display()
        )
    }

    /// Certificates and users.
    ///
    /// # Panics
    /// If the stack was not built with `secured()`.
    pub fn secured(&self) -> &Secured {
        self.secured.as_ref().expect("a stack built with secured()")
    }

    /// The directory with configuration, data and logs.
    pub fn dir(&self) -> &Path {
        self.layout.path()
    }

    /// One broker, counted from 0.
    ///
    /// # Panics
    /// If there are not that many.
    pub fn broker(&self, index: usize) -> &Part {
        &self.brokers[index]
    }

    /// How many brokers there are (1 for a given address).
    pub fn brokers(&self) -> usize {
        self.brokers.len()
    }

    /// The database.
    pub fn database(&self) -> &Part {
        &self.database
    }

    /// The proxy before a broker.
    ///
    /// # Panics
    /// If the stack was not built with `proxied(true)`, or the broker was given by address.
    pub fn broker_proxy(&self, index: usize) -> &Proxy {
        &self.broker_proxies[index]
    }

    /// The proxy before the database.
    ///
    /// # Panics
    /// If the stack was not built with `proxied(true)`, or the database was given by address.
    pub fn database_proxy(&self) -> &Proxy {
        self.database_proxy
            .as_ref()
            .expect("a stack built with proxied(true) and a database of its own")
    }

    /// Makes sure the topic exists, with a leader for every partition; one that is there already
    /// stays as it is. It has as many replicas as there are brokers.
    pub async fn create_topic(&self, name: &str, partitions: u32) -> Result<(), StackError> {
        self.create_topic_with(name, partitions, &[]).await
    }

    /// Like [`Stack::create_topic`], with topic settings (`retention.ms`, …).
    pub async fn create_topic_with(
        &self,
        name: &str,
        partitions: u32,
        settings: &[(&str, &str)],
    ) -> Result<(), StackError> {
        let refused = |detail: String| StackError::Refused {
            what: format!("creating topic {name}"),
            detail,
        };
        let ours = self.brokers.iter().all(Part::is_ours);
        // A cluster that was given decides itself about replicas.
        let replicas = if ours {
            i16::try_from(self.brokers.len()).unwrap_or(-1)
        } else {
            -1
        };
        let count = i32::try_from(partitions).unwrap_or(i32::MAX);
        let mut last = "no broker is running".to_owned();
        for address in self.live_brokers() {
            match kafka::create_topic(&address, name, count, replicas, settings).await {
                Ok((0 | kafka::TOPIC_EXISTS, _)) => {
                    return self.await_leaders(name, partitions).await.map_err(refused);
                }
                Ok((code, words)) => return Err(refused(format!("{words} (error {code})"))),
                Err(error) => last = format!("{address}: {error}"),
            }
        }
        Err(refused(last))
    }

    /// The offset after the last record of each partition, by partition.
    pub async fn end_offsets(&self, topic: &str) -> Result<Vec<i64>, StackError> {
        let refused = |detail: String| StackError::Refused {
            what: format!("end offsets of {topic}"),
            detail,
        };
        let leaders = self.leaders(topic).await.map_err(refused)?;
        let mut offsets = Vec::new();
        for (partition, leader) in leaders {
            offsets.push(
                kafka::end_offset(&leader, topic, partition)
                    .await
                    .map_err(refused)?,
            );
        }
        Ok(offsets)
    }

    /// Ends what it started: the database, then the brokers side by side. The first failure is
    /// reported, after everything has ended.
    pub async fn stop(self) -> Result<(), StackError> {
        let mut outcome = self.stop_database().await;
        outcome = outcome.and(self.stop_brokers().await);
        outcome
    }

    /// Ends the database, if it is ours.
    pub async fn stop_database(&self) -> Result<(), StackError> {
        if self.database.is_ours() {
            self.database.stop().await
        } else {
            Ok(())
        }
    }

    /// Ends the brokers that are ours. The last nodes of a cluster find no quorum to say goodbye to;
    /// that those are killed loses nothing, their log is recovered at the next start.
    pub async fn stop_brokers(&self) -> Result<(), StackError> {
        self.brokers.iter().for_each(Part::ask_to_end);
        let alone = self.brokers.len() == 1;
        let mut outcome = Ok(());
        for broker in self.brokers.iter().filter(|broker| broker.is_ours()) {
            let stopped = if alone {
                broker.stop().await
            } else {
                broker.stop_within(GOODBYE_PATIENCE).await
            };
            match stopped {
                Err(StackError::Overran { .. }) if !alone => {}
                stopped => outcome = outcome.and(stopped),
            }
        }
        outcome
    }

    /// Waits until every broker that runs sees a leader for every partition.
    async fn await_leaders(&self, name: &str, partitions: u32) -> Result<(), String> {
        let wanted = usize::try_from(partitions).unwrap_or(usize::MAX);
        let mut why = String::new();
        let seen = wait_until(TOPIC_PATIENCE, async || {
            for address in self.live_brokers() {
                let metadata = kafka::metadata(&address, &[name]).await;
                let topic = metadata
                    .ok()
                    .and_then(|all| all.topics.into_iter().find(|topic| topic.error == 0));
                let leaders = topic.map(|topic| topic.leaders).unwrap_or_default();
                let led = leaders.iter().filter(|(_, leader)| *leader >= 0).count();
                if led < leaders.len().max(1) {
                    why = format!("{address} sees {led} of {wanted} partitions led");
                    return None;
                }
            }
            // A broker tells of a leader before that leader knows that it is one.
            if let Err(error) = self.end_offsets(name).await {
                why = error.to_string();
                return None;
            }
            Some(())
        })
        .await;
        seen.ok_or(why)
    }

    /// Where a request can go now: brokers that run, or each of the given addresses.
    fn live_brokers(&self) -> Vec<String> {
        let live = self
            .brokers
            .iter()
            .filter(|part| !part.is_ours() || part.is_running());
        live.flat_map(|part| part.address().split(','))
            .map(|one| one.trim().to_owned())
            .collect()
    }
}

/// One server is meant, whatever set of replicas it says it belongs to.
fn uri(address: &str) -> String {
    format!("mongodb://{address}/?directConnection=true")
}
