//! Random lives of supervisors: crashes, hangs, owned work, drains.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actors::testkit::{Callback, Fault, Faults, Probe, ProbeStage, Settlements, kill, until};
use actors::{
    Addr, ChildSpec, Children, Cost, Credits, Cx, Epoch, Exit, Failure, Intensity, Outcome,
    Position, Receipt, Stage, State, Strategy, SupervisorSpec, System, Watch,
};
use proptest::prelude::*;
use proptest::strategy::Strategy as Random;

use super::{Plan, config, plan, virtual_time};
use crate::support::{Do, Doer, Notes, SECOND, eager};

#[derive(Clone, Copy, Debug)]
enum What {
    Settle,
    /// In an owned task, after so many milliseconds.
    Later(u64),
    Keep,
    Fail,
    Panic,
    PanicOwned,
    Hang,
}

struct Job {
    what: What,
    receipt: Receipt,
}

/// Settles at once, later, or never by itself.
struct Clerk {
    kept: Vec<Receipt>,
    /// Receipts in the hands of owned tasks, of all clerks that ever were.
    owned: Arc<AtomicUsize>,
    /// Counts clerks.
    _alive: ProbeStage<()>,
}

impl Stage for Clerk {
    /// Absent: an owned task is done.
    type Msg = Option<Job>;

