//! The broker and database that a proof stands on. In: whether it will make them fail; out: a
//! stack, shared by all proofs of this program that leave it alone, or one of its own.

use std::ops::Deref;
use std::time::Duration;

use devstack::{Stack, StackError};
use tokio::sync::OnceCell;

use crate::bins;

/// A dead member's partitions are given to others after this long where the broker is ours; the
/// broker's own default allows no less than 6 s, and a proof kills ten members.
const SHORT_SESSION: Duration = Duration::from_secs(2);
/// The shortest that every broker allows.
const LONG_SESSION: Duration = Duration::from_secs(6);

static SHARED: OnceCell<Stack> = OnceCell::const_new();

/// A stack, shared or not.
#[derive(Debug)]
pub enum Ground {
    /// Everybody's: addresses from the environment, where there are any.
    Shared(&'static Stack),
    /// To be killed and frozen at will; never one that was given by address.
    Own(Box<Stack>),
}

impl Ground {
    /// The one that nobody faults.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn shared() -> Self {
        Self::Shared(SHARED.get_or_init(start_shared).await)
    }

    /// One to be faulted, in a temporary directory.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn own() -> Self {
        let started = short_sessions(Stack::builder().own()).start().await;
        Self::Own(Box::new(started.unwrap_or_else(|error| panic!("{error}"))))
    }

    /// A session timeout that this broker allows.
    pub fn session(&self) -> Duration {
        if self.broker(0).is_ours() {
            SHORT_SESSION
        } else {
            LONG_SESSION
        }
    }
}

impl Deref for Ground {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        match self {
            Self::Shared(stack) => stack,
            Self::Own(stack) => stack,
        }
    }
}

/// Statics are never dropped, so a temporary directory would stay behind; this one is found and
/// wiped by the next run. Its processes die with ours.
async fn start_shared() -> Stack {
    for number in 0.. {
        let dir = bins::scratch().join(format!("stack-{number}"));
        let builder = short_sessions(Stack::builder()).dir(dir).fresh(true);
        match builder.start().await {
            Ok(stack) => return stack,
            // Another run of the same proofs.
            Err(StackError::InUse { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("numbers do not end")
}

fn short_sessions(builder: devstack::Builder) -> devstack::Builder {
    builder.broker_properties([("group.min.session.timeout.ms", "1000")])
}
