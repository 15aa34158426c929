//! The one place that listens for signals.
//!
//! In: SIGTERM and SIGINT. Out: a token that is cancelled by the first of them; a
//! second one ends the process at once, for the operator who cannot wait. SIGHUP, for
//! who asks for it: word to read again what can be read again.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Starts to listen. Call it inside the runtime and once per process: from then
/// on the signals no longer end the process by themselves.
pub fn shutdown() -> io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let first = token.clone();
    tokio::spawn(async move {
        let (name, _) = next(&mut terminate, &mut interrupt).await;
        tracing::info!(
            signal = name,
            "shutting down; the same signal again ends the process at once"
        );
        first.cancel();
        let (name, code) = next(&mut terminate, &mut interrupt).await;
        tracing::warn!(
            signal = name,
            "second signal: ending at once, what is in flight is given up"
        );
        std::process::exit(code);
    });
    Ok(token)
}

/// Word that the operator wants files to be read again; clones share it. Several words before
/// anybody listens are one.
#[derive(Debug, Clone, Default)]
pub struct Hangup(Arc<Notify>);

impl Hangup {
    /// Gives the word on every SIGHUP. Call it inside the runtime, once for each that is to hear
    /// every word: from then on that signal no longer ends the process.
    pub fn listen() -> io::Result<Self> {
        let mut signals = signal(SignalKind::hangup())?;
        let hangup = Self::default();
        let told = hangup.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                told.tell();
            }
        });
        Ok(hangup)
    }

    /// Gives the word.
    pub fn tell(&self) {
        self.0.notify_one();
    }

    /// Waits for the next word. One listener at a time hears it.
    pub async fn told(&self) {
        self.0.notified().await;
    }
}

/// The signal's name and the exit code that a shell gives a process it ended.
async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> (&'static str, i32) {
    tokio::select! {
        _ = terminate.recv() => ("SIGTERM", 143),
        _ = interrupt.recv() => ("SIGINT", 130),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_word_waits_for_its_listener_and_two_are_one() {
        let hangup = Hangup::default();
        hangup.tell();
        hangup.clone().tell();
        hangup.told().await;
        let mut next = std::pin::pin!(hangup.told());
        assert!(futures_util::FutureExt::now_or_never(next.as_mut()).is_none());
        hangup.tell();
        next.await;
    }
}
