//! Keeps the collection in the shape that this service counts on: its index and its validator.
//!
//! In: a port that looks and makes what is missing. Out: readiness once everything was looked at, and
//! loud words where something is there in another form. It never drops and never changes what it did
//! not make: the other form may be a later version's, or somebody's decision, and rebuilding an index
//! of millions of documents is for people to time.

pub mod mongo;

use std::collections::BTreeMap;
use std::time::Duration;

use host::readiness::Latch;
use tracing::{error, info, warn};

use crate::metrics;

/// Pause between attempts while the database is away.
const RETRY: Duration = Duration::from_secs(1);
/// Pause between looks at what is in another form.
const AGAIN: Duration = Duration::from_secs(60);

/// What the collection has beside its documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// What the histories are read from.
    Index,
    /// What refuses documents that are no purchases.
    Validator,
}

impl Part {
    /// Both, the index first: making it makes the collection.
    pub const ALL: [Self; 2] = [Self::Index, Self::Validator];

    /// Its name in logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Validator => "validator",
        }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is as it should be.
    AsWanted,
    /// It was not there, and is now.
    Made,
    /// It is there in another form: which, and which was wanted.
    Differs(String),
    /// The server does not know such a thing, or we may not make it.
    Refused(String),
}

/// The port to the database.
pub trait SchemaStore: Send + Sync + 'static {
    /// Looks, and makes what is missing. May be repeated, by any number of replicas at once.
    ///
    /// # Errors
    /// Why nothing is known, in words.
    fn ensure(&self, part: Part) -> impl Future<Output = Result<Found, String>> + Send;
}

/// Works until everything is as it should be; meets `latch` as soon as everything was looked at.
///
/// Another form is no reason not to be ready: purchases are stored and histories are true with any
/// index, if slowly, and a deployment that cannot start helps nobody.
pub async fn keep<S: SchemaStore>(store: S, latch: Latch) {
    let mut told = BTreeMap::new();
    loop {
        let pause = match look(&store, &mut told).await {
            Ok(true) => return latch.meet(),
            Ok(false) => {
                latch.meet();
                AGAIN
            }
            Err(cause) => {
                latch.waits(&cause);
                if told.insert(None, cause.clone()).as_ref() != Some(&cause) {
                    warn!(%cause, "index and validator cannot be looked at, will keep trying");
                }
                RETRY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// What was last said of each part; of the whole under `None`.
type Told = BTreeMap<Option<Part>, String>;

/// Whether nothing is left to be done by anybody.
async fn look<S: SchemaStore>(store: &S, told: &mut Told) -> Result<bool, String> {
    let mut done = true;
    for part in Part::ALL {
        let name = part.label();
        let found = store.ensure(part).await?;
        metrics::schema_differs(part, matches!(found, Found::Differs(_)));
        let mut news = |what: &String| told.insert(Some(part), what.clone()).as_ref() != Some(what);
        match found {
            Found::Made => info!(part = name, "made"),
            Found::AsWanted => {
                if told.remove(&Some(part)).is_some() {
                    info!(part = name, "is as it should be again");
                }
            }
            Found::Differs(how) => {
                done = false;
                if news(&how) {
                    error!(part = name, %how, "is there in another form, and stays as it is: drop it, and it will be made");
                }
            }
            Found::Refused(why) => {
                if news(&why) {
                    warn!(part = name, %why, "could not be made; the service goes on without it");
                }
            }
        }
    }
    told.remove(&None);
    Ok(done)
}

#[cfg(test)]
mod tests;
