//! Wiring of the ingest pipeline: readers → batch writer → commit, with the dead letters beside.

use std::sync::Arc;
use std::time::Duration;

use actors::{
    Addr, Backoff, BatchLimits, BatchStage, ChildSpec, Children, Cost, Credits, Intensity, Outlet,
    Restart, Shutdown, Strategy, SupervisorSpec, Watch,
};
use host::exit::{Code, Failure};
use host::span::Tracer;

use super::ending::MEMBERSHIP;
use crate::assign::kafka::KafkaMembership;
use crate::assign::{Assign, Assigned, Assignment, Held, ReleasePace};
use crate::commit::kafka::KafkaCommitter;
use crate::commit::{Commit, CommitOutlet};
use crate::config::{Config, FlowConfig, TURN_BYTES};
use crate::dead_letter::kafka::{KafkaLetterBox, KafkaOriginals};
use crate::dead_letter::{BATCHES_AT_ONCE, DeadLetters};
use crate::flow::{CommitMsg, DeadLetterMsg, Note, WriteMsg};
use crate::kafka::{ConsumerSlot, Observer, refused};
use crate::lane::{Lanes, Report};
use crate::read::kafka::KafkaPartition;
use crate::read::{PartitionReader, ReadLimits, ReaderArgs, Traced};
use crate::tally::mongo::MongoTallies;
use crate::write::again::{AgainMsg, WriteAgain};
use crate::write::mongo::MongoStore;
use crate::write::{Attempts, BatchWriter};

/// Backoff while the database does not take a batch, or the dead-letter topic a letter: scattered, so
/// that all who wait do not return in step to what recovers.
fn again() -> Backoff {
    Backoff {
        min: Duration::from_millis(100),
        max: Duration::from_secs(5),
        jitter: 0.5,
        ..Backoff::default()
    }
}
/// Letters are few, and go out at once.
const LETTERS: BatchLimits = BatchLimits {
    count: 100,
    bytes: 1 << 20,
    age: Duration::from_millis(10),
};
/// A reader that fails is one thing; readers that go on failing are a broken partition, and the
/// process should say so by ending.
fn reader_restarts(stall: Duration) -> Intensity {
    Intensity {
        restarts: 5,
        // Stalls count too, and they take their time.
        within: Duration::from_secs(60).max(stall * 6),
    }
}
/// A membership that fails is tried for longer: a broker that restarts takes its time.
const INGEST_RESTARTS: Intensity = Intensity {
    restarts: 20,
    within: Duration::from_secs(300),
};

/// The pipeline, ready to be put into the tree.
pub(super) struct Ingest {
    slot: ConsumerSlot,
    held: Held,
    spec: SupervisorSpec,
}

impl Ingest {
    /// Connects stages and adapters. Nothing runs yet.
    pub(super) fn new(
        config: &Config,
        store: MongoStore,
        tallies: Arc<MongoTallies>,
        observer: &Arc<Observer>,
        (report, tracer): (Report, &Tracer),
    ) -> Result<Self, Failure> {
        let slot = ConsumerSlot::default();
        let held = Held::new(Lanes::new(config.flow.bad, report));
        let addrs = Addrs {
            commit: Addr::new("commit"),
            write: Addr::new("write"),
            write_again: Addr::new("write_again"),
            dead_letter: Addr::new("dead_letter"),
        };
        let readers = Children::new();
        let letters = KafkaLetterBox::new(&config.kafka, config.flow.stall_timeout);
        let letters = letters.map_err(|cause| {
            Failure::new(Code::Usage, format!("kafka producer: {}", refused(&cause)))
        })?;
        let letters = (letters, KafkaOriginals::new(&config.kafka));
        let credits = Credits::new(
            "in_flight",
            Cost {
                count: config.flow.in_flight_records,
                bytes: config.flow.in_flight_bytes,
            },
        );
        let member = (&slot, observer);
        let traced = Traced::new(tracer.clone(), Arc::from(config.kafka.topic.as_str()));
        let reading = (&readers, credits.clone(), traced);
        let assign = assign(config, &addrs, member, &held, reading);
        // Started in this order and drained in the reverse one: first the partitions are given
        // back, which needs every stage above; the books of commit close last.
        let writing = store.pending().clone();
        let attempts = Attempts::new(store, addrs.dead_letter.clone(), held.lanes.clone());
        let attempts = Arc::new(attempts);
        let spec = SupervisorSpec::new(Strategy::RestForOne)
            .intensity(INGEST_RESTARTS)
            .child(commit(config, &addrs, member, tallies))
            .child(dead_letter(&addrs, letters, &held))
            .child(write_again(&addrs, Arc::clone(&attempts)))
            .child(
                write(&config.flow, &addrs, attempts)
                    .credits(&writing)
                    .credits(&credits),
            )
            .child(
                // Vital: it would come back without its readers, and what broke them is still there.
                ChildSpec::supervisor(
                    "readers",
                    SupervisorSpec::dynamic(&readers)
                        .intensity(reader_restarts(config.flow.stall_timeout)),
                )
                .vital(),
            )
            .child(assign);
        Ok(Self { slot, held, spec })
    }

    pub(super) fn slot(&self) -> ConsumerSlot {
        self.slot.clone()
    }

    pub(super) fn held(&self) -> Held {
        self.held.clone()
    }

