//! One answer to one question. In: a message that carries a [`Reply`]. Out: the answer, or that none comes.

use std::fmt;
use std::future::Future;

use thiserror::Error;
use tokio::sync::oneshot;

/// The question was dropped without an answer: its actor ended, or chose not to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the question was dropped without an answer")]
pub struct Dropped;

/// Where an answer goes; carried along in the message that asks.
pub struct Reply<R> {
    to: oneshot::Sender<R>,
}

impl<R> Reply<R> {
    /// A reply port and the future of what is sent through it.
    pub fn channel() -> (Self, impl Future<Output = Result<R, Dropped>>) {
        let (to, from) = oneshot::channel();
        (Self { to }, async move { from.await.map_err(|_| Dropped) })
    }

    /// Answers.
    ///
    /// # Errors
    /// The answer itself, if nobody waits for it any more.
    pub fn send(self, answer: R) -> Result<(), R> {
        self.to.send(answer)
    }

    /// Whether nobody waits for the answer any more, so that the work can be spared.
    pub fn is_closed(&self) -> bool {
        self.to.is_closed()
    }

    /// Waits until nobody waits for the answer any more; work for it can end then.
    pub async fn closed(&mut self) {
        self.to.closed().await;
    }
}

impl<R> fmt::Debug for Reply<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("closed", &self.is_closed())
            .finish()
    }
}
