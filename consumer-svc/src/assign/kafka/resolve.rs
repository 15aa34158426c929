//! Asking until there is an answer, and no longer than this member stays.
//!
//! In: a question that blocks. Out: its answer; or that there was none in time, or that the member is to
//! leave. It knows no client: who leaves has only the time of the drain, and a question to brokers
//! that are away takes longer than that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use tracing::{debug, warn};

/// How often it looks whether the member should leave, and how long it rests between two questions.
const LOOK: Duration = Duration::from_millis(100);

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// None in time; what was said last.
    Failed(String),
    /// Nobody waits for it any more.
    Leaving,
}

/// Asks again and again for so long. The question stands in a thread of its own, which ends by itself:
/// nobody waits for it who has to leave.
pub(super) fn persist<T: Send + 'static>(
    ask: impl Fn() -> Result<T, String> + Send + Sync + 'static,
    leaving: &AtomicBool,
    within: Duration,
) -> Result<T, Unresolved> {
    let (ask, until) = (Arc::new(ask), Instant::now() + within);
    loop {
        let cause = match once(&ask, leaving)? {
            Ok(answer) => return Ok(answer),
            Err(cause) => cause,
        };
        if Instant::now() >= until {
            return Err(Unresolved::Failed(cause));
        }
        warn!(%cause, "committed offsets not known yet");
        std::thread::sleep(2 * LOOK);
    }
}

fn once<T: Send + 'static>(
    ask: &Arc<impl Fn() -> Result<T, String> + Send + Sync + 'static>,
    leaving: &AtomicBool,
) -> Result<Result<T, String>, Unresolved> {
    let (answers, answer) = mpsc::channel();
    let ask = Arc::clone(ask);
    let asking = std::thread::Builder::new().name("kafka-resolve".to_owned());
    let begun = asking.spawn(move || {
        if answers.send(ask()).is_err() {
            debug!("nobody waits for the committed offsets any more");
        }
    });
    if let Err(cause) = begun {
        return Ok(Err(format!("no thread to ask in: {cause}")));
    }
    loop {
        if leaving.load(Ordering::Acquire) {
            return Err(Unresolved::Leaving);
        }
        match answer.recv_timeout(LOOK) {
            Ok(answer) => return Ok(answer),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Ok(Err("the question ended without an answer".to_owned()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn who_has_to_leave_waits_neither_for_an_answer_nor_for_another_try() {
        let leaving = Arc::new(AtomicBool::new(false));
        let (hold, held) = mpsc::channel::<()>();
        let (began, begins) = mpsc::channel();
        let held = Mutex::new(held);
        let ask = move || {
            began.send(()).unwrap();
            // A broker that is away: no answer, for as long as the client waits.
            held.lock().unwrap().recv().ok();
            Ok::<_, String>(())
        };
        let flag = Arc::clone(&leaving);
        let asking = std::thread::spawn(move || persist(ask, &flag, 100 * SOON));
        begins.recv_timeout(SOON).unwrap();
        leaving.store(true, Ordering::Release);
        assert_eq!(asking.join().unwrap(), Err(Unresolved::Leaving));
        drop(hold);
        let refused = || Err::<(), _>("no coordinator".to_owned());
        assert_eq!(
            persist(refused, &leaving, 100 * SOON),
            Err(Unresolved::Leaving)
        );
    }

    #[test]
    fn it_asks_again_until_there_is_an_answer_or_the_time_is_over() {
        let stays = AtomicBool::new(false);
        let asked = Mutex::new(0);
        let third = move || {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            match *asked {
                3 => Ok(7),
                _ => Err("loading".to_owned()),
            }
        };
        assert_eq!(persist(third, &stays, SOON), Ok(7));
        let never = || Err::<(), _>("loading".to_owned());
        let failed = Err(Unresolved::Failed("loading".to_owned()));
        assert_eq!(persist(never, &stays, Duration::ZERO), failed);
        let broken = || -> Result<(), String> { panic!("broken") };
        let ended = persist(broken, &stays, Duration::ZERO);
        assert!(matches!(ended, Err(Unresolved::Failed(_))), "{ended:?}");
    }
}
