//! How an actor came to its end. In: what the adapter and the supervisor saw. Out: a class to decide on.
//!
//! Pure: imports neither tokio nor ractor.

use std::error::Error;
use std::fmt;

use serde::Serialize;

use crate::guard::catch_now;

/// What a stage returns when it cannot go on: any error, by its own text.
pub type Failure = Box<dyn Error + Send + Sync>;

/// The class of an ended actor. Restart rules look at the class only, never at the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "class", content = "cause")]
pub enum Exit {
    /// It said so itself ([`Cx::finish`](crate::Cx::finish)).
    Normal,
    /// It was asked to drain and did.
    Drained,
    /// Its supervisor killed it: no failure.
    Killed,
    /// Somebody else ended it, for example a runtime that is shutting down: a failure.
    KilledByOthers,
    /// A callback returned an error.
    Failed(String),
    /// A callback or an owned task panicked.
    Panicked(String),
    /// It never came up.
    StartFailed(String),
    /// A supervisor gave up: too many restarts, or a child that would not die.
    MeltedDown(String),
}

impl Exit {
    /// Whether a [`Restart::Transient`](crate::Restart::Transient) child is restarted after it.
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Normal | Self::Drained | Self::Killed)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("ended normally"),
            Self::Drained => f.write_str("drained"),
            Self::Killed => f.write_str("killed by its supervisor"),
            Self::KilledByOthers => f.write_str("killed from outside"),
            Self::Failed(cause) => write!(f, "failed: {cause}"),
            Self::Panicked(cause) => write!(f, "panicked: {cause}"),
            Self::StartFailed(cause) => write!(f, "did not start: {cause}"),
            Self::MeltedDown(cause) => write!(f, "gave up: {cause}"),
        }
    }
}

/// An error with its sources in one line, as it stands in [`Exit::Failed`]. Errors are other people's
/// code: one that panics while it tells or goes is told as such.
pub(crate) fn told(failure: Failure) -> String {
    catch_now(move || chain(failure.as_ref()))
        .unwrap_or_else(|panic| format!("an error that cannot be told, since it panicked: {panic}"))
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
