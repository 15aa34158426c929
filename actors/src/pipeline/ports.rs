//! What a pipeline is given: where records come from, what is made of them, where they go.
//!
//! In: nothing. Out: the traits and facts at its edges.

use std::future::Future;

use crate::{Epoch, Failure, Position, Settled};

/// A record as its source gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled<T> {
    /// Its number in the lane; numbers rise, gaps are allowed.
    pub seq: u64,
    /// What it costs in bytes.
    pub bytes: usize,
    /// The record.
    pub value: T,
}

/// How far a lane has come.
#[derive(Debug)]
pub struct Passed<N> {
    /// The position to commit: everything before it is stored or dead-lettered.
    pub next: u64,
    /// What the prefix moved over since last time, in the order of the lane.
    pub settled: Vec<Settled<N>>,
}

/// One lane of records, for example one partition. Each incarnation of a lane has a source of its own.
///
/// Two of them may overlap in one thing: a commit is never dropped half way, so that of a lane that was
/// killed may still be under way while its successor opens, pulls and commits. Where positions are kept,
/// that of an older epoch must be refused or ignored once a newer one came.
pub trait Source: Send + 'static {
    /// What it gives.
    type Item: Send + 'static;
    /// What a stored record contributes when the prefix passes it.
    type Note: Send + 'static;

    /// Called first: where the lane goes on, that is, the least number it will give. `epoch` rises with
    /// every incarnation: what fences its predecessor's commits. It may take as
    /// long as [`Flow::open_within`](crate::Flow::open_within) says, which is for ever if it says nothing.
    /// Never dropped half way: one that takes longer, or whose lane is killed meanwhile, goes to its end and
    /// its source is dropped then, perhaps beside its successor.
    fn open(&mut self, epoch: Epoch) -> impl Future<Output = Result<u64, Failure>> + Send;

    /// Gives up to `most` records, or waits until there are some; `None` is the end of the lane. It
    /// should wait and not give an empty list: after one it is asked again in 10 ms.
    ///
    /// Must be cancel-safe: the future is dropped whenever something else has to be done first, and
    /// no record may be lost by that.
    fn pull(
        &mut self,
        most: usize,
    ) -> impl Future<Output = Result<Option<Vec<Pulled<Self::Item>>>, Failure>> + Send;

    /// Takes note of how far the lane has come. Never dropped half way, never concurrent with a `pull` of
    /// the same source.
    fn commit(
        &mut self,
        passed: Passed<Self::Note>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What a step makes of a record.
#[derive(Debug)]
pub enum Step<O> {
    /// This, to be written.
    Next(O),
    /// Nothing is to be written; the record counts as stored.
    Skip,
    /// It cannot be used, now or later: the failed handler decides. Those behind it go on meanwhile, so
    /// one that could be used when it is delivered again would come after them.
    Fail(Failure),
}

/// What became of a record in a sink.
#[derive(Debug)]
pub enum Fate<N> {
    /// It is written durably.
    Stored(Option<N>),
    /// It will never be written as it is: the failed handler decides, and those behind it go on meanwhile.
    Refused(Failure),
    /// It was not written this time: it has to be delivered again, which restarts its lane, and the failed
    /// handler is not asked. A lane may do that as often as [`Flow::intensity`](crate::Flow::intensity) says, then the
    /// pipeline gives up: a sink whose store is away for a while waits for it instead. Later records of its key must not be
    /// [`Stored`](Self::Stored) by the same write, or it is delivered again after them.
    Failed(Failure),
}

/// Where batches go.
pub trait Sink<O, N>: Send + Sync + 'static {
    /// Writes a batch and gives the fate of each record, in the order of the batch; a fate that is
    /// missing counts as failed. Runs in an owned task: it is never dropped half way. Where the order of
    /// a key matters, it stops writing records of the key at the first one that fails.
    ///
    /// A batch on which it panics is handed in again in halves, until what it panics on stands alone: that
    /// record goes to the failed handler, and everything behind it waits for the decision. So a record may be written
    /// again, also after newer ones of its key. Give what can go wrong as a [`Fate`] instead. A write that hangs is
    /// given up under [`Flow::watch`](crate::Flow::watch).
    fn write(&self, batch: &[O]) -> impl Future<Output = Vec<Fate<N>>> + Send;
}

/// A record that could not be used, on its way to the failed handler.
#[derive(Debug)]
pub struct Failed<I, O> {
    /// Which one.
    pub position: Position,
    /// The record, as far as it came.
    pub record: Unusable<I, O>,
    /// Why, in words.
    pub cause: String,
}

/// How far an unusable record came.
#[derive(Debug)]
pub enum Unusable<I, O> {
    /// A step failed on it, or a step or the key panicked.
    Raw(I),
    /// The sink refused it, or panicked on it alone.
    Ready(O),
}
