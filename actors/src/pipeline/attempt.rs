//! One batch in the hands of a sink. In: its records. Out: their settlements, and those the sink refused.
//!
//! A write that takes longer than the writer's patience is given up: its records fail, which has them
//! delivered again, and the next write of its slot begins. It is not dropped, as no side effect is; it
//! runs on by itself, and nobody waits for it any more.
//!
//! A batch on which the sink panics goes again in halves, until what it panics on stands alone: that is
//! unusable. It may be written the next time, so whatever comes behind it waits for the decision.

use std::sync::Arc;
use std::time::Duration;

use super::Work;
use super::book::Book;
use super::decide::{Case, Judge};
use super::ports::{Failed, Fate, Sink, Unusable};
use crate::guard::catch;
use crate::{Outcome, Receipt, Unanswered, owned_within};

/// What stays here of a record while its value is with the sink.
type Slip<N> = (Receipt<N>, Arc<Book<N>>);

/// Records of a batch, or of what a panic left of it.
struct Part<O, N: 'static> {
    values: Vec<O>,
    slips: Vec<Slip<N>>,
}

impl<O, N: Send + 'static> Part<O, N> {
    fn of(batch: Vec<Work<O, N>>) -> Self {
        let room = batch.len();
        let (mut values, mut slips) = (Vec::with_capacity(room), Vec::with_capacity(room));
        for Work { book, delivery, .. } in batch {
            values.push(delivery.value);
            slips.push((delivery.receipt, book));
        }
        Self { values, slips }
    }

    /// Without those that are not to be written any more. They are dropped with their receipts.
    fn living(self) -> Self {
        if self.slips.iter().all(|(_, book)| !book.is_halted()) {
            return self;
        }
        let both = self.values.into_iter().zip(self.slips);
        let living = both.filter(|(_, (_, book))| !book.is_halted());
        let (values, slips) = living.unzip();
        Self { values, slips }
    }
}

/// Writes a batch and settles every record of it that the sink did not refuse.
pub(super) async fn write<I, O, N, K>(
    batch: Vec<Work<O, N>>,
    sink: Arc<K>,
    patience: Option<Duration>,
    judge: Judge<I, O>,
) -> Vec<Case<I, O, N>>
where
    I: Send + 'static,
    O: Send + Sync + 'static,
    N: Send + 'static,
    K: Sink<O, N>,
{
    let (mut parts, mut refused) = (vec![Part::of(batch)], Vec::new());
    while let Some(Part { values, slips }) = parts.pop().map(Part::living) {
        let Some((_, first)) = slips.first() else {
            continue;
        };
        let first = Arc::clone(first);
        match hand_in(values, Arc::clone(&sink), patience).await {
            (Ok(fates), Some(values)) => {
                first.answered();
                settle(Part { values, slips }, fates, &mut refused);
            }
            (Err(Unanswered::Panicked(panic)), Some(values)) => {
                first.answered();
                let part = Part { values, slips };
                parts.extend(after_a_panic(part, &panic, &judge).await);
                // A decision may have taken long, and be nobody's progress if its lane is gone.
                first.answered();
            }
            (Err(Unanswered::Late(limit)), _) => {
                tracing::error!(
                    ?limit,
                    records = slips.len(),
                    "a write takes too long and is given up"
                );
                fail(
                    slips,
                    &format!("the sink did not write it within {limit:?}"),
                );
            }
            (Err(unanswered), _) => fail(slips, &unanswered.to_string()),
            (Ok(_), None) => fail(slips, "the sink kept what it was lent"),
        }
    }
    refused
}

/// Halves of what a sink panicked on, the second one first, as they lie on a stack; or a decision
/// about the one record there is.
async fn after_a_panic<I, O, N>(
    Part {
        mut values,
        mut slips,
    }: Part<O, N>,
    panic: &str,
    judge: &Judge<I, O>,
) -> Vec<Part<O, N>>
where
    I: Send + 'static,
    O: Send + 'static,
    N: Send + 'static,
{
    let records = values.len();
    tracing::error!(records, panic, "a sink panicked");
    if records > 1 {
        let second = Part {
            values: values.split_off(records / 2),
            slips: slips.split_off(records / 2),
        };
        return vec![second, Part { values, slips }];
    }
    for (value, (receipt, book)) in values.into_iter().zip(slips) {
        let failed = Failed {
            position: receipt.position(),
            record: Unusable::Ready(value),
            cause: format!("the sink panicked: {panic}"),
        };
        let case = Case {
            failed,
            receipt,
            book,
        };
        judge.clone().settle(case).await;
    }
    Vec::new()
}

/// Settles each record as its fate says; refused ones are put down.
fn settle<I, O, N: Send + 'static>(
    Part { values, slips }: Part<O, N>,
    fates: Vec<Fate<N>>,
    refused: &mut Vec<Case<I, O, N>>,
) {
    let mut fates = fates.into_iter();
    let mut settled = Vec::with_capacity(slips.len());
    for (value, (receipt, book)) in values.into_iter().zip(slips) {
        let position = receipt.position();
        settled.push(match fates.next() {
            Some(Fate::Stored(note)) => (receipt, Outcome::Stored, note),
            Some(Fate::Refused(failure)) => {
                let failed = Failed {
                    position,
                    record: Unusable::Ready(value),
                    cause: crate::exit::told(failure),
                };
                refused.push(Case {
                    failed,
                    receipt,
                    book,
                });
                continue;
            }
            Some(Fate::Failed(failure)) => {
                let cause = crate::exit::told(failure);
                tracing::warn!(
                    lane = position.lane,
                    seq = position.seq,
                    cause,
                    "not written"
                );
                book.because(position.seq, format!("not written: {cause}"));
                (receipt, Outcome::Failed, None)
            }
            None => {
                book.because(position.seq, "the sink gave no fate for it");
                (receipt, Outcome::Failed, None)
            }
        });
    }
    Receipt::settle_all(settled);
}

/// Lends a batch to the sink, under a limit in a task of its own, so that it can be left alone there. The
/// batch comes back unless that happens.
async fn hand_in<O, N, K>(
    values: Vec<O>,
    sink: Arc<K>,
    patience: Option<Duration>,
) -> (Result<Vec<Fate<N>>, Unanswered>, Option<Vec<O>>)
where
    O: Send + Sync + 'static,
    N: Send + 'static,
    K: Sink<O, N>,
{
    let values = Arc::new(values);
    let lent = Arc::clone(&values);
    let write = async move { sink.write(&lent).await };
    let fates = match patience {
        None => catch(write).await.map_err(Unanswered::Panicked),
        Some(limit) => owned_within(limit, write).await,
    };
    (fates, Arc::into_inner(values))
}

fn fail<N>(slips: Vec<Slip<N>>, cause: &str) {
    Receipt::settle_all(slips.into_iter().map(|(receipt, book)| {
        book.because(receipt.position().seq, cause);
        (receipt, Outcome::Failed, None)
    }));
}