    pub(super) fn child(self) -> ChildSpec {
        // Vital, so that what it gave up on ends the process now and not after more of the same.
        ChildSpec::supervisor("ingest", self.spec).vital()
    }
}

#[derive(Clone)]
struct Addrs {
    commit: Addr<CommitMsg>,
    write: Addr<WriteMsg>,
    write_again: Addr<AgainMsg>,
    dead_letter: Addr<DeadLetterMsg>,
}

fn commit(
    config: &Config,
    addrs: &Addrs,
    (slot, observer): (&ConsumerSlot, &Arc<Observer>),
    tallies: Arc<MongoTallies>,
) -> ChildSpec {
    let member = (slot.clone(), Arc::clone(observer));
    let committer = Arc::new(KafkaCommitter::new(member, &config.kafka));
    let (interval, saving) = (config.flow.commit_interval, tallies.pending().clone());
    ChildSpec::stage("commit", &addrs.commit, move |_| {
        Commit::new(Arc::clone(&committer), Arc::clone(&tallies), interval)
    })
    .shutdown(Shutdown::Infinity)
    .credits(&saving)
}

fn write_again(addrs: &Addrs, attempts: Arc<Attempts<MongoStore>>) -> ChildSpec {
    let make = move |_| WriteAgain::new(Arc::clone(&attempts), again());
    ChildSpec::stage("write_again", &addrs.write_again, make).shutdown(Shutdown::Infinity)
}

fn write(flow: &FlowConfig, addrs: &Addrs, attempts: Arc<Attempts<MongoStore>>) -> ChildSpec {
    let again_to = addrs.write_again.clone();
    let sink = Arc::new(BatchWriter::new(attempts, again_to, again()));
    let limits = BatchLimits {
        count: flow.batch_records,
        bytes: flow.batch_bytes,
        age: flow.batch_age,
    };
    let writers = flow.writers;
    ChildSpec::stage("write", &addrs.write, move |_| {
        BatchStage::new(limits, writers, Arc::clone(&sink))
    })
    .shutdown(Shutdown::Infinity)
}

fn dead_letter(addrs: &Addrs, letters: (KafkaLetterBox, KafkaOriginals), held: &Held) -> ChildSpec {
    let sink = Arc::new(DeadLetters::new(letters, held.lanes.clone(), again()));
    let make = move |_| BatchStage::new(LETTERS, BATCHES_AT_ONCE, Arc::clone(&sink));
    ChildSpec::stage("dead_letter", &addrs.dead_letter, make).shutdown(Shutdown::Infinity)
}

fn assign(
    config: &Config,
    addrs: &Addrs,
    (slot, observer): (&ConsumerSlot, &Arc<Observer>),
    held: &Held,
    (readers, credits, traced): (&Children, Credits, Traced),
) -> ChildSpec {
    let outlet: Outlet<Note> = Arc::new(CommitOutlet(addrs.commit.clone()));
    let limits = ReadLimits {
        records: config.kafka.max_poll_records,
        bytes: TURN_BYTES,
        ahead: config.flow.ahead_records,
    };
    let (stages, stall) = (addrs.clone(), config.flow.stall_timeout);
    let make_reader = move |assigned: Assigned<KafkaPartition>| {
        let args = ReaderArgs {
            partition: assigned.partition,
            standing: assigned.standing,
            open: assigned.records,
            opened_before: Arc::default(),
            lane: assigned.lane,
            limits,
            credits: credits.clone(),
            outlet: Arc::clone(&outlet),
            commit: stages.commit.clone(),
            write: stages.write.clone(),
            dead_letter: stages.dead_letter.clone(),
        };
        let watch = Watch::after(stall).pulse(args.lane.pulse());
        let name = assigned.partition.to_string();
        let addr = Addr::new("reader");
        ChildSpec::stage(name, &addr, move |epoch| {
            PartitionReader::new(args.clone(), epoch)
        })
        .restart(Restart::Permanent)
        .watch(watch)
    };
    let assignment = Assignment {
        readers: readers.clone(),
        make: Box::new(make_reader),
        commit: addrs.commit.clone(),
        write: addrs.write.clone(),
        dead_letter: addrs.dead_letter.clone(),
        // Two thirds of the session timeout at most: a member that takes longer is thrown out. One that
        // leaves has no other bound than the drain.
        pace: ReleasePace {
            stop: config.kafka.session_timeout / 12,
            settle: (config.kafka.session_timeout / 2).min(config.drain_timeout / 2),
            leave: config.drain_timeout / 2,
        },
        held: held.clone(),
    };
    let (topic, own): (Arc<str>, _) = (Arc::from(config.kafka.topic.as_str()), slot.clone());
    let prepare = move |consumer: &_, partition| {
        let (own, topic) = (own.clone(), Arc::clone(&topic));
        KafkaPartition::split(consumer, own, topic, partition, traced.clone())
    };
    let membership = Arc::new(KafkaMembership::new(
        config.kafka.clone(),
        (slot.clone(), Arc::clone(observer)),
        assignment,
        Box::new(prepare),
    ));
    let make = move |_| Assign::new(Arc::clone(&membership));
    ChildSpec::stage(MEMBERSHIP, &Addr::new(MEMBERSHIP), make).shutdown(Shutdown::Infinity)
}
