//! Asking the failed handler. In: a record that cannot be used. Out: its settlement, whatever the
//! handler does: answer, panic, or never answer.

use std::sync::Arc;
use std::time::Duration;

use super::HandlerFn;
use super::book::Book;
use super::ports::Failed;
use crate::{Outcome, Receipt, Unanswered, owned_within};

/// A record to be decided about, and where that is told.
pub(super) struct Case<I, O, N: 'static> {
    pub(super) failed: Failed<I, O>,
    pub(super) receipt: Receipt<N>,
    pub(super) book: Arc<Book<N>>,
}

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
    /// Settles the record as the handler decides.
    pub(super) async fn settle<N: Send + 'static>(self, case: Case<I, O, N>) {
        let Case {
            failed,
            receipt,
            book,
        } = case;
        let (seq, mut cause) = (failed.position.seq, failed.cause.clone());
        let outcome = match self.decide(failed).await {
            Ok(outcome) => outcome,
            Err(why) => {
                cause.push_str("; the failed handler ");
                cause.push_str(&why);
                Outcome::Failed
            }
        };
        if outcome == Outcome::Failed {
            book.because(seq, cause);
        }
        receipt.settle(outcome, None);
    }

    /// The handler runs in a task of its own, so that it is not dropped half way when it takes too
    /// long: it then goes on, and its answer has no effect any more. An error says what it did
    /// instead of deciding.
    async fn decide(self, failed: Failed<I, O>) -> Result<Outcome, String> {
        let position = failed.position;
        let Self { handler, within } = self;
        let answer = owned_within(within, async move { handler(failed).await });
        let cause = match answer.await {
            Ok(outcome) => return Ok(outcome),
            Err(Unanswered::Late(_)) => format!("did not answer within {within:?}"),
            Err(other) => other.to_string(),
        };
        tracing::error!(
            lane = position.lane,
            seq = position.seq,
            cause,
            "the failed handler decided nothing; the record is delivered again"
        );
        Err(cause)
    }
}
