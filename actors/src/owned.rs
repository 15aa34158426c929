//! A side effect that is waited for no longer than it may take. In: work and a limit. Out: its result,
//! or why there is none.
//!
//! The work runs in a task of its own: whoever stops waiting, because the limit is over or because it
//! is dropped itself, leaves it to run to its end. A driver's future is never dropped half way.

use std::future::Future;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::guard::{catch, catch_now};

/// Why there is no result of owned work.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unanswered {
    /// It takes longer than this. It runs on unheard, and its result is dropped.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// It panicked, with this text.
    #[error("panicked: {0}")]
    Panicked(String),
    /// The runtime it ran on is shut down.
    #[error("ended without an answer: its runtime is gone")]
    Cancelled,
}

/// Runs a side effect in a task of its own that is never dropped half way, and waits for its result
/// no longer than `limit`. Inside a stage it belongs into [`Cx::spawn`](crate::Cx::spawn), so that the
/// stage does not wait for it.
///
/// # Errors
/// [`Unanswered`].
///
/// # Panics
/// Outside of a tokio runtime with time.
///
/// ```
/// use std::time::Duration;
/// use actors::{Unanswered, owned_within};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let second = Duration::from_secs(1);
/// assert_eq!(owned_within(second, async { 7 }).await, Ok(7));
/// let slow = tokio::time::sleep(2 * second);
/// assert_eq!(owned_within(second, slow).await, Err(Unanswered::Late(second)));
/// # }
/// ```
pub async fn owned_within<T: Send + 'static>(
    limit: Duration,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Unanswered> {
    answer(limit, tokio::spawn(catch(work))).await
}

/// The same without a limit, for one who may be dropped while it waits: what has not begun by then does
/// not begin any more.
pub(crate) async fn owned<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Unanswered> {
    let (waits, waited_for) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        if waits.is_closed() {
            return None;
        }
        Some(catch(work).await)
    });
    let answer = task.await;
    drop(waited_for);
    match answer {
        Ok(Some(answer)) => answer.map_err(Unanswered::Panicked),
        Ok(None) | Err(_) => Err(Unanswered::Cancelled),
    }
}

/// The same on a thread where blocking is allowed.
///
/// # Errors
/// [`Unanswered`].
///
/// # Panics
/// Outside of a tokio runtime with time.
pub async fn owned_blocking_within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unanswered> {
    let task = tokio::task::spawn_blocking(move || catch_now(work));
    answer(limit, task).await
}

async fn answer<T>(limit: Duration, task: JoinHandle<Result<T, String>>) -> Result<T, Unanswered> {
    match tokio::time::timeout(limit, task).await {
        Ok(Ok(answer)) => answer.map_err(Unanswered::Panicked),
        // Its panics are caught inside, and nobody aborts it.
        Ok(Err(_)) => Err(Unanswered::Cancelled),
        Err(_) => Err(Unanswered::Late(limit)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn work_that_nobody_waits_for_any_more_runs_to_its_end() {
        let [late, left] = [(), ()].map(|()| Arc::new(AtomicBool::new(false)));
        let work = |done: &Arc<AtomicBool>| {
            let done = Arc::clone(done);
            async move {
                tokio::time::sleep(2 * SECOND).await;
                done.store(true, Ordering::SeqCst);
            }
        };
        let waited = owned_within(SECOND, work(&late)).await;
        assert_eq!(waited, Err(Unanswered::Late(SECOND)));
        let dropped = tokio::time::timeout(SECOND, owned_within(9 * SECOND, work(&left))).await;
        assert!(dropped.is_err(), "who waited is gone");
        assert!(!left.load(Ordering::SeqCst));
        tokio::time::sleep(2 * SECOND).await;
        assert!(late.load(Ordering::SeqCst) && left.load(Ordering::SeqCst));
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_any_more_before_it_began_does_not_begin() {
        let began = Arc::new(AtomicBool::new(false));
        let mark = Arc::clone(&began);
        let work = async move { mark.store(true, Ordering::SeqCst) };
        let waited = tokio::time::timeout(Duration::ZERO, owned(work)).await;
        assert!(waited.is_err());
        tokio::time::sleep(SECOND).await;
        assert!(!began.load(Ordering::SeqCst));
        assert_eq!(owned(async { 7 }).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_told_as_such() {
        let plain = owned_within(SECOND, async { panic!("oh") }).await;
        assert_eq!(plain, Err::<(), _>(Unanswered::Panicked("oh".to_owned())));
        let blocking = owned_blocking_within(SECOND, || panic!("ah")).await;
        assert_eq!(
            blocking,
            Err::<(), _>(Unanswered::Panicked("ah".to_owned()))
        );
    }

    #[test]
    fn the_end_of_the_runtime_is_told_to_who_waits_on_another() {
        let gone = tokio::runtime::Runtime::new().expect("there are threads");
        let other = tokio::runtime::Runtime::new().expect("there are threads");
        let task = gone.spawn(catch(std::future::pending::<()>()));
        gone.shutdown_background();
        let told = other.block_on(answer(60 * SECOND, task));
        assert_eq!(told, Err(Unanswered::Cancelled));
    }
}
