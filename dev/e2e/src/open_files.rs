//! Room for many connections in this process and in those it starts. In: nothing. Out: the limit of open
//! files, raised as far as it may be.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open files to its maximum; processes started from now on inherit it.
///
/// # Panics
/// If the system does not allow that.
pub fn allow_many() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("a limit may be raised to its maximum");
}
