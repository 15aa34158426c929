//! What is stored, seen from outside. In: a collection that fills; out: when the first documents
//! and when the last were there, and what that cost. The same for every contestant.

use std::time::{Duration, Instant};

use bson::RawDocumentBuf;
use devstack::process::Process;
use mongodb::Collection;

use crate::Failure;
use crate::proc_stat::{self, Memory};

/// While nothing is there yet: this is how exactly the first moment is known.
const EARLY: Duration = Duration::from_millis(5);
/// Afterwards, seldom enough to cost the database nothing that shows.
const LATER: Duration = Duration::from_millis(50);
/// Without any growth for so long, nothing is to be expected.
const STALLED: Duration = Duration::from_secs(30);

/// Between the first look that found something and the one that found all.
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

/// One look at everything.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    stored: u64,
    costs: [Duration; 2],
    memory: Memory,
}

/// Looks until `wanted` documents are there. `watched` are the contestant and the database.
pub(super) async fn until_stored(
    collection: &Collection<RawDocumentBuf>,
    process: &Process,
    wanted: u32,
    watched: [u32; 2],
) -> Result<Seen, Failure> {
    let began = Instant::now();
    let mut first: Option<Look> = None;
    let mut grown = (0, began);
    let mut spent = spent_by(watched)?;
    loop {
        // A contestant that has ended by itself is looked at once more, with what it had cost before.
        let running = process.is_running();
        spent = spent_by(watched).unwrap_or(spent);
        let stored = collection.estimated_document_count().await?;
        let look = Look {
            at: Instant::now(),
            stored,
            costs: spent.0,
            memory: spent.1,
        };
        if stored > grown.0 {
            grown = (stored, look.at);
        }
        match first {
            None if stored > 0 => first = Some(look),
            Some(first) if stored >= u64::from(wanted) => return seen(began, first, look),
            _ => {}
        }
        if !running && stored < u64::from(wanted) {
            return Err(format!("ended with {stored} of {wanted} documents stored").into());
        }
        if grown.1.elapsed() > STALLED {
            return Err(format!("no progress at {stored} of {wanted} documents").into());
        }
        tokio::time::sleep(if stored == 0 { EARLY } else { LATER }).await;
    }
}

fn spent_by(watched: [u32; 2]) -> Result<([Duration; 2], Memory), Failure> {
    Ok((
        [proc_stat::cpu(watched[0])?, proc_stat::cpu(watched[1])?],
        proc_stat::memory(watched[0])?,
    ))
}

fn seen(began: Instant, first: Look, last: Look) -> Result<Seen, Failure> {
    let stored = last.stored - first.stored;
    if stored == 0 {
        return Err("everything was stored at the first look: too few records to measure".into());
    }
    Ok(Seen {
        first: first.at - began,
        took: last.at - first.at,
        stored,
        service: last.costs[0].saturating_sub(first.costs[0]),
        database: last.costs[1].saturating_sub(first.costs[1]),
        memory: last.memory,
    })
}
