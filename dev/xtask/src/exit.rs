//! How a command fails. In: a reason; out: one message and an exit code. It must not decide what
//! to do about it.

use std::fmt::{self, Display};

/// The command line or its environment is wrong.
pub(crate) const USAGE: u8 = 64;
/// Something outside is missing or in the way: a tool, a port, another run.
pub(crate) const UNAVAILABLE: u8 = 69;
/// One of ours ended with an error.
pub(crate) const SOFTWARE: u8 = 70;

/// Why a command failed, in one message that names the thing and the remedy.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(UNAVAILABLE, message)
    }

    pub(crate) fn software(message: impl Into<String>) -> Self {
        Self::new(SOFTWARE, message)
    }

    /// Wraps an input/output error with what was being done.
    pub(crate) fn doing(what: impl Display) -> impl FnOnce(std::io::Error) -> Failure {
        move |error| Failure::software(format!("{what}: {error}"))
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<devstack::StackError> for Failure {
    fn from(error: devstack::StackError) -> Self {
        Self::unavailable(error.to_string())
    }
}
