//! How many files this process may have open.
//!
//! In: the limit it was started with. Out: the largest that it may give itself: every connection is
//! a file, and what shells and service managers give by default is less than the connections allowed.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More is of no use; some systems name a billion, and programs that walk all of them suffer.
const MOST: u64 = 1 << 20;

/// Raises the limit as far as it may; one that stays is no failure: accepting says so by itself.
pub(crate) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(MOST).min(MOST);
    if current.is_some_and(|current| current < wanted) {
        let raised = Rlimit {
            current: Some(wanted),
            maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%error, wanted, "the limit of open files stays");
        }
    }
}
