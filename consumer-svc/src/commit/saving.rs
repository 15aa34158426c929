//! How statistics are saved: all that grew, one round at a time, and what becomes of it.
//!
//! The mailbox does not wait for it. What cannot be saved holds the commits of its partition, and is
//! tried again; but never over what another owner has saved.

use std::sync::Arc;
use std::time::Instant;

use actors::{Cx, Failure};
use futures_util::future::join_all;
use tracing::{debug, warn};

use super::{Commit, Committer};
use crate::flow::{CommitMsg, Save};
use crate::metrics;
use crate::tally::{TallyError, TallyStore};

impl<C: Committer, T: TallyStore> Commit<C, T> {
    /// Starts saving all statistics that grew. In a task of its own: the driver's futures must
    /// not be dropped half way, and the mailbox must not wait.
    pub(super) fn save(&mut self, cx: &mut Cx<CommitMsg>) {
        if self.saving {
            return;
        }
        let unsaved = self.ledger.unsaved().into_iter();
        let unsaved: Vec<_> = unsaved
            .filter_map(|(partition, tally)| {
                Some((partition, self.ledger.epoch(partition)?, tally))
            })
            .collect();
        if unsaved.is_empty() {
            return;
        }
        self.saving = true;
        let tallies = Arc::clone(&self.tallies);
        cx.spawn(async move {
            let started = Instant::now();
            let saves = unsaved
                .into_iter()
                .map(async |(partition, epoch, tally)| Save {
                    partition,
                    epoch,
                    reach: tally.reach(),
                    result: tallies.save(partition, &tally).await,
                });
            let saved = join_all(saves).await;
            let all = saved.iter().all(|save| save.result.is_ok());
            metrics::statistics_saved(started.elapsed(), all);
            CommitMsg::Saved(saved)
        });
    }

    /// Fails where another owner's statistics are there that ours do not continue. What was loaded then is
    /// not what is saved now, and no further attempt makes it so: everything begins anew, with where the
    /// group stands by then, and nothing of it is committed before.
    pub(super) fn saved(&mut self, saved: Vec<Save>) -> Result<(), Failure> {
        self.saving = false;
        let mut failed = None;
        for save in saved {
            let Save {
                partition, epoch, ..
            } = save;
            match save.result {
                Ok(()) => {
                    self.ledger.saved(partition, epoch, save.reach);
                    self.tell_forgotten(partition);
                }
                Err(cause @ TallyError::Overtaken { .. }) => {
                    if self.ledger.epoch(partition) == Some(epoch) {
                        return Err(format!("partition {partition}: {cause}").into());
                    }
                    debug!(partition, %cause, "statistics of an epoch that is over");
                }
                Err(cause) => failed = Some((partition, cause)),
            }
        }
        let Some((partition, cause)) = failed else {
            self.unsaved = 0;
            return Ok(());
        };
        // The first failure and then every tenth: an outage is told, not chanted.
        if self.unsaved.is_multiple_of(10) {
            warn!(partition, %cause, attempt = self.unsaved + 1, "statistics not saved; commits wait for them");
        }
        self.unsaved = self.unsaved.saturating_add(1);
        Ok(())
    }
}
