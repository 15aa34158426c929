//! Waiting for a fact under a deadline. In: a question; out: its answer, or a panic that says
//! what never became true. Nothing in this crate sleeps and hopes.

use std::time::Duration;

/// Asks until there is an answer.
///
/// # Panics
/// At the deadline, naming the fact.
pub async fn until<T>(what: &str, within: Duration, ask: impl AsyncFnMut() -> Option<T>) -> T {
    match devstack::wait_until(within, ask).await {
        Some(answer) => answer,
        None => panic!("not within {within:?}: {what}"),
    }
}

/// As [`until`], for questions that can say how far they are.
///
/// # Panics
/// At the deadline, naming the fact and the last word about it.
pub async fn until_text<T>(
    what: &str,
    within: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let mut last = String::new();
    let answer = devstack::wait_until(within, async || match ask().await {
        Ok(answer) => Some(answer),
        Err(word) => {
            last = word;
            None
        }
    });
    match answer.await {
        Some(answer) => answer,
        None => panic!("not within {within:?}: {what}; at last: {last}"),
    }
}
