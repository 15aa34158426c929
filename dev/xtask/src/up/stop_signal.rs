//! When the user wants `up` to end. In: signals to this process; out: a future. It must not decide
//! what ending means.

use std::future::Future;

use crate::exit::Failure;

/// Ctrl-C, SIGTERM, or the terminal going away.
pub(crate) struct StopSignal {
    signals: [tokio::signal::unix::Signal; 3],
}

impl StopSignal {
    pub(super) fn listen() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).map_err(Failure::doing("listening for signals"));
        let signals = [
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ];
        Ok(Self { signals })
    }

    /// Resolves with the next signal.
    pub(crate) async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }

    /// The work's outcome, or `None` if a signal came first (the work is then dropped).
    pub(super) async fn or<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            () = self.next() => None,
            done = work => Some(done),
        }
    }
}
