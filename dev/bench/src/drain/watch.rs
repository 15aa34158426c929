//! What is stored, seen from outside. In: a collection that fills; out: when the first documents
//! and when the last were there, and what that cost. The same for every contestant.

use std::ops::Range;
use std::time::{Duration, Instant};

use bson::oid::ObjectId;
use bson::{RawDocumentBuf, doc};
use devstack::process::Process;
use devstack::wait_until;
use mongodb::Collection;

use crate::proc_stat::{self, Memory};
use crate::{Failure, corpus};

/// Between two looks: how exactly the first and the last moment are known.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Once the last records are there: how long batches of earlier ones may still be on their way.
const STRAGGLERS: Duration = Duration::from_secs(10);

/// Between the first look that found something and the one that found the last.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// From the process's start until something was there.
    pub(super) first: Duration,
    /// From then until all was there.
    pub(super) took: Duration,
    /// Documents stored in that time.
    pub(super) stored: u64,
    /// CPU of the contestant in that time.
    pub(super) service: Duration,
    /// CPU of the database in that time.
    pub(super) database: Duration,
    /// The contestant's memory at the end.
    pub(super) memory: Memory,
}

/// Whom to look at.
pub(super) struct Watch<'a> {
    /// Where documents appear.
    pub(super) collection: &'a Collection<RawDocumentBuf>,
    /// The contestant.
    pub(super) process: &'a Process,
    /// The database's process.
    pub(super) database: u32,
    /// Records of the backlog.
    pub(super) records: u32,
}

/// What had been spent at a moment.
#[derive(Debug, Clone, Copy)]
struct Spent {
    at: Instant,
    service: Duration,
    database: Duration,
    memory: Memory,
}

impl Watch<'_> {
    /// Looks until everything is there, and then makes sure of it.
    ///
    /// It looks for the first and the last few ids: to count everything again and again would cost
    /// the database more than some contestants do.
    pub(super) async fn until_stored(&self, patience: Duration) -> Result<Seen, Failure> {
        let began = Instant::now();
        let first = self
            .find(corpus::first(self.records), 1, began + patience)
            .await?;
        // Once, and while there is little to count.
        let already = self.count().await?;
        let end = corpus::last(self.records);
        let last = self.find(end.clone(), end.len(), began + patience).await?;
        let complete = wait_until(STRAGGLERS, async || {
            (self.count().await.ok()? == u64::from(self.records)).then_some(())
        });
        if complete.await.is_none() {
            return Err(format!(
                "{} documents of {} records",
                self.count().await?,
                self.records
            )
            .into());
        }
        Ok(Seen {
            first: first.at - began,
            took: last.at - first.at,
            stored: u64::from(self.records).saturating_sub(already),
            service: last.service.saturating_sub(first.service),
            database: last.database.saturating_sub(first.database),
            memory: last.memory,
        })
    }

    /// Looks until so many of these purchases are there, and says what had been spent by then.
    async fn find(
        &self,
        numbers: Range<u32>,
        wanted: usize,
        deadline: Instant,
    ) -> Result<Spent, Failure> {
        let ids =
            numbers.map(|number| Ok(corpus::object_id(&corpus::purchase(number, self.records)?)));
        let ids: Vec<ObjectId> = ids.collect::<Result<_, Failure>>()?;
        let mut spent = self.spent()?;
        loop {
            // One that has ended by itself is looked at once more, with what it had spent before.
            let running = self.process.is_running();
            spent = self.spent().unwrap_or(spent);
            let found = self
                .collection
                .count_documents(doc! { "_id": { "$in": &ids } })
                .await?;
            if found >= wanted as u64 {
                return Ok(Spent {
                    at: Instant::now(),
                    ..spent
                });
            }
            if !running {
                return Err("ended before everything was stored".into());
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "{} documents of {} records in time",
                    self.count().await?,
                    self.records
                )
                .into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn spent(&self) -> Result<Spent, Failure> {
        Ok(Spent {
            at: Instant::now(),
            service: proc_stat::cpu(self.process.pid())?,
            database: proc_stat::cpu(self.database)?,
            memory: proc_stat::memory(self.process.pid())?,
        })
    }

    async fn count(&self) -> Result<u64, Failure> {
        Ok(self.collection.count_documents(doc! {}).await?)
    }
}
