//! What never passes, beside a writer and alone.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use actors::testkit::until;
use actors::{
    Addr, BatchLimits, BatchMsg, BatchStage, ChildSpec, Cost, Credits, Delivery, Epoch, Outcome,
    Outlet, Position, Settle, Settled, Strategy, SupervisorSpec, System,
};
use purchases::{Cents, Event, ItemName, Purchase, PurchaseId, Timestamp, UserId, Username};

use super::*;
use crate::document::PurchaseDocument;
use crate::flow::{Delivered, Incoming, Note, Origin, WriteMsg};
use crate::lane::Lanes;
use crate::lane::tests::patient;
use crate::write::{BatchWriter, WriteOutcome};

/// Takes everything but what is in the list, whatever it comes with.
#[derive(Clone, Default)]
struct Picky {
    never: Arc<Mutex<BTreeSet<PurchaseId>>>,
    asked: Arc<Mutex<Vec<usize>>>,
    /// What it answers for all of the next attempt.
    next: Arc<Mutex<Option<WriteOutcome>>>,
}

impl PurchaseStore for Picky {
    async fn store(&self, documents: &[PurchaseDocument]) -> Vec<WriteOutcome> {
        self.asked.lock().unwrap().push(documents.len());
        if let Some(next) = self.next.lock().unwrap().take() {
            return vec![next; documents.len()];
        }
        let never = self.never.lock().unwrap();
        let answer = |document: &PurchaseDocument| match never.contains(&document.id()) {
            true => WriteOutcome::NotYet("a code that nobody knows".to_owned()),
            false => WriteOutcome::Stored,
        };
        documents.iter().map(answer).collect()
    }
}

#[derive(Default)]
struct Books(Mutex<Vec<(u64, Outcome)>>);

impl Settle<Note> for Books {
    fn settled(&self, batch: Vec<Settled<Note>>) {
        let settled = batch.iter().map(|one| (one.position.seq, one.outcome));
        self.0.lock().unwrap().extend(settled);
    }
}

impl Books {
    fn are(&self, outcome: Outcome) -> BTreeSet<u64> {
        let books = self.0.lock().unwrap();
        let are = books.iter().filter(|(_, came)| *came == outcome);
        are.map(|(offset, _)| *offset).collect()
    }
}

fn id(offset: u64) -> PurchaseId {
    PurchaseId::from_bytes(std::array::from_fn(|at| match at {
        0..4 => offset.to_be_bytes()[at + 4],
        _ => 0,
    }))
}

fn delivery(offset: u64, epoch: Epoch, books: &Arc<Books>) -> Delivered {
    let outlet: Outlet<Note> = Arc::clone(books) as _;
    delivered(offset, epoch, &actors::Origin::new(outlet, None))
}

fn delivered(offset: u64, epoch: Epoch, of: &actors::Origin<Note>) -> Delivered {
    let event = Event {
        username: Username::parse("john").unwrap(),
        user_id: UserId::parse("u1").unwrap(),
        item_name: ItemName::parse("Laptop").unwrap(),
        price: Cents::new(99_999).unwrap(),
        timestamp: Timestamp::from_millis(0).unwrap(),
    };
    let origin = Origin {
        topic: Arc::from("purchases"),
        partition: 0,
        offset: i64::try_from(offset).unwrap(),
    };
    let position = Position {
        lane: 0,
        epoch,
        seq: offset,
    };
    Delivery {
        value: Incoming {
            purchase: Purchase::new(id(offset), event),
            origin,
            came_back: false,
            span: host::span::Span::none(),
        },
        receipt: of.receipt(position),
    }
}

/// Two writers of batches of ten, and the stage beside them.
struct Shop {
    system: System,
    store: Picky,
    lanes: Lanes,
    write: Addr<WriteMsg>,
    books: Arc<Books>,
}

