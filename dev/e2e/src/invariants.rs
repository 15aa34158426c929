//! What holds at every moment, looked at beside a fault and accounted for after it.
//!
//! In: a shop, before its consumers do anything. Out: nothing, or a panic that names what did not hold:
//!
//! - all the while: a record before a committed offset has a document or a letter, or is a tombstone; committed
//!   offsets never go back;
//! - at the end: every commit that the broker took since the beginning is one that its partition's owner may have
//!   made ([`crate::commits`] says what that proves), and the statistics are a recount of the documents.
//!
//! Broker and database are asked directly, past the proxy that a proof cuts; who was killed or frozen is asked
//! again once it is back.

mod looking;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::looking::{BACKWARDS, TOO_EARLY};
use self::looking::{Looking, Progress};
use crate::commits;
use crate::documents::Stored;
use crate::recount;
use crate::service::Service;
use crate::shop::Shop;
use crate::wrongs::Wrongs;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(200);
/// How long a broker or database that was hurt may take until it can be looked at.
const PATIENCE: Duration = Duration::from_secs(60);

/// The log of commits, and what is committed, say different things.
pub const INCOMPLETE: &str = "partitions whose newest commit is not in the log of commits";

/// Eyes on a shop. Who opens them has to ask at the end what they saw.
#[must_use]
pub struct Invariants<'a> {
    shop: &'a Shop,
    mark: commits::Mark,
    stop: watch::Sender<bool>,
    progress: watch::Receiver<Progress>,
    looking: Option<JoinHandle<Looking>>,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What did not hold.
    pub wrongs: Wrongs,
    /// What is committed.
    pub committed: BTreeMap<i32, i64>,
    /// Looks that were answered.
    pub looks: usize,
    /// Looks that were not.
    pub unanswered: usize,
    /// Records looked for.
    pub records: usize,
    /// Commits that the broker took.
    pub commits: usize,
}

impl<'a> Invariants<'a> {
    /// Begins to look. What was committed before is somebody else's affair.
    ///
    /// # Panics
    /// If broker or database cannot be asked.
    pub async fn watch(shop: &'a Shop) -> Self {
        Self::watch_every(shop, EVERY).await
    }

    /// The same, with another pause between two looks.
    ///
    /// # Panics
    /// If broker or database cannot be asked.
    pub async fn watch_every(shop: &'a Shop, every: Duration) -> Self {
        let mark = commits::mark(&shop.witness).await;
        let looking = Looking::new(shop).await;
        let (stop, stopped) = watch::channel(false);
        let (told, progress) = watch::channel(Progress::default());
        let looking = Some(tokio::spawn(looking.run(every, stopped, told)));
        Self {
            shop,
            mark,
            stop,
            progress,
            looking,
        }
    }

    /// Waits for a look that begins now or later, and is answered: so this moment is seen, and not only what
    /// becomes of it.
    ///
    /// # Panics
    /// If none is answered.
    pub async fn look(&self) {
        let mut progress = self.progress.clone();
        let begun = progress.borrow().begun;
        let later = progress.wait_for(|progress| progress.answered > begun);
        let seen = tokio::time::timeout(PATIENCE, later).await;
        assert!(seen.is_ok_and(|seen| seen.is_ok()), "nobody could look");
    }

    /// Looks for the last time, reads the log of commits, and tells what was seen.
    ///
    /// # Panics
    /// If broker or database cannot be asked.
    pub async fn end(mut self) -> Seen {
        self.look().await;
        self.stop.send_replace(true);
        let looking = self.looking.take().expect("it looks until now");
        let looked = looking.await.unwrap_or_else(|error| panic!("{error}"));
        let history = commits::read(&self.shop.witness).await;
        let mut seen = Seen {
            commits: history
                .iter()
                .filter(|(at, one)| *at >= self.mark && one.is_commit())
                .count(),
            ..looked.seen
        };
        seen.wrongs.extend(commits::check(&history, self.mark));
        // Else an empty log would prove everything.
        let logged = commits::newest(&history);
        for (partition, committed) in &seen.committed {
            let newest = logged.get(partition);
            if newest.is_none_or(|newest| newest < committed) {
                let told = format!("partition {partition}: {committed}, in the log {newest:?}");
                seen.wrongs.add(INCOMPLETE, || told);
            }
        }
        seen
    }

    /// All of it holds: what was looked at, the commits, and what this consumer's `/stats` sums up. Tells the
    /// documents.
    ///
    /// # Panics
    /// If anything does not.
    pub async fn hold(self, consumer: &Service) -> Vec<Stored> {
        let shop = self.shop;
        let seen = self.end().await;
        assert!(seen.wrongs.is_empty(), "WRONG:\n{}", seen.wrongs);
        let stats = recount::reaching(consumer, &seen.committed).await;
        let documents = shop.documents.all().await;
        let counted = documents.iter().filter(|document| {
            let reached = seen.committed.get(&document.partition);
            reached.is_some_and(|reached| document.offset < *reached)
        });
        recount::is_a_recount(&stats, counted);
        documents
    }

    /// [`hold`](Self::hold), and [`recount::adds_up`].
    ///
    /// # Panics
    /// If anything does not.
    pub async fn adds_up(self, consumer: &Service) -> Vec<Stored> {
        let shop = self.shop;
        shop.settles(PATIENCE).await;
        let documents = self.hold(consumer).await;
        recount::adds_up(shop, &documents).await;
        documents
    }
}

impl Drop for Invariants<'_> {
    fn drop(&mut self) {
        if let Some(looking) = self.looking.take() {
            looking.abort();
            assert!(std::thread::panicking(), "nobody asked what was seen");
        }
    }
}
