//! How a process ends: a few codes that scripts and orchestrators can tell apart.
//!
//! In: why it ends. Out: the exit code, from the BSD `sysexits` list.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// Why the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// It did what it was for, or was asked to stop and drained.
    Ok = 0,
    /// `healthcheck` found the service not ready, not alive or not there.
    Unhealthy = 1,
    /// The command line or the configuration is wrong; a restart will not help.
    Usage = 64,
    /// Something it needs is not there, such as its port.
    Unavailable = 69,
    /// It failed inside: an actor melted down, an invariant broke.
    Software = 70,
    /// It stopped, but not within its deadline: something was given up.
    Overran = 75,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// A failure that ends the process, with the code that it ends with.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    cause: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// Ends the process with `code` because of `cause`.
    pub fn new(code: Code, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            code,
            cause: cause.into(),
        }
    }

    /// The code that the process ends with.
    pub fn code(&self) -> Code {
        self.code
    }
}

/// The cause and its causes, in one line.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        let mut next = self.cause.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}
