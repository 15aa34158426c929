//! Ten million messages through a sink that is slower than everything before it: memory stays flat,
//! because the sender has to wait for its credits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::{
    Addr, BatchLimits, BatchMsg, BatchSink, BatchStage, ChildSpec, Cost, Credits, Delivery, Epoch,
    Outcome, Outlet, Receipt, Strategy, SupervisorSpec, System,
};

use crate::ours::{Done, ROOM, batch};
use crate::{BATCH, runtime};

const MESSAGES: u64 = 10_000_000;

/// Takes a while for every batch, as a database would: a million records a second at best, which is
/// less than anybody sends.
struct Slow;

impl BatchSink<Delivery<u64>> for Slow {
    async fn write(&self, batch: Vec<Delivery<u64>>) {
        tokio::time::sleep(Duration::from_millis(4)).await;
        Receipt::settle_all(
            batch
                .into_iter()
                .map(|delivery| (delivery.receipt, Outcome::Stored, None)),
        );
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or("0");
    line.trim()
        .trim_end_matches(" kB")
        .trim()
        .parse()
        .unwrap_or_default()
}

/// Whether memory stayed flat.
pub(crate) fn run() -> bool {
    runtime().block_on(async {
        let addr = Addr::new("write");
        let limits = BatchLimits {
            count: 2_000,
            bytes: 1 << 20,
            age: Duration::from_millis(20),
        };
        let sink = Arc::new(Slow);
        let child = ChildSpec::stage("write", &addr, move |_| {
            BatchStage::new(limits, 2, Arc::clone(&sink))
        });
        let spec = SupervisorSpec::new(Strategy::OneForOne).child(child);
        let system = System::start("bench", spec).await.unwrap();
        let credits = Credits::new(
            "bench",
            Cost {
                count: ROOM,
                bytes: ROOM * 8,
            },
        );
        let (done, finished) = Done::after(MESSAGES);
        let (outlet, epoch): (Outlet<()>, _) = (done, Epoch::next());
        let (mut early, mut peak, mut waited) = (0, 0, Duration::ZERO);
        let began = Instant::now();
        for number in 0..MESSAGES / BATCH as u64 {
            let is_full = credits.in_use().count + BATCH > ROOM;
            let asked = Instant::now();
            let batch = batch(&credits, &outlet, epoch, number).await;
            if is_full {
                waited += asked.elapsed();
            }
            addr.send(BatchMsg::Push(
                batch.into_iter().map(|delivery| (delivery, 8)).collect(),
            ))
            .unwrap();
            if number == 5_000 {
                early = resident_kib();
            }
            if number % 1_000 == 0 {
                peak = peak.max(resident_kib());
            }
        }
        finished.await.unwrap();
        let took = began.elapsed();
        let rate = MESSAGES as f64 / took.as_secs_f64() / 1e6;
        assert!(system.drain(Duration::from_secs(5)).await.is_clean());
        println!("ten million messages through a slow sink ({rate:.1} million a second):");
        println!("  resident after 5 % {early} KiB, at most {peak} KiB");
        // Otherwise the sink was not slow, and flat memory would be nothing to speak of.
        let share = waited.as_secs_f64() / took.as_secs_f64();
        println!(
            "  the sender waited for credit {:.0} % of the time",
            share * 100.0
        );
        let flat = early > 0 && peak <= early + 4096;
        let was_slow = share > 0.5;
        let word = match (flat, was_slow) {
            (false, _) => "GROWING",
            (true, false) => "flat, and the sink was TOO FAST to show it",
            (true, true) => "flat",
        };
        println!("  {word} (4 MiB of slack)\n");
        flat && was_slow
    })
}
