//! Who takes part in draining, and how each is started. In: a database and group of its own; out:
//! a recipe for its process.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use devstack::free_port;
use devstack::process::Spawn;

use crate::Failure;
use crate::connect::{Connect, Model};
use crate::corpus::{Backlog, Form};
use crate::peers::loopback;
use crate::python::Python;
use crate::site::{Setting, Site};

/// Bare `insert_many`: documents a batch, and batches at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bare {
    batch: usize,
    writers: usize,
}

impl Bare {
    pub(super) const fn new(batch: usize, writers: usize) -> Self {
        Self { batch, writers }
    }
}

impl FromStr for Bare {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(['x', '×']);
        let parsed =
            parts.and_then(|(batch, writers)| Some((batch.parse().ok()?, writers.parse().ok()?)));
        match parsed {
            Some((batch @ 1..=100_000, writers @ 1..=64)) => Ok(Self { batch, writers }),
            _ => Err("is not batch×writers, such as 2000x3".to_owned()),
        }
    }
}

impl fmt::Display for Bare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bare insert_many, {} × {}", self.batch, self.writers)
    }
}

/// One who takes part.
pub(super) struct Contestant {
    kind: Kind,
    name: String,
    records: u32,
}

/// What it is.
pub(super) enum Kind {
    /// The database's own speed.
    Bare(Bare),
    /// One insert and one commit a message, in Python.
    Original(Python),
    /// Batches, in Python.
    Tuned(Python, Pace),
    /// Kafka Connect with MongoDB's sink.
    Connect(Connect, Model),
    /// consumer-svc, with these variables beside its own defaults.
    Ours(Vec<Setting>),
}

/// When a batch is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Before the next is fetched.
    InTurn,
    /// While the next is fetched and decoded.
    Overlapping,
}

impl Pace {
    /// Of the tuned Python consumer that keeps it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::InTurn => "Python, tuned",
            Self::Overlapping => "Python, tuned, reads while it writes",
        }
    }
}

impl Contestant {
    /// One that stores that many records in a turn.
    pub(super) fn new(kind: Kind, records: u32) -> Self {
        let name = match &kind {
            Kind::Bare(bare) => bare.to_string(),
            Kind::Original(_) => "Python, one insert a message".to_owned(),
            Kind::Tuned(_, pace) => pace.name().to_owned(),
            Kind::Connect(_, Model::Replace) => "Kafka Connect, default write model".to_owned(),
            Kind::Connect(_, Model::Insert) => "Kafka Connect, insert-only".to_owned(),
            Kind::Ours(_) => "**ours**".to_owned(),
        };
        Self {
            kind,
            name,
            records,
        }
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn records(&self) -> u32 {
        self.records
    }

    /// What it reads.
    pub(super) fn backlog(&self) -> Backlog {
        let form = match self.kind {
            Kind::Connect(..) => Form::Document,
            _ => Form::Event,
        };
        Backlog {
            form,
            records: self.records,
        }
    }

    /// How long its turn may take: a tenth of the speed that was ever seen of its kind is no speed.
    pub(super) fn patience(&self) -> Duration {
        let least_a_second = match self.kind {
            Kind::Original(_) => 30,
            Kind::Connect(_, Model::Replace) => 100,
            _ => 2_000,
        };
        Duration::from_secs(u64::from(self.records / least_a_second) + 30)
    }

    /// Whether it promises to end with exit code 0 when it is told to.
    pub(super) fn ends_well(&self) -> bool {
        matches!(self.kind, Kind::Ours(_))
    }

    /// Whether its documents are to be ours: the original had no origins.
    pub(super) fn stores_our_form(&self) -> bool {
        !matches!(self.kind, Kind::Original(_))
    }

    /// Whether it gives the collection its validator itself.
    pub(super) fn makes_its_schema(&self) -> bool {
        self.ends_well()
    }

    /// How to start it on this database, which also names its group.
    pub(super) fn spawn(&self, site: &Site, database: &str) -> Result<Spawn, Failure> {
        let topic = self.backlog().topic();
        let python = |python: &Python, program: &str| python.spawn(site, program, &[program]);
        let spawn = match &self.kind {
            Kind::Bare(Bare { batch, writers }) => site
                .myself("insert")
                .args([
                    "peer",
                    "insert",
                    "--uri",
                    &site.stack().mongodb_uri(),
                    "--database",
                    database,
                ])
                .args(["--records", &self.records.to_string()])
                .args([
                    "--batch",
                    &batch.to_string(),
                    "--writers",
                    &writers.to_string(),
                ]),
            Kind::Original(peer) => python(peer, "consumer_original.py"),
            Kind::Tuned(peer, pace) => python(peer, "consumer_tuned.py").env(
                "OVERLAP",
                if *pace == Pace::Overlapping { "1" } else { "0" },
            ),
            Kind::Connect(connect, model) => connect.spawn(site, *model, &topic, database)?,
            Kind::Ours(settings) => site
                .service("consumer-svc", settings)
                .env("HTTP_ADDR", loopback(free_port()).to_string())
                .env("ADMIN_ADDR", loopback(free_port()).to_string()),
        };
        Ok(spawn
            .env("KAFKA_TOPIC", &topic)
            .env("KAFKA_DLQ_TOPIC", format!("{topic}.dlq"))
            .env("KAFKA_GROUP_ID", database)
            .env("MONGODB_DATABASE", database))
    }
}

#[cfg(test)]
mod tests {
    use super::Bare;

    #[test]
    fn a_bare_writer_is_named_by_batch_and_writers() {
        assert_eq!("2000x3".parse(), Ok(Bare::new(2000, 3)));
        assert_eq!("500×1".parse(), Ok(Bare::new(500, 1)));
        for wrong in ["", "500", "0x1", "500x0", "x", "500x1x1"] {
            assert!(wrong.parse::<Bare>().is_err(), "{wrong}");
        }
    }
}
