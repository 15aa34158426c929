//! Statistics against a recount of the collection, whatever was refused, sent back, read again, by
//! whichever version, and wherever the process ended between storing, saving and committing.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// A record of the log.
#[derive(Clone, Copy, Debug)]
enum Record {
    /// One of this purchase, which versions from this one on take.
    Purchase {
        id: u8,
        since: u8,
    },
    Tombstone,
}

/// What happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A record is written.
    Write(Record),
    /// The letter of a refused record is sent back, mended; of those there are, this one.
    SendBack(u8),
    /// So many records are read and settled, in an order that this decides.
    Read(u8, u64),
    /// The newest statistics are saved.
    Save,
    /// What is due is committed.
    Commit,
    /// The process ends in the middle: a record was inserted, and its answer never came.
    CrashAfterInsert,
    Crash,
    /// The group's offset is moved back by hand, while nobody reads, and this version runs from then on.
    MoveBack(u8, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let record = prop_oneof![
        6 => (0u8..40, 0u8..3).prop_map(|(id, since)| Record::Purchase { id, since }),
        1 => Just(Record::Tombstone),
    ];
    let step = prop_oneof![
        8 => record.prop_map(Step::Write),
        2 => any::<u8>().prop_map(Step::SendBack),
        8 => (1u8..9, any::<u64>()).prop_map(|(count, order)| Step::Read(count, order)),
        3 => Just(Step::Save),
        3 => Just(Step::Commit),
        1 => Just(Step::CrashAfterInsert),
        1 => Just(Step::Crash),
        2 => (any::<u8>(), 0u8..3).prop_map(|(back, version)| Step::MoveBack(back, version)),
    ];
    prop::collection::vec(step, 0..120)
}

/// The broker, the database, and one process.
struct World {
    log: Vec<Record>,
    /// The letters: where the refused record stood.
    letters: BTreeSet<u64>,
    /// Which record brought each document.
    documents: BTreeMap<u8, u64>,
    saved: Option<Tally>,
    committed: u64,
    version: u8,
    ledger: Ledger,
    epoch: Epoch,
    read: u64,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            log: Vec::new(),
            letters: BTreeSet::new(),
            documents: BTreeMap::new(),
            saved: None,
            committed: 0,
            version: 0,
            ledger: Ledger::default(),
            epoch: Epoch::next(),
            read: 0,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        (self.ledger, self.epoch) = (Ledger::default(), Epoch::next());
        let found = self.saved.clone();
        let opening = self.ledger.open(0, self.epoch, self.committed, found);
        assert_eq!(opening.skipped, 0);
        self.read = opening.next;
    }

    /// Stores a record, or letters it; and what its receipt says then.
    fn store(&mut self, offset: u64) -> Settled<Note> {
        match self.log[offset as usize] {
            Record::Tombstone => settled(0, self.epoch, offset, Outcome::Stored),
            Record::Purchase { since, .. } if since > self.version => {
                self.letters.insert(offset);
                settled(0, self.epoch, offset, Outcome::DeadLettered)
            }
            Record::Purchase { id, .. } => match *self.documents.entry(id).or_insert(offset) {
                first if first == offset => sold(0, self.epoch, offset),
                _ => settled(0, self.epoch, offset, Outcome::Stored),
            },
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write(record) => self.log.push(record),
            Step::SendBack(which) => {
                let letters: Vec<u64> = self.letters.iter().copied().collect();
                let Some(letter) = letters.get(usize::from(which) % letters.len().max(1)) else {
                    return;
                };
                if let Record::Purchase { id, .. } = self.log[*letter as usize] {
                    self.log.push(Record::Purchase { id, since: 0 });
                }
            }
            Step::Read(count, order) => {
                let end = (self.read + u64::from(count)).min(self.log.len() as u64);
                let offsets: Vec<u64> = (self.read..end).collect();
                for offset in &offsets {
                    assert!(self.ledger.admit(0, self.epoch, *offset));
                }
                let mut batch: Vec<Settled<Note>> =
                    offsets.iter().map(|offset| self.store(*offset)).collect();
                batch.sort_by_key(|one| order.rotate_left(one.position.seq as u32 * 7) & 0xff);
                self.ledger.settle(batch);
                self.read = end;
            }
            Step::Save => {
                for (_, tally) in self.ledger.unsaved() {
                    let reach = tally.reach();
                    assert!(
                        self.saved
                            .as_ref()
                            .is_none_or(|there| reach.covers(&there.reach()))
                    );
                    self.saved = Some(mongo_and_back(&tally));
                    self.ledger.saved(0, self.epoch, reach);
                }
            }
            Step::Commit => {
                let due = self.ledger.due();
                if let [(_, next)] = due[..] {
                    self.committed = next;
                }
                self.ledger.committed(&due);
            }
            Step::CrashAfterInsert => {
                if self.read < self.log.len() as u64 {
                    self.store(self.read);
                }
                self.begin();
            }
            Step::Crash => self.begin(),
            Step::MoveBack(back, version) => {
                // What a version stored, crashed before it had counted it, and an older one refuses is
                // counted once it is taken again. So an older one comes after one that counted all.
                if version < self.version {
                    self.step(Step::Read(u8::MAX, 0));
                    self.step(Step::Save);
                }
                self.committed = self.committed.saturating_sub(u64::from(back) % 60);
                self.version = version;
                self.begin();
            }
        }
    }
}

fn mongo_and_back(tally: &Tally) -> Tally {
    crate::tally::tests::stored_and_loaded(tally)
}

proptest! {
    #[test]
    fn statistics_are_a_recount_whatever_was_refused_and_read_again(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        // Everything is read to the end in peace.
        for step in [Step::Read(255, 0), Step::Save, Step::Commit] {
            world.step(step);
        }
        let tally = world.saved.as_ref().map(|tally| tally.counts().total.purchases);
        prop_assert_eq!(tally, Some(world.documents.len() as u64), "{:?}", world.log);
        prop_assert_eq!(world.committed, world.log.len() as u64);
    }
}
