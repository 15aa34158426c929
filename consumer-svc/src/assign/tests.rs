//! The assignment stage against a membership that ends as it is told.

use std::sync::atomic::{AtomicUsize, Ordering};

use actors::{Addr, ChildSpec, Exit, Intensity, Strategy, SupervisorSpec, System};
use tokio::sync::Notify;

use super::*;

#[derive(Default)]
struct Group {
    joined: AtomicUsize,
    left: AtomicUsize,
    leave: Notify,
    broken: Notify,
}

impl Membership for Group {
    async fn run(self: Arc<Self>) -> Result<(), String> {
        self.joined.fetch_add(1, Ordering::SeqCst);
        tokio::select! {
            () = self.leave.notified() => {
                self.left.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
            () = self.broken.notified() => Err("fenced".into()),
        }
    }

    fn leave(&self) {
        self.leave.notify_waiters();
    }
}

async fn start(group: &Arc<Group>) -> System {
    let group = Arc::clone(group);
    let child = ChildSpec::stage("assign", &Addr::new("assign"), move |_| {
        Assign::new(Arc::clone(&group))
    });
    let root = SupervisorSpec::new(Strategy::OneForOne)
        .intensity(Intensity {
            restarts: 2,
            within: Duration::from_secs(60),
        })
        .child(child);
    System::start("test", root).await.unwrap()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn draining_leaves_the_group_and_waits_for_it() {
    let group = Arc::new(Group::default());
    let system = start(&group).await;
    until("joined", || group.joined.load(Ordering::SeqCst) == 1).await;
    let report = system.drain(Duration::from_secs(10)).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(group.left.load(Ordering::SeqCst), 1);
}

/// Settles, in its drain, what it was given before: it must get the time also where the membership broke.
struct Writer {
    settled: Arc<AtomicUsize>,
}

impl Stage for Writer {
    type Msg = ();

    async fn handle(&mut self, (): (), _: &mut Cx<()>) -> Result<(), Failure> {
        Ok(())
    }

    async fn drained(&mut self, cx: &mut Cx<()>) -> Result<(), Failure> {
        let settled = Arc::clone(&self.settled);
        cx.spawn(async move {
            tokio::task::yield_now().await;
            settled.fetch_add(1, Ordering::SeqCst);
        });
        Ok(())
    }
}

/// The moments around the order to drain at which the membership breaks: so many turns of the runtime
/// before it, or after.
const MOMENTS: std::ops::Range<i32> = -30..30;

#[tokio::test]
async fn a_membership_that_breaks_at_the_moment_of_a_drain_keeps_nobody_from_draining() {
    let (mut failed, mut left) = (0, 0);
    for moment in MOMENTS {
        let (group, settled) = (Arc::new(Group::default()), Arc::<AtomicUsize>::default());
        let (member, counter) = (Arc::clone(&group), Arc::clone(&settled));
        let writer = ChildSpec::stage("write", &Addr::new("write"), move |_| Writer {
            settled: Arc::clone(&counter),
        });
        let assign = ChildSpec::stage("assign", &Addr::new("assign"), move |_| {
            Assign::new(Arc::clone(&member))
        });
        let root = SupervisorSpec::new(Strategy::RestForOne)
            .child(writer)
            .child(assign);
        let system = System::start("test", root).await.unwrap();
        until("joined", || group.joined.load(Ordering::SeqCst) == 1).await;
        let pass = async |turns: i32| {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        };
        let (report, ()) = tokio::join!(
            async {
                pass(-moment).await;
                system.drain(Duration::from_secs(10)).await
            },
            async {
                pass(moment).await;
                group.broken.notify_one();
            }
        );
        assert!(report.laggards.is_empty(), "{moment}: {report:?}");
        assert_eq!(report.exit, Exit::Drained, "{moment}: {report:?}");
        assert_eq!(settled.load(Ordering::SeqCst), 1, "{moment}: {report:?}");
        for casualty in &report.failed {
            // What the process takes for no failure where everything was given back.
            assert_eq!(casualty.path, "test/assign", "{moment}");
            assert_eq!(casualty.exit, Exit::Failed("fenced".into()), "{moment}");
        }
        failed += report.failed.len();
        left += group.left.load(Ordering::SeqCst);
    }
    assert!(failed > 0 && left > 0, "{failed} broke, {left} left");
}

#[tokio::test]
async fn a_membership_that_breaks_is_joined_again_and_in_the_end_given_up() {
    let group = Arc::new(Group::default());
    let system = start(&group).await;
    for times in 1..=3 {
        until("joined", || group.joined.load(Ordering::SeqCst) == times).await;
        // The waiter may not be registered yet; a stored permit reaches it either way.
        group.broken.notify_one();
    }
    let exit = system.ended().await;
    assert!(
        matches!(exit, Exit::MeltedDown(ref cause) if cause.contains("fenced")),
        "{exit:?}"
    );
}
