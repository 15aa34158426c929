//! Letters are delivered before they are settled.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::testkit::until;
use actors::{
    Addr, BatchLimits, BatchMsg, BatchStage, ChildSpec, Epoch, Position, Settle, Settled, Strategy,
    SupervisorSpec, System,
};
use tokio::time::Instant;

use super::*;
use crate::flow::Note;
use crate::lane::tests::patient;

/// Fails as often as it is told, then delivers.
#[derive(Default)]
struct Letters {
    failures: AtomicU32,
    tried: Mutex<Vec<Instant>>,
    delivered: Mutex<Vec<i64>>,
    letters: Mutex<Vec<BadRecord>>,
    under_way: AtomicU32,
    at_once: AtomicU32,
}

/// Not scattered: what is between two attempts can be told.
const BACKOFF: Backoff = Backoff {
    min: Duration::from_secs(1),
    max: Duration::from_secs(5),
    jitter: 0.0,
    reset_after: Duration::ZERO,
};

/// A log that cannot be read at first, and then has some of the records.
struct Log {
    failures: AtomicU32,
    records: Vec<(i64, Original)>,
}

impl Originals for Log {
    async fn read(&self, wanted: Vec<Origin>) -> Result<Vec<Option<Original>>, String> {
        let fail = |left: u32| left.checked_sub(1);
        let (order, failures) = (Ordering::SeqCst, &self.failures);
        if failures.fetch_update(order, order, fail).is_ok() {
            return Err("no broker".into());
        }
        let found = |origin: &Origin| {
            let record = self.records.iter().find(|(at, _)| *at == origin.offset)?;
            Some(record.1.clone())
        };
        Ok(wanted.iter().map(found).collect())
    }
}

fn empty() -> Log {
    Log {
        failures: AtomicU32::new(0),
        records: Vec::new(),
    }
}

impl LetterBox for Arc<Letters> {
    async fn deliver(&self, record: &BadRecord) -> Result<(), String> {
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.at_once.fetch_max(under_way, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        self.tried.lock().unwrap().push(Instant::now());
        let left = self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        if left.is_ok() {
            return Err("no broker".into());
        }
        self.delivered.lock().unwrap().push(record.origin.offset);
        self.letters.lock().unwrap().push(record.clone());
        Ok(())
    }
}

struct Books {
    letters: Arc<Letters>,
    settled: Mutex<Vec<Outcome>>,
}

impl Settle<Note> for Books {
    fn settled(&self, batch: Vec<Settled<Note>>) {
        for settled in batch {
            let delivered = self
                .letters
                .delivered
                .lock()
                .unwrap()
                .contains(&(settled.position.seq as i64));
            let is_failed = settled.outcome == Outcome::Failed;
            assert_ne!(
                delivered, is_failed,
                "settled before its letter was delivered"
            );
            self.settled.lock().unwrap().push(settled.outcome);
        }
    }
}

/// Letters that fail so many times before they are delivered.
fn failing(times: u32) -> (Arc<Letters>, Arc<Books>) {
    let letters = Arc::new(Letters {
        failures: AtomicU32::new(times),
        ..Letters::default()
    });
    let books = Arc::new(Books {
        letters: Arc::clone(&letters),
        settled: Mutex::default(),
    });
    (letters, books)
}

#[tokio::test(start_paused = true)]
async fn a_record_is_settled_only_after_its_letter_was_confirmed() {
    let (letters, books) = failing(25);
    let batch = (0..3).map(|offset| letter(offset, &books));
    let ports = (Arc::clone(&letters), empty());
    DeadLetters::new(ports, patient(), BACKOFF)
        .write(batch.collect())
        .await;
    assert_eq!(
        *books.settled.lock().unwrap(),
        vec![Outcome::DeadLettered; 3]
    );
}

#[tokio::test(start_paused = true)]
async fn attempts_on_a_letter_that_is_not_delivered_come_further_and_further_apart() {
    let (letters, books) = failing(5);
    let ports = (Arc::clone(&letters), empty());
    DeadLetters::new(ports, patient(), BACKOFF)
        .write(vec![letter(0, &books)])
        .await;
    let tried = letters.tried.lock().unwrap();
    let pauses: Vec<u64> = tried
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_secs())
        .collect();
    assert_eq!(pauses, [1, 2, 4, 5, 5]);
}

