//! Asking the failed handler. In: a record that cannot be used. Out: its outcome, whatever the handler
//! does: answer, panic, or never answer.

use std::sync::Arc;
use std::time::Duration;

use super::HandlerFn;
use super::ports::Failed;
use crate::Outcome;
use crate::guard::catch;

/// The failed handler of a pipeline and the time it is given.
pub(super) struct Judge<I, O> {
    pub(super) handler: Arc<HandlerFn<I, O>>,
    pub(super) within: Duration,
}

impl<I, O> Clone for Judge<I, O> {
    fn clone(&self) -> Self {
        Self {
            handler: Arc::clone(&self.handler),
            within: self.within,
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> Judge<I, O> {
    /// The handler runs in a task of its own, so that it is not dropped half way when it takes too
    /// long: it then goes on, and its answer has no effect any more.
    pub(super) async fn decide(self, failed: Failed<I, O>) -> Outcome {
        let position = failed.position;
        let Self { handler, within } = self;
        let answer = tokio::spawn(catch(async move { handler(failed).await }));
        let cause = match tokio::time::timeout(within, answer).await {
            Ok(Ok(Ok(outcome))) => return outcome,
            Ok(Ok(Err(panic))) => format!("panicked: {panic}"),
            Ok(Err(gone)) => gone.to_string(),
            Err(_) => format!("did not answer within {within:?}"),
        };
        tracing::error!(
            lane = position.lane,
            seq = position.seq,
            cause,
            "the failed handler decided nothing; the record is delivered again"
        );
        Outcome::Failed
    }
}
