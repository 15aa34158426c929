//! The batch writer against a store that answers from a script.

mod line;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::{Delivery, Epoch, Position, Settle, Settled};
use purchases::{Cents, Event, ItemName, Purchase, PurchaseId, Timestamp, UserId, Username};

use super::*;
use crate::flow::{Incoming, Note, Origin};

struct Script {
    answers: Mutex<VecDeque<Vec<WriteOutcome>>>,
    calls: Mutex<Vec<Vec<PurchaseId>>>,
}

impl PurchaseStore for Arc<Script> {
    async fn store(&self, documents: &[PurchaseDocument]) -> Vec<WriteOutcome> {
        self.calls
            .lock()
            .unwrap()
            .push(documents.iter().map(PurchaseDocument::id).collect());
        let answer = self.answers.lock().unwrap().pop_front();
        answer.unwrap_or_else(|| vec![WriteOutcome::Stored; documents.len()])
    }
}

#[derive(Default)]
struct Books(Mutex<Vec<(u64, Outcome)>>, Mutex<Vec<Option<Sale>>>);

impl Settle<Note> for Books {
    fn settled(&self, batch: Vec<Settled<Note>>) {
        for settled in batch {
            self.0
                .lock()
                .unwrap()
                .push((settled.position.seq, settled.outcome));
            self.1.lock().unwrap().push(settled.note);
        }
    }
}

fn delivery(offset: u64, books: &Arc<Books>) -> Delivered {
    let id = PurchaseId::from_bytes([offset as u8; 12]);
    let position = Position {
        lane: 0,
        epoch: Epoch::next(),
        seq: offset,
    };
    let outlet: actors::Outlet<Note> = Arc::clone(books) as _;
    delivered(id, (0, offset), Receipt::new(position, outlet, None))
}

fn delivered(id: PurchaseId, (partition, offset): (i32, u64), receipt: Receipt<Note>) -> Delivered {
    let event = Event {
        username: Username::parse("john").unwrap(),
        user_id: UserId::parse("u1").unwrap(),
        item_name: ItemName::parse("Laptop").unwrap(),
        price: Cents::new(99_999).unwrap(),
        timestamp: Timestamp::from_millis(0).unwrap(),
    };
    let purchase = Purchase::new(id, event);
    let origin = Origin {
        topic: Arc::from("purchases"),
        partition,
        offset: offset as i64,
    };
    Delivery {
        value: Incoming {
            purchase,
            origin,
            came_back: false,
            span: host::span::Span::none(),
        },
        receipt,
    }
}

fn writer<S: PurchaseStore>(
    store: S,
    dead_letter: Addr<DeadLetterMsg>,
    lanes: Lanes,
) -> BatchWriter<S> {
    let attempts = Arc::new(Attempts::new(store, dead_letter, lanes));
    BatchWriter::new(attempts, Addr::new("again"), Backoff::default())
}

async fn written(answers: Vec<Vec<WriteOutcome>>, count: u64) -> (Vec<(u64, Outcome)>, Vec<usize>) {
    let (books, calls) = written_to_books(answers, count).await;
    let settled = books.0.lock().unwrap().clone();
    (settled, calls)
}

async fn written_to_books(answers: Vec<Vec<WriteOutcome>>, count: u64) -> (Arc<Books>, Vec<usize>) {
    let script = Arc::new(Script {
        answers: Mutex::new(answers.into()),
        calls: Mutex::default(),
    });
    let books = Arc::new(Books::default());
    let lanes = crate::lane::tests::patient();
    let writer = writer(Arc::clone(&script), Addr::new("dead letters"), lanes);
    writer
        .write((0..count).map(|offset| delivery(offset, &books)).collect())
        .await;
    let calls = script.calls.lock().unwrap().iter().map(Vec::len).collect();
    (books, calls)
}

#[tokio::test(start_paused = true)]
async fn stored_and_known_records_are_settled_as_stored() {
    let known = vec![WriteOutcome::Stored, redelivered(0), WriteOutcome::Repeated];
    let (settled, _) = written(vec![known], 3).await;
    assert_eq!(
        settled,
        (0..3)
            .map(|offset| (offset, Outcome::Stored))
            .collect::<Vec<_>>()
    );
}

