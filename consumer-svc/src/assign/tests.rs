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
