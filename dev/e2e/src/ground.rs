//! The broker and database that a proof stands on. In: whether it will make them fail; out: a
//! stack, shared by all proofs of this program that leave it alone, or one of its own.

use std::ops::Deref;
use std::time::Duration;

use bson::doc;
use devstack::{Builder, Secured, Stack, StackError};
use mongodb::Client;
use tokio::sync::OnceCell;

use crate::bins;

/// A dead member's partitions are given to others after this long where the broker is ours; the
/// broker's own default allows no less than 6 s, and a proof kills ten members.
const SHORT_SESSION: Duration = Duration::from_secs(2);
/// The shortest that every broker allows.
const LONG_SESSION: Duration = Duration::from_secs(6);

static SHARED: OnceCell<Stack> = OnceCell::const_new();
static SECURED: OnceCell<Stack> = OnceCell::const_new();
static CLUSTER: OnceCell<Stack> = OnceCell::const_new();

/// A stack, shared or not.
#[derive(Debug)]
pub enum Ground {
    /// Everybody's: addresses from the environment, where there are any.
    Shared(&'static Stack),
    /// Everybody's who wants TLS and users; never one that was given by address.
    Secured(&'static Stack),
    /// Three brokers, and proxies before everything: one proof after the other faults it, and finds
    /// it whole; never one that was given by address.
    Cluster(&'static Stack),
    /// To be killed and frozen at will; never one that was given by address.
    Own(Box<Stack>),
}

impl Ground {
    /// The one that nobody faults.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn shared() -> Self {
        let start = || start_shared("stack", Stack::builder());
        Self::Shared(SHARED.get_or_init(start).await)
    }

    /// One with TLS and users, that nobody faults. Its witnesses see the broker without either.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn secured() -> Self {
        let start = || async {
            let stack = start_shared("secured", Stack::builder().own().secured()).await;
            // Only the first may be made without a user.
            let nobody = stack.secured_mongodb_uri(None);
            create_database_user(&nobody, Secured::USER, Secured::PASSWORD).await;
            stack
        };
        Self::Secured(SECURED.get_or_init(start).await)
    }

    /// Three brokers whose topics are replicated on all, behind proxies, as is the database. Whatever
    /// the proof before did to it is mended.
    ///
    /// # Panics
    /// If it cannot be started, or is not to be mended.
    pub async fn cluster() -> Self {
        let start = || start_shared("cluster", Stack::builder().own().brokers(3).proxied(true));
        let stack = CLUSTER.get_or_init(start).await;
        let mended = stack.mend().await;
        mended.unwrap_or_else(|error| panic!("the cluster stays broken: {error}"));
        Self::Cluster(stack)
    }

    /// The database for a witness.
    pub fn database_uri(&self) -> String {
        match self {
            Self::Secured(stack) => {
                stack.secured_mongodb_uri(Some((Secured::USER, Secured::PASSWORD)))
            }
            Self::Shared(_) | Self::Cluster(_) | Self::Own(_) => self.mongodb_uri(),
        }
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
            Self::Shared(stack) | Self::Secured(stack) | Self::Cluster(stack) => stack,
            Self::Own(stack) => stack,
        }
    }
}

/// Statics are never dropped, so a temporary directory would stay behind; this one is found and
/// wiped by the next run. Its processes die with ours.
async fn start_shared(name: &str, builder: Builder) -> Stack {
    let builder = short_sessions(builder).fresh(true);
    for number in 0.. {
        let dir = bins::scratch().join(format!("{name}-{number}"));
        let builder = builder.clone().dir(dir);
        match builder.start().await {
            Ok(stack) => return stack,
            // Another run of the same proofs.
            Err(StackError::InUse { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("numbers do not end")
}

/// Makes a user that may do everything, in the database behind this address.
///
/// # Panics
/// If the database does not let us.
pub async fn create_database_user(uri: &str, name: &str, password: &str) {
    let command = doc! { "createUser": name, "pwd": password, "roles": ["root"] };
    let made = async {
        let client = Client::with_uri_str(uri).await?;
        client.database("admin").run_command(command).await
    };
    let made = made.await;
    made.unwrap_or_else(|error| panic!("the user {name} cannot be made: {error}"));
}

fn short_sessions(builder: Builder) -> Builder {
    builder.broker_properties([("group.min.session.timeout.ms", "1000")])
}