fn redelivered(millis: i64) -> WriteOutcome {
    WriteOutcome::Redelivered(Timestamp::from_millis(millis).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_sale_is_contributed_by_the_record_that_was_stored_first_and_by_no_other() {
    let answers = vec![vec![
        WriteOutcome::Stored,
        redelivered(-7),
        WriteOutcome::Repeated,
    ]];
    let (books, _) = written_to_books(answers, 3).await;
    let sales = books.1.lock().unwrap();
    let stored = sales[0].as_ref().expect("the first contributes");
    assert_eq!((stored.price.get(), stored.at.as_millis()), (99_999, 0));
    // The moment is never later than that of the first storing, which is what every fold finds.
    let again = sales[1]
        .as_ref()
        .expect("redelivered, it contributes again");
    assert_eq!(again.at.as_millis(), -7);
    assert_eq!(sales[2], None);
}

#[tokio::test(start_paused = true)]
async fn only_the_records_that_were_not_taken_are_written_again() {
    let retry = || WriteOutcome::Retry("busy".into());
    let answers = vec![
        vec![retry(), WriteOutcome::Stored, retry()],
        vec![redelivered(0), retry()],
        vec![WriteOutcome::Stored],
    ];
    let (settled, calls) = written(answers, 3).await;
    assert_eq!(calls, vec![3, 2, 1]);
    assert_eq!(
        settled,
        vec![
            (1, Outcome::Stored),
            (0, Outcome::Stored),
            (2, Outcome::Stored)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_down_for_long_loses_nothing() {
    let answers = (0..500)
        .map(|_| vec![WriteOutcome::Retry("down".into()); 2])
        .collect();
    let (settled, calls) = written(answers, 2).await;
    assert_eq!((settled.len(), calls.len()), (2, 501));
}

#[tokio::test(start_paused = true)]
async fn where_nothing_passes_nobody_goes_on_for_partitions_that_others_have() {
    let down = vec![WriteOutcome::Retry("down".into()); 2];
    let script = Arc::new(Script {
        answers: Mutex::new(vec![down; 10_000].into()),
        calls: Mutex::default(),
    });
    let (books, lanes) = (Arc::new(Books::default()), crate::lane::tests::patient());
    let writer = writer(
        Arc::clone(&script),
        Addr::new("dead letters"),
        lanes.clone(),
    );
    let batch = (0..2).map(|offset| delivery(offset, &books)).collect();
    let mut writing = std::pin::pin!(writer.write(batch));
    let hour = Duration::from_secs(3600);
    let ended = tokio::time::timeout(hour, &mut writing).await;
    assert!(ended.is_err(), "somebody waits for them");
    lanes.given_back(&[0], Epoch::next());
    let longest = Backoff::default().max * 2;
    let ended = tokio::time::timeout(longest, writing).await;
    assert!(ended.is_ok(), "nobody does");
    let settled = books.0.lock().unwrap().clone();
    assert_eq!(settled, [(0, Outcome::Failed), (1, Outcome::Failed)]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_record_without_a_dead_letter_stage_is_failed_and_not_stored() {
    let (settled, _) = written(
        vec![vec![WriteOutcome::Bad("no".into()), WriteOutcome::Stored]],
        2,
    )
    .await;
    assert_eq!(settled, vec![(1, Outcome::Stored), (0, Outcome::Failed)]);
}

#[tokio::test(start_paused = true)]
async fn refusals_in_a_row_stop_their_partition_and_what_is_behind_is_not_given_up() {
    let bad = || WriteOutcome::Bad("no".into());
    let script = Arc::new(Script {
        answers: Mutex::new(vec![vec![bad(), WriteOutcome::Stored, bad(), bad(), bad()]].into()),
        calls: Mutex::default(),
    });
    let (books, lanes) = (Arc::new(Books::default()), crate::lane::tests::strict(2));
    let lane = lanes.open(0);
    let letters = Letters::default();
    let dead_letter = Addr::new("dead letters");
    let sink = letters.clone();
    let stage = actors::ChildSpec::stage("dead", &dead_letter, move |_| sink.clone());
    let root = actors::SupervisorSpec::new(actors::Strategy::OneForOne).child(stage);
    let system = actors::System::start("test", root).await.unwrap();
    writer(Arc::clone(&script), dead_letter, lanes)
        .write((0..5).map(|offset| delivery(offset, &books)).collect())
        .await;
    system.drain(Duration::from_secs(5)).await;
    // 0 is alone; 2 begins a run of two, whose second is one too many.
    assert_eq!(*letters.0.lock().unwrap(), vec![0, 2]);
    let settled = books.0.lock().unwrap().clone();
    let failed: Vec<u64> = settled
        .iter()
        .filter(|(_, outcome)| *outcome == Outcome::Failed)
        .map(|(offset, _)| *offset)
        .collect();
    assert_eq!(failed, vec![3, 4]);
    let reason = &lane.halted().unwrap().reason;
    assert!(reason.contains("offset 3"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn what_came_back_and_is_refused_again_stops_nothing() {
    let bad = || WriteOutcome::Bad("no".into());
    let (books, lanes) = (Arc::new(Books::default()), crate::lane::tests::strict(2));
    let lane = lanes.open(0);
    let script = Arc::new(Script {
        answers: Mutex::new(vec![vec![bad(), bad(), bad()]].into()),
        calls: Mutex::default(),
    });
    let letters = Letters::default();
    let dead_letter = Addr::new("dead letters");
    let sink = letters.clone();
    let stage = actors::ChildSpec::stage("dead", &dead_letter, move |_| sink.clone());
    let root = actors::SupervisorSpec::new(actors::Strategy::OneForOne).child(stage);
    let system = actors::System::start("test", root).await.unwrap();
    let mut batch: Vec<_> = (0..3).map(|offset| delivery(offset, &books)).collect();
    for delivery in &mut batch[..2] {
        delivery.value.came_back = true;
    }
    writer(script, dead_letter, lanes).write(batch).await;
    system.drain(Duration::from_secs(5)).await;
    assert_eq!(*letters.0.lock().unwrap(), vec![0, 1, 2]);
    assert!(lane.halted().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_refused_record_keeps_its_own_credit_and_not_that_of_what_it_was_read_with() {
    let (stored, bad) = (WriteOutcome::Stored, WriteOutcome::Bad("no".into()));
    let script = Arc::new(Script {
        answers: Mutex::new(vec![vec![stored.clone(), bad, stored]].into()),
        calls: Mutex::default(),
    });
    // Nobody has got round to the letter yet.
    let (letters, kept) = (Addr::new("dead letters"), Kept::default());
    let stage = kept.clone();
    let stage = actors::ChildSpec::stage("dead", &letters, move |_| stage.clone());
    let root = actors::SupervisorSpec::new(actors::Strategy::OneForOne).child(stage);
    let _system = actors::System::start("test", root).await.unwrap();
    let whole = Cost {
        count: 3,
        bytes: 3_000,
    };
    let credits = actors::Credits::new("in flight", whole);
    let (books, epoch) = (Arc::new(Books::default()), Epoch::next());
    let permit = credits.try_take(whole).unwrap();
    let origin = actors::Origin::new(Arc::clone(&books) as _, Some(permit));
    let at = |seq| Position {
        lane: 0,
        epoch,
        seq,
    };
    let turn = [0, 1, 2].map(|offset| {
        let id = PurchaseId::from_bytes([offset as u8; 12]);
        delivered(id, (0, offset), origin.receipt(at(offset)))
    });
    drop(origin);
    let lanes = crate::lane::tests::patient();
    writer(script, letters, lanes).write(turn.into()).await;
    actors::testkit::until("it is kept", || kept.0.lock().unwrap().len() == 1).await;
    let one = Cost {
        count: 1,
        bytes: LETTER_BYTES,
    };
    assert_eq!(credits.in_use(), one);
    kept.0.lock().unwrap().clear();
    assert_eq!(credits.in_use(), Cost::default());
}

/// Keeps letters.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Rejected>>>);

impl actors::Stage for Kept {
    type Msg = DeadLetterMsg;

    async fn handle(
        &mut self,
        msg: DeadLetterMsg,
        _: &mut actors::Cx<DeadLetterMsg>,
    ) -> Result<(), actors::Failure> {
        if let DeadLetterMsg::Push(letters) = msg {
            let letters = letters.into_iter().map(|(letter, _)| letter);
            self.0.lock().unwrap().extend(letters);
        }
        Ok(())
    }
}

/// Takes letters without a batch.
#[derive(Clone, Default)]
struct Letters(Arc<Mutex<Vec<i64>>>);

impl actors::Stage for Letters {
    type Msg = DeadLetterMsg;

    async fn handle(
        &mut self,
        msg: DeadLetterMsg,
        _: &mut actors::Cx<DeadLetterMsg>,
    ) -> Result<(), actors::Failure> {
        if let DeadLetterMsg::Push(letters) = msg {
            for (Rejected { value, receipt, .. }, _) in letters {
                self.0.lock().unwrap().push(value.origin().offset);
                receipt.settle(Outcome::DeadLettered, None);
            }
        }
        Ok(())
    }
}