impl Shop {
    async fn open(never: impl IntoIterator<Item = u64>) -> Self {
        let (store, lanes, books) = (Picky::default(), patient(), Arc::default());
        store
            .never
            .lock()
            .unwrap()
            .extend(never.into_iter().map(id));
        let attempts = Attempts::new(store.clone(), Addr::new("dead letters"), lanes.clone());
        let attempts = Arc::new(attempts);
        let (again, write) = (Addr::new("again"), Addr::new("write"));
        let writer = BatchWriter::new(Arc::clone(&attempts), again.clone(), Backoff::default());
        let sink = Arc::new(writer);
        let limits = BatchLimits {
            count: 10,
            bytes: 1 << 20,
            age: Duration::from_millis(1),
        };
        let make = move |_| WriteAgain::new(Arc::clone(&attempts), Backoff::default());
        let root = SupervisorSpec::new(Strategy::OneForOne)
            .child(ChildSpec::stage("again", &again, make))
            .child(ChildSpec::stage("write", &write, move |_| {
                BatchStage::new(limits, 2, Arc::clone(&sink))
            }));
        Self {
            system: System::start("shop", root).await.unwrap(),
            store,
            lanes,
            write,
            books,
        }
    }

    fn read(&self, epoch: Epoch, offsets: std::ops::Range<u64>) {
        let records = offsets.map(|offset| (delivery(offset, epoch, &self.books), 1));
        self.write.send(BatchMsg::Push(records.collect())).unwrap();
    }

