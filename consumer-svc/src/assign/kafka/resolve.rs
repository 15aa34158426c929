//! Asking once, for so long and no longer than this member stays.
//!
//! In: a question that blocks. Out: its answer; or that there was none in time, or that the member is to
//! leave. It knows no client: who leaves has only the time of the drain, and a question to brokers
//! that are away takes longer than that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use tracing::debug;

/// How often it looks whether the member should leave.
const LOOK: Duration = Duration::from_millis(100);

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// None in time, or none at all; what was said.
    Failed(String),
    /// Nobody waits for it any more.
    Leaving,
}

/// Asks. The question stands in a thread of its own, which ends by itself: nobody waits for it who has to
/// leave, nor for longer than so.
pub(super) fn once<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, String> + Send + 'static,
    leaving: &AtomicBool,
    within: Duration,
) -> Result<T, Unresolved> {
    let until = Instant::now() + within;
    let (answers, answer) = mpsc::channel();
    let asking = std::thread::Builder::new().name("kafka-resolve".to_owned());
    let begun = asking.spawn(move || {
        if answers.send(ask()).is_err() {
            debug!("nobody waits for the committed offsets any more");
        }
    });
    let failed = |cause: String| Err(Unresolved::Failed(cause));
    if let Err(cause) = begun {
        return failed(format!("no thread to ask in: {cause}"));
    }
    loop {
        if leaving.load(Ordering::Acquire) {
            return Err(Unresolved::Leaving);
        }
        match answer.recv_timeout(LOOK) {
            Ok(answer) => return answer.or_else(failed),
            Err(RecvTimeoutError::Timeout) if Instant::now() < until => {}
            Err(RecvTimeoutError::Timeout) => {
                return failed(format!("no answer within {within:?}"));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return failed("the question ended without an answer".to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    /// A broker that is away: no answer, for as long as the client waits.
    fn away() -> (
        mpsc::Sender<()>,
        mpsc::Receiver<()>,
        impl FnOnce() -> Result<(), String>,
    ) {
        let (hold, held) = mpsc::channel::<()>();
        let (began, begins) = mpsc::channel();
        let held = Mutex::new(held);
        let ask = move || {
            began.send(()).unwrap();
            held.lock().unwrap().recv().ok();
            Ok::<_, String>(())
        };
        (hold, begins, ask)
    }

    #[test]
    fn who_has_to_leave_does_not_wait_for_an_answer() {
        let leaving = Arc::new(AtomicBool::new(false));
        let (hold, begins, ask) = away();
        let flag = Arc::clone(&leaving);
        let asking = std::thread::spawn(move || once(ask, &flag, 100 * SOON));
        begins.recv_timeout(SOON).unwrap();
        leaving.store(true, Ordering::Release);
        assert_eq!(asking.join().unwrap(), Err(Unresolved::Leaving));
        drop(hold);
    }

    #[test]
    fn nobody_waits_for_longer_than_the_time_there_is() {
        let stays = AtomicBool::new(false);
        let (hold, _begins, ask) = away();
        let late = once(ask, &stays, Duration::ZERO);
        assert!(matches!(late, Err(Unresolved::Failed(_))), "{late:?}");
        drop(hold);
        assert_eq!(once(|| Ok(7), &stays, SOON), Ok(7));
        let refused = || Err::<(), _>("loading".to_owned());
        let failed = Err(Unresolved::Failed("loading".to_owned()));
        assert_eq!(once(refused, &stays, SOON), failed);
        let broken = || -> Result<(), String> { panic!("broken") };
        let ended = once(broken, &stays, SOON);
        assert!(matches!(ended, Err(Unresolved::Failed(_))), "{ended:?}");
    }
}
