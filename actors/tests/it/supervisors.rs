//! Supervisors themselves, killed or panicking half way through any of their acts: at their start, in
//! a round, in a drain; nested and as the root. Nobody is orphaned, nothing is lost.

use actors::testkit::{Callback, Fault, Faults, Probe, ProbeStage, Settlements, kill, until};
use actors::{
    Addr, ChildSpec, Cost, Credits, Cx, Epoch, Exit, Failure, Position, Receipt, Stage, Strategy,
    System,
};

use crate::support::{SECOND, eager};

/// Keeps what it is given.
struct Keeper {
    kept: Vec<Receipt>,
    _alive: ProbeStage<()>,
}

impl Stage for Keeper {
    type Msg = Receipt;

    async fn handle(&mut self, receipt: Receipt, _cx: &mut Cx<Receipt>) -> Result<(), Failure> {
        self.kept.push(receipt);
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Whose {
    Root,
    Inner,
}

/// Gives how many acts the supervisor came to.
async fn survive(whose: Whose, strategy: Strategy, nth: u64, fault: Fault) -> u64 {
    let case = format!("{whose:?} {strategy:?} {fault:?} at act {nth}");
    let ids = ["a", "b", "c", "d"];
    let addrs = ids.map(Addr::new);
    let probes: [Probe<()>; 4] = Default::default();
    let child = |at: usize| {
        let probe = probes[at].clone();
        ChildSpec::stage(ids[at], &addrs[at], move |_| Keeper {
            kept: Vec::new(),
            _alive: probe.stage(),
        })
    };
    let faults = Faults::new().at(Callback::Act, nth, fault);
    let mut inner = eager(strategy).child(child(1)).child(child(2));
    if whose == Whose::Inner {
        inner = faults.supervisor(inner);
    }
    let mut root = eager(strategy)
        .child(child(0))
        .child(ChildSpec::supervisor("inner", inner))
        .child(child(3));
    if whose == Whose::Root {
        root = faults.supervisor(root);
    }
    let credits = Credits::new(
        "t",
        Cost {
            count: 99,
            bytes: 99,
        },
    );
    let (book, mut seq) = (Settlements::new(), 0);
    let mut send = || {
        for addr in &addrs {
            let permit = credits.try_take(Cost { count: 1, bytes: 1 }).unwrap();
            let position = Position {
                lane: 0,
                epoch: Epoch::next(),
                seq,
            };
            seq += 1;
            drop(addr.send(book.receipt(position, Some(permit))));
        }
    };
    if let Ok(system) = System::start("t", root).await {
        for at in [1, 0] {
            send();
            kill(&addrs[at]);
            until(
                &format!("{case}: all are home, or the root is gone"),
                || {
                    let tree = system.handle().tree();
                    let home = ["a", "inner/b", "inner/c", "d"].iter().all(|path| {
                        tree.find(path)
                            .is_some_and(|child| child.state == actors::State::Running)
                    });
                    home || tree.state == actors::State::Ended
                },
            )
            .await;
        }
        send();
        let report = system.drain(5 * SECOND).await;
        assert!(report.took <= SECOND, "{case}: {report:?}");
        let broken = matches!(report.exit, Exit::KilledByOthers | Exit::Panicked(_));
        let drained = report.exit == Exit::Drained;
        assert!(
            drained || broken && whose == Whose::Root,
            "{case}: {report:?}"
        );
        assert!(
            drained || faults.calls(Callback::Act) >= nth,
            "{case}: {report:?}"
        );
    }
    for probe in &probes {
        assert_eq!(probe.alive(), 0, "{case}: an orphan");
        assert!(probe.most_alive() <= 1, "{case}: two of one");
    }
    assert_eq!(
        (book.open(), credits.in_use()),
        (0, Cost::default()),
        "{case}"
    );
    book.assert_each_once();
    faults.calls(Callback::Act)
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_broken_at_any_of_its_acts_leaves_no_orphan_and_loses_nothing() {
    let strategies = [
        Strategy::OneForOne,
        Strategy::RestForOne,
        Strategy::OneForAll,
    ];
    for strategy in strategies {
        for whose in [Whose::Root, Whose::Inner] {
            for fault in [Fault::Panic, Fault::Hang] {
                let mut nth = 1;
                // Until it is beyond the last one: every act had its turn.
                while survive(whose, strategy, nth, fault).await >= nth {
                    nth += 1;
                }
                assert!(nth > 6, "{whose:?} {strategy:?} {fault:?}: only {nth} acts");
            }
        }
    }
}