    /// As a reader does: with a credit for all of them.
    async fn read_on_credit(&self, credits: &Credits, epoch: Epoch, offsets: std::ops::Range<u64>) {
        let count = usize::try_from(offsets.end - offsets.start).unwrap();
        let turn = Cost {
            count,
            bytes: count * 100,
        };
        let permit = credits.take(turn, Duration::from_secs(1)).await;
        let permit = permit.expect("there is a credit for a turn");
        let origin = actors::Origin::new(Arc::clone(&self.books) as _, Some(permit));
        let records = offsets.map(|offset| (delivered(offset, epoch, &origin), 1));
        self.write.send(BatchMsg::Push(records.collect())).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn batches_that_never_succeed_keep_no_writer_from_the_others() {
    // One in each of the first hundred batches, of which two are enough to keep both writers.
    let never: Vec<u64> = (0..100).map(|batch| batch * 10 + 3).collect();
    let shop = Shop::open(never.iter().copied()).await;
    shop.read(Epoch::next(), 0..2_000);
    let stored = || shop.books.are(Outcome::Stored).len();
    until("all others are stored", || stored() == 1_900).await;
    assert_eq!(shop.books.are(Outcome::Failed), BTreeSet::new());
    // They are tried together, and no oftener than their pauses let them.
    let before = shop.store.asked.lock().unwrap().len();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let asked = shop.store.asked.lock().unwrap()[before..].to_vec();
    assert!(
        asked.len() < 200 && asked.iter().all(|asked| *asked == 100),
        "{asked:?}"
    );
    // What passes in the end is stored.
    shop.store.never.lock().unwrap().clear();
    until("they are stored", || stored() == 2_000).await;
}

#[tokio::test(start_paused = true)]
async fn what_never_passes_keeps_its_own_credit_and_not_that_of_what_it_was_read_with() {
    // One in each of a hundred turns of twenty, of which ten are all the credit there is.
    let never: Vec<u64> = (0..100).map(|turn| turn * 20 + 3).collect();
    let shop = Shop::open(never.iter().copied()).await;
    let limit = Cost {
        count: 200,
        bytes: 200 * 1_000,
    };
    let (credits, epoch) = (Credits::new("in flight", limit), Epoch::next());
    for turn in 0..100 {
        let offsets = turn * 20..(turn + 1) * 20;
        shop.read_on_credit(&credits, epoch, offsets).await;
    }
    let stored = || shop.books.are(Outcome::Stored).len();
    until("all others are stored", || stored() == 1_900).await;
    until("a hundred are left", || credits.in_use().count == 100).await;
    let bytes = credits.in_use().bytes / 100;
    assert!((100..1_000).contains(&bytes), "{bytes} bytes each");
    shop.store.never.lock().unwrap().clear();
    until("they are stored", || stored() == 2_000).await;
    assert_eq!(credits.in_use(), Cost::default());
}

#[tokio::test(start_paused = true)]
async fn who_is_not_taken_once_does_not_wait_behind_thousands_that_never_pass() {
    let shop = Shop::open(0..5_000).await;
    shop.lanes.open(0);
    let epoch = Epoch::next();
    shop.read(epoch, 0..5_000);
    let asked = || shop.store.asked.lock().unwrap().clone();
    let all = |asked: &[usize]| asked.iter().sum::<usize>();
    // Until their pauses are long. Then they ask for no more than a chunk in five seconds.
    tokio::time::sleep(Duration::from_secs(600)).await;
    let before = asked().len();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let in_vain = all(&asked()[before..]);
    assert!((60_000..200_000).contains(&in_vain), "{in_vain}");
    shop.store.never.lock().unwrap().insert(id(5_003));
    shop.read(epoch, 5_000..5_010);
    let stored = || shop.books.are(Outcome::Stored).len();
    until("one is left", || stored() == 9).await;
    shop.store.never.lock().unwrap().remove(&id(5_003));
    let began = tokio::time::Instant::now();
    until("it is stored", || stored() == 10).await;
    let took = began.elapsed();
    assert!(took < Duration::from_millis(500), "{took:?}");
    // The others pass one after the other as soon as the first of them do.
    shop.store.never.lock().unwrap().clear();
    until("all are stored", || stored() == 5_010).await;
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_is_not_hurried_because_some_of_it_did_or_was_refused() {
    for (next, hurried) in [
        (WriteOutcome::Stored, 1),
        (WriteOutcome::Bad("no".to_owned()), 0),
    ] {
        let shop = Shop::open(0..5_000).await;
        shop.read(Epoch::next(), 0..5_000);
        tokio::time::sleep(Duration::from_secs(600)).await;
        let asked = || shop.store.asked.lock().unwrap().len();
        *shop.store.next.lock().unwrap() = Some(next);
        let before = asked();
        until("there is an attempt", || asked() > before).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let after = asked() - before - 1;
        assert_eq!(after, hurried);
        // They have their turns all the same.
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(
            (4..20).contains(&(asked() - before)),
            "{}",
            asked() - before
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_former_reader_left_is_not_tried_for_ever() {
    let shop = Shop::open([3]).await;
    let (lane, old, new) = (shop.lanes.open(0), Epoch::next(), Epoch::next());
    lane.begin(old);
    shop.read(old, 0..10);
    until("one is left", || shop.books.are(Outcome::Stored).len() == 9).await;
    lane.begin(new);
    until("it is given up", || {
        !shop.books.are(Outcome::Failed).is_empty()
    })
    .await;
    assert_eq!(shop.books.are(Outcome::Failed), BTreeSet::from([3]));
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_partition_that_others_have_is_not_tried_for_ever_nor_keeps_its_credit() {
    let shop = Shop::open([3]).await;
    let whole = Cost {
        count: 10,
        bytes: 1_000,
    };
    let (credits, epoch) = (Credits::new("in flight", whole), Epoch::next());
    shop.lanes.open(0).begin(epoch);
    shop.read_on_credit(&credits, epoch, 0..10).await;
    until("one is left", || credits.in_use().count == 1).await;
    // While it is being given back, somebody waits for it.
    shop.lanes.close(0);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(shop.books.are(Outcome::Failed), BTreeSet::new());
    shop.lanes.given_back(&[0], Epoch::next());
    until("it is given up", || credits.in_use() == Cost::default()).await;
    assert_eq!(shop.books.are(Outcome::Failed), BTreeSet::from([3]));
    // Read again, it is tried again.
    let new = Epoch::next();
    shop.lanes.open(0).begin(new);
    shop.read_on_credit(&credits, new, 0..10).await;
    until("it is left again", || credits.in_use().count == 1).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(credits.in_use().count, 1);
    shop.store.never.lock().unwrap().clear();
    until("it is stored", || credits.in_use() == Cost::default()).await;
}

#[tokio::test(start_paused = true)]
async fn what_never_passes_does_not_hold_up_the_end() {
    let shop = Shop::open([3]).await;
    shop.read(Epoch::next(), 0..10);
    until("one is left", || shop.books.are(Outcome::Stored).len() == 9).await;
    // Until the pauses are long, and at the beginning of one.
    tokio::time::sleep(Duration::from_secs(600)).await;
    let asked = || shop.store.asked.lock().unwrap().len();
    let before = asked();
    until("it is tried again", || asked() > before).await;
    let began = tokio::time::Instant::now();
    shop.system.drain(Duration::from_secs(60)).await;
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(shop.books.are(Outcome::Failed), BTreeSet::from([3]));
}