    async fn handle(&mut self, job: Option<Job>, cx: &mut Cx<Option<Job>>) -> Result<(), Failure> {
        let Some(Job { what, receipt }) = job else {
            return Ok(());
        };
        match what {
            What::Settle => receipt.settle(Outcome::Stored, None),
            What::Later(ms) => {
                self.owned.fetch_add(1, Ordering::SeqCst);
                let owned = Arc::clone(&self.owned);
                cx.spawn(async move {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    receipt.settle(Outcome::Stored, None);
                    owned.fetch_sub(1, Ordering::SeqCst);
                    None
                });
            }
            What::Keep => self.kept.push(receipt),
            What::Fail => return Err("asked to fail".into()),
            What::Panic => panic!("asked to panic"),
            What::PanicOwned => {
                self.owned.fetch_add(1, Ordering::SeqCst);
                let owned = Arc::clone(&self.owned);
                cx.spawn(async move {
                    drop(receipt);
                    owned.fetch_sub(1, Ordering::SeqCst);
                    panic!("asked to panic")
                });
            }
            What::Hang => std::future::pending().await,
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Op {
    Send(usize, What),
    Kill(usize),
    Later(u64),
}

fn ops() -> impl Random<Value = Vec<Op>> {
    let what = prop_oneof![
        4 => Just(What::Settle),
        4 => (0..3000u64).prop_map(What::Later),
        2 => Just(What::Keep),
        1 => Just(What::Fail),
        1 => Just(What::Panic),
        1 => Just(What::PanicOwned),
        1 => Just(What::Hang),
    ];
    let op = prop_oneof![
        4 => (any::<usize>(), what).prop_map(|(to, what)| Op::Send(to, what)),
        1 => any::<usize>().prop_map(Op::Kill),
        2 => (0..10u64).prop_map(Op::Later),
        1 => (500..1500u64).prop_map(Op::Later),
    ];
    proptest::collection::vec(op, 0..40)
}

const CALLBACKS: &[Callback] = &[
    Callback::Make,
    Callback::Started,
    Callback::Handle,
    Callback::Drained,
    Callback::Drop,
];

fn strategy(number: usize) -> Strategy {
    [
        Strategy::OneForOne,
        Strategy::RestForOne,
        Strategy::OneForAll,
    ][number]
}

/// What senders and clerks share.
struct Office {
    book: Settlements,
    credits: Credits,
    sent: u64,
}

impl Office {
    fn send(&mut self, to: &Addr<Option<Job>>, what: What) {
        let cost = Cost { count: 1, bytes: 7 };
        let Ok(permit) = self.credits.try_take(cost) else {
            return;
        };
        let position = Position {
            lane: 0,
            epoch: Epoch::next(),
            seq: self.sent,
        };
        self.sent += 1;
        let receipt = self.book.receipt(position, Some(permit));
        // What nobody takes is dropped here, and so settled as failed.
        drop(to.send(Some(Job { what, receipt })));
    }
}

async fn live(strategies: (usize, usize), ops: Vec<Op>, plan: Plan, patience: u32) {
    // Who fails leaves its owned work behind, which goes on beyond the drain.
    let calm = plan.is_empty()
        && ops.iter().all(|op| {
            let works = |what: &What| matches!(what, What::Settle | What::Later(_) | What::Keep);
            match op {
                Op::Send(_, what) => works(what),
                Op::Kill(_) => false,
                Op::Later(_) => true,
            }
        });
    let ids = ["a", "b", "c", "d"];
    let addrs = ids.map(Addr::new);
    let probes: [Probe<()>; 4] = Default::default();
    let faults = plan
        .iter()
        .fold(Faults::new(), |faults, (callback, nth, fault)| {
            faults.at(*callback, *nth, *fault)
        });
    let owned = Arc::<AtomicUsize>::default();
    let child = |at: usize| {
        let (probe, owned) = (probes[at].clone(), Arc::clone(&owned));
        let make = move |_| Clerk {
            kept: Vec::new(),
            owned: Arc::clone(&owned),
            _alive: probe.stage(),
        };
        faults
            .child(ids[at], &addrs[at], make)
            .start_within(2 * SECOND)
            .watch(Watch::after(4 * SECOND))
    };
    let inner = eager(strategy(strategies.1))
        .child(child(1))
        .child(child(2));
    let root = eager(strategy(strategies.0))
        .child(child(0))
        .child(ChildSpec::supervisor("inner", inner))
        .child(child(3));
    let limit = Cost {
        count: 12,
        bytes: 1000,
    };
    let mut office = Office {
        book: Settlements::new(),
        credits: Credits::new("office", limit),
        sent: 0,
    };
    if let Ok(system) = System::start("t", root).await {
        for op in ops {
            match op {
                Op::Send(to, what) => office.send(&addrs[to % 4], what),
                Op::Kill(at) => drop(kill(&addrs[at % 4])),
                Op::Later(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            }
            assert_eq!(
                office.credits.in_use().count,
                office.book.open(),
                "a credit for each that is not settled"
            );
        }
        let report = system.drain(SECOND * patience).await;
        assert!(report.took <= SECOND * (patience + 2), "{report:?}");
        let left = owned.load(Ordering::SeqCst);
        assert_eq!(
            office.book.open(),
            left,
            "unsettled after a drain, and in no owned task"
        );
        // Only who was killed or failed leaves owned work behind.
        assert!(left == 0 || !(calm && report.is_clean()), "{report:?}");
    }
    for probe in &probes {
        assert_eq!(probe.alive(), 0, "an orphan");
        assert!(probe.most_alive() <= 1, "two of one");
    }
    // Owned work of those who were killed goes on to its end.
    until("all is settled", || office.book.open() == 0).await;
    office.book.assert_each_once();
    assert_eq!(office.credits.in_use(), Cost::default());
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn a_tree_settles_all_once_leaves_no_orphan_and_never_has_two_of_one(
        strategies in (0..3usize, 0..3usize),
        ops in ops(),
        plan in plan(CALLBACKS, &[Fault::Hang], 6),
        patience in 0..5u32,
    ) {
        virtual_time(live(strategies, ops, plan, patience));
    }

    #[test]
    fn restarts_are_counted_exactly(
        number in 0..3usize,
        crashes in proptest::collection::vec((0..4usize, 0..5u8), 0..12),
    ) {
        virtual_time(async {
            // Under the root: a, the supervisor of b and c, and d.
            let addrs = ["a", "b", "c", "d"].map(Addr::<Do>::new);
            let notes = Notes::default();
            let child = |at: usize| Doer::child(["a", "b", "c", "d"][at], &addrs[at], &notes);
            let inner = eager(strategy(number)).child(child(1)).child(child(2));
            let root = eager(strategy(number))
                .child(child(0))
                .child(ChildSpec::supervisor("inner", inner))
                .child(child(3));
            let system = System::start("t", root).await.unwrap();
            let mut expected = [0u64; 4];
            for (at, how) in crashes {
                match how {
                    0 => assert!(kill(&addrs[at])),
                    1 => addrs[at].send(Do::Fail("broken")).unwrap(),
                    2 => addrs[at].send(Do::Panic("boom")).unwrap(),
                    3 => addrs[at].send(Do::PanicOwned("boom")).unwrap(),
                    _ => addrs[at].send(Do::Finish).unwrap(),
                }
                // A failure under `inner` stays there; one beside it may take `inner` along, which
                // then comes back with children that were never restarted.
                let (one, rest, all) = (number == 0, number == 1, number == 2);
                match at {
                    1 | 2 => for (sibling, count) in expected.iter_mut().enumerate() {
                        let along = rest && sibling > at || all;
                        *count += u64::from(matches!(sibling, 1 | 2) && (sibling == at || along));
                    },
                    _ => {
                        if all || rest && at == 0 {
                            expected[1..=2].fill(0);
                        }
                        expected[0] += u64::from(at == 0 || all);
                        expected[3] += u64::from(at == 3 || !one);
                    }
                }
                until("the round is over", || {
                    let tree = system.handle().tree();
                    let places = ["a", "inner/b", "inner/c", "d"];
                    places.iter().zip(expected).all(|(path, count)| {
                        tree.find(path).is_some_and(|child| child.restarts == count && child.state == State::Running)
                    })
                }).await;
                // Nothing more comes of it.
                tokio::time::sleep(SECOND).await;
                let tree = system.handle().tree();
                let counts = ["a", "inner/b", "inner/c", "d"].map(|path| tree.find(path).unwrap().restarts);
                assert_eq!(counts, expected);
            }
        });
    }
}

proptest! {
    #![proptest_config(config(200))]

    /// Children come and go at random; ids and epochs stay true.
    #[test]
    fn dynamic_children_are_one_of_a_kind(ops in proptest::collection::vec((0..4u8, 0..3usize, 0..3u64), 0..30)) {
        virtual_time(async {
            let (children, ids) = (Children::new(), ["a", "b", "c"]);
            let addrs = ids.map(Addr::<u8>::new);
            let probes: [Probe<u8>; 3] = Default::default();
            let system = System::start("t", SupervisorSpec::dynamic(&children)
                .intensity(Intensity { restarts: 1000, within: SECOND })).await.unwrap();
            let mut newest = None;
            for (op, at, wait) in ops {
                match op {
                    0 | 1 => {
                        let there = children.ids().iter().any(|id| id == ids[at]);
                        let started = children.start(probes[at].child(ids[at], &addrs[at])).await;
                        assert_eq!(started.is_err(), there);
                        if let Ok(epoch) = started {
                            assert!(newest.replace(epoch).is_none_or(|before| before < epoch));
                        }
                    }
                    2 => {
                        let there = children.ids().iter().any(|id| id == ids[at]);
                        assert_eq!(children.stop(ids[at], SECOND).await.is_ok(), there);
                        assert_eq!(probes[at].alive(), 0);
                    }
                    _ => {
                        kill(&addrs[at]);
                        tokio::time::sleep(Duration::from_millis(100 * wait)).await;
                    }
                }
                assert!(probes.iter().all(|probe| probe.most_alive() <= 1));
            }
            // Some fail in the drain, of a message they had; nobody is late.
            let report = system.drain(SECOND).await;
            assert!(report.laggards.is_empty() && report.exit == Exit::Drained, "{report:?}");
            assert!(probes.iter().all(|probe| probe.alive() == 0));
        });
    }
}