/// A bad record, whole.
fn letter(offset: i64, books: &Arc<Books>) -> Rejected {
    let record = BadRecord {
        came_back: false,
        original: Original {
            value: Some(b"?".to_vec()),
            ..Original::default()
        },
        reason: "not JSON".into(),
        origin: Origin {
            topic: Arc::from("purchases"),
            partition: 0,
            offset,
        },
    };
    let position = Position {
        lane: 0,
        epoch: Epoch::next(),
        seq: offset as u64,
    };
    let outlet: actors::Outlet<Note> = Arc::clone(books) as _;
    Rejected {
        value: Rejection::Record(record),
        receipt: Receipt::new(position, outlet, None),
        letter: None,
    }
}

/// A record whose document the database refused.
fn refused(partition: i32, offset: i64, books: &Arc<Books>) -> Rejected {
    let event = purchases::Event {
        username: purchases::Username::parse("john").unwrap(),
        user_id: purchases::UserId::parse("u1").unwrap(),
        item_name: purchases::ItemName::parse("Laptop").unwrap(),
        price: purchases::Cents::new(1).unwrap(),
        timestamp: purchases::Timestamp::from_millis(0).unwrap(),
    };
    let id = purchases::PurchaseId::from_bytes([1; 12]);
    let origin = Origin {
        topic: Arc::from("purchases"),
        partition,
        offset,
    };
    let position = Position {
        lane: partition as u32,
        epoch: Epoch::next(),
        seq: offset as u64,
    };
    let outlet: actors::Outlet<Note> = Arc::clone(books) as _;
    Rejected {
        value: Rejection::Document {
            incoming: Box::new(Incoming {
                purchase: purchases::Purchase::new(id, event),
                origin,
                came_back: offset == 10,
                span: host::span::Span::none(),
            }),
            reason: "no".into(),
        },
        receipt: Receipt::new(position, outlet, None),
        letter: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_that_is_refused_is_lettered_with_the_bytes_of_its_record() {
    let letters = Arc::new(Letters::default());
    let books = Arc::new(Books {
        letters: Arc::clone(&letters),
        settled: Mutex::default(),
    });
    let original = Original {
        key: None,
        value: Some(br#"{"price": 1, "and": "more"}"#.to_vec()),
        headers: vec![
            ("trace".into(), None),
            ("trace".into(), Some(b"2".to_vec())),
        ],
        time: purchases::Timestamp::from_millis(7),
    };
    let log = Log {
        failures: AtomicU32::new(3),
        records: vec![(8, original.clone())],
    };
    let refused = [8, 9, 10].map(|offset| refused(0, offset, &books));
    DeadLetters::new((Arc::clone(&letters), log), patient(), BACKOFF)
        .write(refused.into())
        .await;
    assert_eq!(
        *books.settled.lock().unwrap(),
        vec![Outcome::DeadLettered; 3]
    );
    let sent = letters.letters.lock().unwrap();
    let at = |offset| sent.iter().find(|letter| letter.origin.offset == offset);
    let (whole, gone) = (at(8).unwrap(), at(9).unwrap());
    assert_eq!((&whole.original, whole.reason.as_str()), (&original, "no"));
    assert!(
        gone.reason.contains("has the record no more"),
        "{}",
        gone.reason
    );
    assert_eq!(gone.original.key.as_deref(), Some(&b"u1"[..]));
    // Nor is it forgotten that a record came back, of which nothing else is left.
    let replay_of = |letter: &BadRecord| {
        let mut headers = letter.original.headers.iter();
        let found = headers.find(|(name, _)| name == wire::REPLAY_OF);
        found.and_then(|(_, place)| place.clone())
    };
    assert_eq!(replay_of(gone), None);
    let place = b"purchases/0/10".to_vec();
    assert_eq!(replay_of(at(10).unwrap()), Some(place));
}

/// Partition 1 is not read: its leader is away. Keeps how many ask at the same time.
#[derive(Clone, Default)]
struct WithoutLeader {
    asking: Arc<AtomicU32>,
    at_once: Arc<AtomicU32>,
}

impl Originals for WithoutLeader {
    async fn read(&self, wanted: Vec<Origin>) -> Result<Vec<Option<Original>>, String> {
        let asking = self.asking.fetch_add(1, Ordering::SeqCst) + 1;
        self.at_once.fetch_max(asking, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.asking.fetch_sub(1, Ordering::SeqCst);
        match wanted.iter().any(|origin| origin.partition == 1) {
            true => Err("no leader".into()),
            false => Ok(vec![None; wanted.len()]),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_cannot_be_read_again_keeps_no_other_from_its_letters() {
    let (letters, books) = failing(0);
    let batch = [(1, 3), (0, 4), (1, 5), (2, 6)];
    let batch = batch.map(|(partition, offset)| refused(partition, offset, &books));
    let ports = (Arc::clone(&letters), WithoutLeader::default());
    let writer = DeadLetters::new(ports, patient(), BACKOFF);
    let hour = Duration::from_secs(3600);
    let ended = tokio::time::timeout(hour, writer.write(batch.into())).await;
    assert!(ended.is_err(), "nobody has said what partition 1 holds");
    assert_eq!(*letters.delivered.lock().unwrap(), [4, 6]);
}

type Batch = fn(&Arc<Books>) -> Vec<Rejected>;

#[tokio::test(start_paused = true)]
async fn letters_that_cannot_be_written_are_given_up_once_others_have_their_partition() {
    let lanes = patient();
    let batches: [(u32, Batch); 2] = [
        // Neither are their letters taken nor, of partition 1, what they are made of.
        (u32::MAX, |books| vec![letter(3, books), letter(5, books)]),
        (0, |books| vec![refused(1, 3, books), refused(1, 5, books)]),
    ];
    for (failures, batch) in batches {
        let (letters, books) = failing(failures);
        let ports = (Arc::clone(&letters), WithoutLeader::default());
        let writer = DeadLetters::new(ports, lanes.clone(), BACKOFF);
        let mut writing = std::pin::pin!(writer.write(batch(&books)));
        let hour = Duration::from_secs(3600);
        let ended = tokio::time::timeout(hour, &mut writing).await;
        assert!(ended.is_err(), "somebody waits for them");
        lanes.given_back(&[0, 1], Epoch::next());
        let ended = tokio::time::timeout(BACKOFF.max, writing).await;
        assert!(ended.is_ok(), "nobody does");
        assert_eq!(*books.settled.lock().unwrap(), [Outcome::Failed; 2]);
        assert!(letters.delivered.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn however_many_letters_of_a_partition_wait_the_others_go_out_and_one_of_them_asks() {
    let (letters, books) = failing(0);
    let (log, addr) = (WithoutLeader::default(), Addr::new("dead letters"));
    let ports = (Arc::clone(&letters), log.clone());
    let sink = Arc::new(DeadLetters::new(ports, patient(), BACKOFF));
    let one_each = BatchLimits {
        count: 1,
        bytes: 1 << 20,
        age: Duration::from_millis(10),
    };
    let make = move |_| BatchStage::new(one_each, BATCHES_AT_ONCE, Arc::clone(&sink));
    let child = ChildSpec::stage("dead letters", &addr, make);
    let root = SupervisorSpec::new(Strategy::OneForOne).child(child);
    let _system = System::start("letters", root).await.unwrap();
    for offset in 0..500 {
        let refused = refused(1, offset, &books);
        addr.send(BatchMsg::Push(vec![(refused, 1)])).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let refused = refused(0, 1_000, &books);
    addr.send(BatchMsg::Push(vec![(refused, 1)])).unwrap();
    until("the other one is out", || {
        *letters.delivered.lock().unwrap() == [1_000]
    })
    .await;
    assert!(log.at_once.load(Ordering::SeqCst) <= 2);
}

#[tokio::test(start_paused = true)]
async fn no_more_letters_are_sent_at_once_than_the_client_sends_in_the_time_of_one() {
    let (letters, books) = failing(0);
    let ports = (Arc::clone(&letters), empty());
    let batch = (0..3 * LETTERS_AT_ONCE as i64).map(|offset| letter(offset, &books));
    DeadLetters::new(ports, patient(), BACKOFF)
        .write(batch.collect())
        .await;
    let at_once = letters.at_once.load(Ordering::SeqCst);
    assert_eq!(at_once as usize, LETTERS_AT_ONCE);
    assert_eq!(letters.delivered.lock().unwrap().len(), 3 * LETTERS_AT_ONCE);
}
