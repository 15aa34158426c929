//! Work beside the stream, as a child of the tree: watching dependencies, creating indexes.
//!
//! In: a recipe for a future. Out: a supervised child that runs it. A panic in it is seen and
//! followed by another try; a drain ends it; where it comes to its end by itself, it stays there.
//! It must not hold anything that a drop half way would harm: what is under way is dropped.

use std::marker::PhantomData;
use std::sync::Arc;

use actors::{Addr, ChildSpec, Cx, Failure, Restart, Stage};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The work is over.
struct Over;

struct Errand<W, F> {
    work: Arc<W>,
    /// Also when the actor was killed: its successor begins anew.
    stop: Option<DropGuard>,
    future: PhantomData<fn() -> F>,
}

/// A child that does `work` once, and once more after each failure of it.
pub(super) fn errand<W, F>(id: &'static str, work: W) -> ChildSpec
where
    W: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let work = Arc::new(work);
    let make = move |_| Errand {
        work: Arc::clone(&work),
        stop: None,
        future: PhantomData,
    };
    ChildSpec::stage(id, &Addr::new(id), make).restart(Restart::Transient)
}

impl<W, F> Stage for Errand<W, F>
where
    W: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    type Msg = Over;

    async fn started(&mut self, cx: &mut Cx<Over>) -> Result<(), Failure> {
        let (stop, work) = (CancellationToken::new(), (self.work)());
        self.stop = Some(stop.clone().drop_guard());
        cx.spawn(async move {
            stop.run_until_cancelled_owned(work).await;
            Over
        });
        Ok(())
    }

    async fn handle(&mut self, Over: Over, cx: &mut Cx<Over>) -> Result<(), Failure> {
        cx.finish();
        Ok(())
    }

    async fn drained(&mut self, _: &mut Cx<Over>) -> Result<(), Failure> {
        self.stop = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use actors::testkit::until;
    use actors::{State, Strategy, SupervisorSpec, System};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn running(child: ChildSpec) -> System {
        let root = SupervisorSpec::new(Strategy::OneForOne).child(child);
        System::start("test", root).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_seen_and_the_work_is_begun_again_until_a_drain_ends_it() {
        let begun = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&begun);
        let system = running(errand("watch", move || {
            let first = count.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                assert!(!first, "planned panic");
                std::future::pending().await
            }
        }))
        .await;
        let place = || system.handle().tree().find("watch").unwrap().clone();
        until("it is restarted", || {
            place().restarts == 1 && place().state == State::Running
        })
        .await;
        let cause = place().last_cause.unwrap();
        assert_eq!(cause, "panicked: planned panic");
        assert_eq!(begun.load(Ordering::SeqCst), 2);
        assert!(system.drain(SECOND).await.is_clean());
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_done_is_not_begun_again() {
        let begun = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&begun);
        let system = running(errand("once", move || {
            count.fetch_add(1, Ordering::SeqCst);
            std::future::ready(())
        }))
        .await;
        let state = || system.handle().tree().find("once").unwrap().state;
        until("it is done", || state() == State::Ended).await;
        tokio::time::sleep(3600 * SECOND).await;
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        assert!(system.drain(SECOND).await.is_clean());
    }
}
