//! What is logged, changed while the process runs.
//!
//! In: directives in the syntax of `RUST_LOG`, for good or for a while. Out: the filter in force. A
//! wrong text changes nothing, and a filter that was meant for a while takes itself back.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::Level;
use tracing_subscriber::filter::Directive;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// Reads directives, or says what is wrong with them and what would be right.
///
/// A word by itself that is no level would be a target of which everything is logged, and of all
/// else nothing: that is how a mistyped level silences a service, so it has to be said outright.
pub(crate) fn filter(text: &str) -> Result<EnvFilter, String> {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let bare =
        |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_');
    for word in text.split(',').map(str::trim).filter(bare) {
        let number = word.parse().is_ok_and(|level: u8| level <= 5);
        if !number && !levels.iter().any(|level| word.eq_ignore_ascii_case(level)) {
            return Err(format!(
                "has {word:?}, which is no level ({}); everything of a target is target=trace",
                levels.join(", ")
            ));
        }
    }
    EnvFilter::try_new(text).map_err(|error| {
        // The library says what is wrong, and not with which of many.
        let wrong = |part: &&str| part.parse::<Directive>().is_err();
        let part = text.split(',').find(wrong).unwrap_or(text);
        format!("has {part:?}, which is no directive such as info or actors=debug: {error}")
    })
}

/// Changes what is logged while the process runs. Clones are one thing.
#[derive(Clone)]
pub struct Levels(Arc<Inner>);

struct Inner {
    handle: reload::Handle<EnvFilter, Registry>,
    /// Taken for a whole change, so that two changes and a return cannot mix.
    lent: Mutex<Option<Lent>>,
    /// Without a subscriber, what the handle changes.
    _detached: Option<reload::Layer<EnvFilter, Registry>>,
}

/// A filter that is in force for a while.
struct Lent {
    /// What comes back.
    before: String,
    until: Instant,
    returning: AbortHandle,
}

impl Levels {
    pub(crate) fn new(handle: reload::Handle<EnvFilter, Registry>) -> Self {
        Self::with(handle, None)
    }

    /// Levels of nothing, for tests: what is set is remembered and has no effect.
    pub fn detached() -> Self {
        let (layer, handle) = reload::Layer::new(EnvFilter::new("info"));
        Self::with(handle, Some(layer))
    }

    fn with(
        handle: reload::Handle<EnvFilter, Registry>,
        detached: Option<reload::Layer<EnvFilter, Registry>>,
    ) -> Self {
        Self(Arc::new(Inner {
            handle,
            lent: Mutex::default(),
            _detached: detached,
        }))
    }

    /// Logs by these directives from now on.
    ///
    /// # Errors
    ///
    /// What is wrong with them; then nothing has changed.
    pub fn set(&self, directives: &str) -> Result<(), String> {
        let filter = filter(directives)?;
        let mut lent = self.lent();
        self.change(filter, directives, "for good")?;
        if let Some(lent) = lent.take() {
            lent.returning.abort();
        }
        Ok(())
    }

    /// Logs by these directives for a while, then by what was in force before the first such while.
    /// Call it inside the runtime.
    ///
    /// # Errors
    ///
    /// What is wrong with them; then nothing has changed.
    pub fn lend(&self, directives: &str, time: Duration) -> Result<(), String> {
        let filter = filter(directives)?;
        let mut lent = self.lent();
        let current = self.current();
        self.change(filter, directives, "for a while")?;
        let before = match lent.take() {
            None => current,
            Some(earlier) => {
                earlier.returning.abort();
                earlier.before
            }
        };
        let (levels, until) = (self.clone(), Instant::now() + time);
        let returning = tokio::spawn(async move {
            tokio::time::sleep_until(until).await;
            levels.take_back(until);
        });
        *lent = Some(Lent {
            before,
            until,
            returning: returning.abort_handle(),
        });
        Ok(())
    }

    /// The directives in force.
    pub fn current(&self) -> String {
        let current = self.0.handle.with_current(ToString::to_string);
        current.unwrap_or_default()
    }

    /// If they are in force for a while: what comes after, and how soon.
    pub fn returning(&self) -> Option<(String, Duration)> {
        let lent = self.lent();
        let lent = lent.as_ref()?;
        let left = lent.until.saturating_duration_since(Instant::now());
        Some((lent.before.clone(), left))
    }

    fn lent(&self) -> MutexGuard<'_, Option<Lent>> {
        self.0.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of the while that was to end now. A later one has its own.
    fn take_back(&self, until: Instant) {
        let mut lent = self.lent();
        let Some(over) = lent.take_if(|lent| lent.until == until) else {
            return;
        };
        let changed = filter(&over.before).and_then(|to| self.change(to, &over.before, "again"));
        if let Err(error) = changed {
            tracing::error!(%error, "the log filter did not come back");
        }
    }

    /// The change is told by whichever of the two filters lets it through.
    fn change(&self, to: EnvFilter, directives: &str, how: &'static str) -> Result<(), String> {
        let from = self.current();
        let say = || tracing::info!(from, to = directives, how, "the log filter is changed");
        let told = tracing::enabled!(Level::INFO);
        if told {
            say();
        }
        let reloaded = self.0.handle.reload(to).map_err(|error| error.to_string());
        if reloaded.is_ok() && !told {
            say();
        }
        reloaded
    }
}

impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Levels").field(&self.current()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_level_is_refused_and_a_target_is_not() {
        for good in [
            "info",
            "WARN",
            "0",
            "info,actors=debug",
            "hyper::client=trace,off",
            "",
        ] {
            assert!(filter(good).is_ok(), "{good:?}");
        }
        for bad in ["debgu", "info,debgu", "actors=debgu", "info,=,"] {
            assert!(filter(bad).is_err(), "{bad:?}");
        }
        assert!(filter("info,debgu").unwrap_err().contains("\"debgu\""));
    }

    #[tokio::test(start_paused = true)]
    async fn a_filter_for_a_while_takes_itself_back() {
        let levels = Levels::detached();
        levels.lend("debug", Duration::from_secs(60)).unwrap();
        assert_eq!(levels.current(), "debug");
        let minute = Some(("info".to_owned(), Duration::from_secs(60)));
        assert_eq!(levels.returning(), minute);
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert_eq!(levels.current(), "debug");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(
            (levels.current(), levels.returning()),
            ("info".into(), None)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_while_returns_to_before_the_first() {
        let levels = Levels::detached();
        levels.lend("debug", Duration::from_secs(60)).unwrap();
        levels.lend("trace", Duration::from_secs(600)).unwrap();
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(levels.current(), "trace", "the first end is void");
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(levels.current(), "info");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_set_for_good_stays_and_what_is_wrong_changes_nothing() {
        let levels = Levels::detached();
        levels.lend("debug", Duration::from_secs(60)).unwrap();
        levels.set("warn").unwrap();
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(levels.current(), "warn");
        assert!(levels.set("actors=loud").is_err());
        assert!(levels.lend("loud", Duration::from_secs(60)).is_err());
        assert_eq!(
            (levels.current(), levels.returning()),
            ("warn".into(), None)
        );
    }
}
