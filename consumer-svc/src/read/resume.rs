//! How a reader comes to stand where it is to read, and how its client does, which may not stand there yet or
//! go elsewhere by itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actors::{Cx, Failure};
use tracing::{debug, warn};

use super::{OpenPartition, PartitionReader, PartitionSource, ReaderMsg, SeekError};

/// How soon the client is set again to where the reader stands.
pub(super) const SEEK_PAUSE: Duration = Duration::from_millis(250);

impl<O: OpenPartition> PartitionReader<O> {
    /// Takes hold of the partition's records, from `next` on.
    pub(super) async fn begin(&mut self, next: u64, cx: &mut Cx<ReaderMsg>) -> Result<(), Failure> {
        if self.args.lane.is_shut() {
            return Ok(());
        }
        let again = self.args.opened_before.swap(true, Ordering::AcqRel);
        let stands = self.args.standing.map(|standing| standing.start());
        self.place.begin(next, !again && stands == Some(next));
        self.go_on(cx).await
    }

    /// Reads, once the client stands where this reader does.
    pub(super) async fn go_on(&mut self, cx: &mut Cx<ReaderMsg>) -> Result<(), Failure> {
        if self.args.lane.is_shut() {
            return Ok(());
        }
        if let Some(next) = self.place.is_elsewhere() {
            let (open, partition) = (Arc::clone(&self.args.open), self.args.partition);
            let set = tokio::task::spawn_blocking(move || open.seek(next)).await?;
            match set {
                Ok(()) => self.place.found(),
                Err(SeekError::NotYet(cause)) => {
                    debug!(partition, next, cause, "the client does not read it yet");
                    self.seek_again = Some(cx.send_after(SEEK_PAUSE, ReaderMsg::Seek));
                    return Ok(());
                }
                Err(SeekError::Failed(cause)) => return Err(cause.into()),
            }
        }
        // Not before: a client that was not to be set has complained here of where it should have begun, which
        // is no news about what comes next.
        if self.source.is_none() {
            self.source = Some(self.args.open.open(self.wake(cx))?);
        }
        self.pump(None, cx)
    }

    /// A record came that was read before, or is not for this group: the client went elsewhere by itself.
    pub(super) fn strayed(&mut self, offset: u64, is_first: bool) -> Result<(), Failure> {
        let partition = self.args.partition;
        // The log is not known again by what was not taken.
        if let (true, Some(source)) = (is_first, &mut self.source) {
            source.mark();
        }
        match self.place.strayed() {
            Ok(next) => {
                warn!(partition, offset, next, "the client went back: it is set to the next record again");
                Ok(())
            }
            Err(next) => Err(format!(
                "partition {partition}: the client goes back to {offset} whenever it is set to {next}"
            )
            .into()),
        }
    }
}
