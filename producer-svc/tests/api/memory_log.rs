//! A log in memory: three partitions, reports at once or on command.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actors::Failure;
use bytes::Bytes;
use producer_svc::flow::BrokerReport;
use producer_svc::publish::{Addressed, InFlight, RecordLog, Reports, Unwritable};

const PARTITIONS: u64 = 3;

/// What the log does with a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Stores it and reports.
    #[default]
    Confirm,
    /// Keeps it, and the report, until told otherwise.
    Hold,
    /// The same, and gives nothing up in time.
    Stuck,
    /// Does not take it.
    Refuse,
    /// Takes it and reports that nobody knows.
    Lose,
    /// Stores it and reports a resend, of which it no longer knows the place.
    Resent,
}

/// A stored record.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) key: String,
    pub(crate) value: Bytes,
    pub(crate) headers: HashMap<String, Vec<u8>>,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

#[derive(Default)]
struct State {
    mode: Mode,
    away: bool,
    /// What it says is wrong with the topic.
    wrong: Option<String>,
    /// Why no producer can be made.
    spoilt: Option<String>,
    opened: usize,
    records: Vec<Record>,
    held: Vec<(Record, Box<InFlight>)>,
    lost: Vec<Record>,
    reports: Option<Reports>,
}

/// The broker that outlives its producers; clones are one thing.
#[derive(Clone, Default)]
pub(crate) struct MemoryBroker(Arc<Mutex<State>>);

/// One producer towards it.
pub(crate) struct MemoryLog(MemoryBroker);

impl MemoryBroker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn open(&self, reports: Reports) -> Result<MemoryLog, Failure> {
        let mut state = self.state();
        if let Some(why) = &state.spoilt {
            return Err(why.clone().into());
        }
        state.opened += 1;
        state.reports = Some(reports);
        Ok(MemoryLog(self.clone()))
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.state().mode = mode;
    }

    pub(crate) fn away(&self, away: bool) {
        self.state().away = away;
    }

    pub(crate) fn finds_wrong(&self, why: &str) {
        self.state().wrong = Some(why.to_owned());
    }

    /// Whether producers can be made.
    pub(crate) fn spoilt(&self, why: Option<&str>) {
        self.state().spoilt = why.map(str::to_owned);
    }

    /// How many producers there were.
    pub(crate) fn opened(&self) -> usize {
        self.state().opened
    }

    pub(crate) fn held(&self) -> usize {
        self.state().held.len()
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.state().records.clone()
    }

    /// What was taken and is lost, or is not: nobody knows.
    pub(crate) fn lost(&self) -> Vec<Record> {
        self.state().lost.clone()
    }

    /// Stores what is held, and reports it.
    pub(crate) fn release(&self) {
        let held = {
            let mut state = self.state();
            state.mode = Mode::Confirm;
            std::mem::take(&mut state.held)
        };
        for (record, waiting) in held {
            self.store(record, *waiting);
        }
    }

    /// Refuses everything that is held as too large to go together, unless it is no more than this. It
    /// goes on holding what comes.
    pub(crate) fn release_up_to(&self, most: usize) {
        let held = std::mem::take(&mut self.state().held);
        let fits = held.len() <= most;
        for (record, waiting) in held {
            if fits {
                self.store(record, *waiting);
                continue;
            }
            let headers = record.headers.into_iter().collect();
            waiting.too_large("too large".to_owned(), || (record.key, headers));
        }
    }

    /// Stores the one that is held longest, and reports it.
    pub(crate) fn release_first(&self) {
        let first = {
            let mut state = self.state();
            (!state.held.is_empty()).then(|| state.held.remove(0))
        };
        if let Some((record, waiting)) = first {
            self.store(record, *waiting);
        }
    }

    /// The producer reports about itself.
    pub(crate) fn report(&self, report: BrokerReport) {
        let state = self.state();
        state.reports.as_ref().expect("a producer is open")(report);
    }

    fn store(&self, mut record: Record, waiting: InFlight) {
        let (partition, offset) = {
            let mut state = self.state();
            record.offset = state
                .records
                .iter()
                .filter(|other| other.partition == record.partition)
                .count() as i64;
            let place = (record.partition, record.offset);
            state.records.push(record);
            place
        };
        waiting.stored(partition, Some(offset));
    }
}

impl RecordLog for MemoryLog {
    fn append(
        &self,
        to: &Addressed<'_>,
        waiting: Box<InFlight>,
    ) -> Result<(), (String, Box<InFlight>)> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(to.key);
        let record = Record {
            key: to.key.to_owned(),
            value: Bytes::copy_from_slice(to.value),
            headers: to
                .headers
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_vec()))
                .collect(),
            partition: (hash % PARTITIONS) as i32,
            offset: -1,
        };
        let mode = self.0.state().mode;
        match mode {
            Mode::Confirm => self.0.store(record, *waiting),
            Mode::Hold | Mode::Stuck => self.0.state().held.push((record, waiting)),
            Mode::Refuse => return Err(("the queue is full".to_owned(), waiting)),
            Mode::Lose => {
                self.0.state().lost.push(record);
                waiting.unknown("timed out".to_owned());
            }
            Mode::Resent => {
                let partition = record.partition;
                self.0.state().records.push(record);
                waiting.stored(partition, None);
            }
        }
        Ok(())
    }

    /// The number in the user's name: who waits behind whom is the test's choice.
    fn lane(&self, key: &str) -> usize {
        key.rsplit('_')
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or(0)
    }

    fn probe(&self) -> Result<(), Unwritable> {
        let state = self.0.state();
        if state.away {
            return Err(Unwritable::Unanswered("connection refused".to_owned()));
        }
        let wrong = state.wrong.clone().map(Unwritable::Told);
        wrong.map_or(Ok(()), Err)
    }

    fn flush(&self, within: Duration) -> usize {
        let mut until = Instant::now() + within;
        if self.0.state().mode == Mode::Stuck {
            until += Duration::from_secs(2);
        }
        loop {
            let left = self.0.held();
            if left == 0 || Instant::now() >= until {
                return left;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    fn retire(&self, within: Duration) -> usize {
        self.flush(within)
    }
}

impl Drop for MemoryLog {
    /// A producer that is dropped knows nothing of what it had not reported.
    fn drop(&mut self) {
        let held = std::mem::take(&mut self.0.state().held);
        for (_, waiting) in held {
            waiting.unknown("purged".to_owned());
        }
    }
}
