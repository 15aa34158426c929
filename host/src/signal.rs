//! The one place that listens for signals.
//!
//! In: SIGTERM and SIGINT. Out: a token that is cancelled by the first of them; a
//! second one ends the process at once, for the operator who cannot wait.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
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

/// The signal's name and the exit code that a shell gives a process it ended.
async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> (&'static str, i32) {
    tokio::select! {
        _ = terminate.recv() => ("SIGTERM", 143),
        _ = interrupt.recv() => ("SIGINT", 130),
    }
}
