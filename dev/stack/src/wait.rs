//! Waiting for a fact with a deadline, so that no test sleeps and hopes. In: a question asked
//! again and again; out: its answer, or nothing at the deadline. It must not log.

use std::time::{Duration, Instant};

/// Asks until the answer is `Some`, at most for `patience`; `None` means the deadline passed.
///
/// The pause between two questions grows from 5 to 100 ms, so quick facts are seen quickly and
/// slow ones cost nothing.
pub async fn wait_until<T>(
    patience: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> Option<T> {
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(answer) = ask().await {
            return Some(answer);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
