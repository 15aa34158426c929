//! Who is taken for stuck while the database is slow: nobody who waits for his turn, and whose own attempt
//! never ends, however much the others are answered.

use actors::testkit::until;
use actors::{
    BatchLimits, BatchMsg, BatchStage, ChildSpec, Cx, Failure, Stage, Strategy, SupervisorSpec,
    System, Watch,
};

use super::*;
use crate::lane::Lane;
use crate::lane::tests::patient;

const SECOND: Duration = Duration::from_secs(1);

/// Answers a second after it was asked, but, if it hangs, never to what partition 1 asks.
#[derive(Default)]
struct Slow {
    hangs: bool,
}

impl PurchaseStore for Slow {
    async fn store(&self, documents: &[PurchaseDocument]) -> Vec<WriteOutcome> {
        let hung = |document: &PurchaseDocument| document.id() == PurchaseId::from_bytes([1; 12]);
        if self.hangs && documents.iter().any(hung) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(SECOND).await;
        vec![WriteOutcome::Stored; documents.len()]
    }
}

/// What commit does for a partition whose records are settled in order.
struct Passing(Lane);

impl Settle<Note> for Passing {
    fn settled(&self, batch: Vec<Settled<Note>>) {
        for settled in batch {
            self.0.passed(1, settled.position.seq + 1);
        }
    }
}

/// In place of a reader: it does nothing and is watched over.
struct Reader;

impl Stage for Reader {
    type Msg = ();

    async fn handle(&mut self, (): (), _: &mut Cx<()>) -> Result<(), Failure> {
        Ok(())
    }
}

struct Shop {
    system: System,
    lanes: Lanes,
    write: Addr<crate::flow::WriteMsg>,
    epoch: Epoch,
}

impl Shop {
    /// Two partitions, batches of ten, two at a time; three seconds without a sign of life are a stall.
    async fn open(store: Slow) -> Self {
        let (lanes, epoch, write) = (patient(), Epoch::next(), Addr::new("write"));
        let letters = Addr::new("dead letters");
        let sink = Arc::new(writer(store, letters, lanes.clone()));
        let limits = BatchLimits {
            count: 10,
            bytes: 1 << 20,
            age: Duration::from_millis(1),
        };
        let make = move |_| BatchStage::new(limits, 2, Arc::clone(&sink));
        let mut root =
            SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::stage("write", &write, make));
        for partition in [0, 1] {
            let lane = lanes.open(partition);
            lane.begin(epoch);
            let watch = Watch::only(lane.pulse(), 3 * SECOND);
            let reader = ChildSpec::stage(partition.to_string(), &Addr::new("reader"), |_| Reader);
            root = root.child(reader.watch(watch));
        }
        let system = System::start("shop", root).await.unwrap();
        Self {
            system,
            lanes,
            write,
            epoch,
        }
    }

    fn read(&self, partition: i32, offsets: std::ops::Range<u64>) {
        let lane = self.lanes.get(partition).unwrap();
        lane.admitted(offsets.end - offsets.start);
        let outlet: actors::Outlet<Note> = Arc::new(Passing(lane));
        let records = offsets.map(|offset| {
            let id = PurchaseId::from_bytes([partition as u8; 12]);
            let position = Position {
                lane: partition as u32,
                epoch: self.epoch,
                seq: offset,
            };
            let receipt = Receipt::new(position, Arc::clone(&outlet), None);
            (delivered(id, (partition, offset), receipt), 1)
        });
        self.write.send(BatchMsg::Push(records.collect())).unwrap();
    }

    fn pending(&self, partition: i32) -> u64 {
        self.lanes.get(partition).unwrap().pulse().pending()
    }

    fn restarts(&self) -> [u64; 2] {
        let tree = self.system.handle().tree();
        ["0", "1"].map(|reader| tree.find(reader).unwrap().restarts)
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_a_long_line_before_a_slow_database_is_not_stuck() {
    let shop = Shop::open(Slow::default()).await;
    shop.read(0, 0..1_000);
    shop.read(1, 0..1);
    let began = tokio::time::Instant::now();
    while shop.pending(1) > 0 {
        tokio::time::sleep(SECOND / 4).await;
        assert_eq!(shop.restarts(), [0, 0], "after {:?}", began.elapsed());
    }
    let waited = began.elapsed();
    assert!(waited > 40 * SECOND, "it waited for {waited:?} only");
}

#[tokio::test(start_paused = true)]
async fn whose_own_attempt_never_ends_is_stuck_whatever_the_others_are_answered() {
    let shop = Shop::open(Slow { hangs: true }).await;
    shop.read(1, 0..10);
    shop.read(0, 0..1_000);
    until("the stuck one is read again", || shop.restarts() == [0, 1]).await;
    assert!(shop.pending(0) > 0, "the others were still being answered");
}
