//! What is told while things are installed and started. In: notices; out: whatever the caller's
//! function does with them. It must not decide anything.

use std::io::Write as _;
use std::sync::Arc;

/// One line for whoever is waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// An installation, which may take minutes, goes on.
    Install(String),
    /// A part is being started or has become ready.
    Start(String),
    /// Something was found and dealt with that the user should know.
    Warning(String),
}

impl Notice {
    /// The text of the line.
    pub fn text(&self) -> &str {
        match self {
            Notice::Install(text) | Notice::Start(text) | Notice::Warning(text) => text,
        }
    }
}

/// Where notices go. The default writes installations and warnings to the error stream (past the
/// test harness' capture, because an installation inside a test takes minutes).
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(Notice) + Send + Sync>);

impl Progress {
    /// Notices go to this function; it may be called from any thread.
    pub fn new(tell: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Nothing is told.
    pub fn quiet() -> Self {
        Self::new(|_| {})
    }

    /// Tells one notice.
    pub fn tell(&self, notice: Notice) {
        (self.0)(notice);
    }

    pub(crate) fn install(&self, text: impl Into<String>) {
        self.tell(Notice::Install(text.into()));
    }

    pub(crate) fn start(&self, text: impl Into<String>) {
        self.tell(Notice::Start(text.into()));
    }

    pub(crate) fn warn(&self, text: impl Into<String>) {
        self.tell(Notice::Warning(text.into()));
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new(|notice| {
            if matches!(notice, Notice::Start(_)) {
                return;
            }
            // A closed error stream is no reason to fail an installation.
            drop(writeln!(std::io::stderr(), "devstack: {}", notice.text()));
        })
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Progress")
    }
}
