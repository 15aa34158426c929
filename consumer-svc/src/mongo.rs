//! The database client of this process, and the one rule for using it.

#[cfg(test)]
pub(crate) mod fake;

use std::time::{Duration, Instant};

use actors::{Cost, Credits, Permit, owned_within};
use bson::Document;
use mongodb::Client;
use mongodb::error::{Error, ErrorKind};
use mongodb::event::EventHandler;
use mongodb::event::cmap::CmapEvent;
use mongodb::options::{
    Acknowledgment, ClientOptions, CollectionOptions, ConnectionString, Tls, TlsOptions,
    WriteConcern,
};

use crate::config::MongoConfig;
use crate::metrics::Pool;

/// The driver's own search for a server; shorter than ours for an answer, so that its reason
/// reaches the log.
const SERVER_SELECTION: Duration = Duration::from_secs(3);

/// Opens no connection yet; the driver finds the servers in the background.
///
/// # Errors
/// A connection string the driver does not take, by the variable's name. What the driver says of
/// one that seems to hold a password is left out, because it repeats pieces of it.
pub(crate) async fn connect(config: &MongoConfig) -> Result<Client, String> {
    let uri = config.uri.expose();
    let named = |reason| format!("MONGODB_URI: {reason}");
    let parsed = parse(uri).map_err(named)?;
    let refused = |cause: Error| named(not_taken(uri, &cause));
    let mut options = ClientOptions::parse(parsed).await.map_err(refused)?;
    if let Some((name, password)) = &config.user {
        let credential = options.credential.get_or_insert_default();
        credential.username = Some(name.clone());
        credential.password = Some(password.expose().to_owned());
    }
    if let Some(path) = &config.tls_ca_file {
        let mut tls = match options.tls.take() {
            Some(Tls::Disabled) => {
                return Err(
                    "MONGODB_TLS_CA_FILE: is set, but MONGODB_URI says tls=false".to_owned(),
                );
            }
            Some(Tls::Enabled(tls)) => tls,
            None => TlsOptions::default(),
        };
        tls.ca_file_path = Some(path.into());
        options.tls = Some(Tls::Enabled(tls));
    }
    options
        .app_name
        .get_or_insert_with(|| "consumer-svc".to_owned());
    options
        .server_selection_timeout
        .get_or_insert(SERVER_SELECTION);
    let pool = Pool::new();
    options.cmap_event_handler = Some(EventHandler::callback(move |event| watch(&pool, &event)));
    Client::with_options(options).map_err(refused)
}

/// What the driver makes of a connection string, without asking anybody for what it names.
///
/// # Errors
/// Why it takes none of it, as the end of a sentence about the variable.
pub(crate) fn parse(uri: &str) -> Result<ConnectionString, String> {
    let read = ConnectionString::parse(uri).map_err(|cause| not_taken(uri, &cause))?;
    let concern = read.write_concern.as_ref();
    let (w, journal) = concern.map_or((None, None), |concern| {
        (concern.w.as_ref(), concern.journal)
    });
    // Not overruled in silence: whoever asks for less believes to have it.
    if w.is_some_and(|w| *w != Acknowledgment::Majority) || journal == Some(false) {
        return Err(
            "(value hidden) asks for another write concern; what is settled is written with w=majority and \
             journal=true always, so leave w and journal out"
                .to_owned(),
        );
    }
    Ok(read)
}

fn not_taken(uri: &str, cause: &Error) -> String {
    if uri.contains('@') {
        "(value hidden) is not a connection string; user and password must be percent-encoded, or set in \
         MONGODB_USERNAME and MONGODB_PASSWORD"
            .to_owned()
    } else {
        cause.to_string()
    }
}

/// What the driver says, and where it does not let us in the same sentence every time, with the
/// variables to look at: its own words repeat the state of all servers, in any order.
pub(crate) fn words(error: &Error) -> String {
    let said = error.to_string();
    if said.contains("SCRAM failure") || said.contains("Authentication failed") {
        "the database does not know this user with this password (Authentication failed); \
         check MONGODB_USERNAME and MONGODB_PASSWORD, or the user in MONGODB_URI"
            .to_owned()
    } else if let Some((_, reason)) = said.split_once("invalid peer certificate: ") {
        let reason: String = reason
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        format!(
            "the database's certificate is not trusted ({reason}); \
             check MONGODB_TLS_CA_FILE, or tlsCAFile in MONGODB_URI"
        )
    } else if let ErrorKind::Command(refusal) = error.kind.as_ref() {
        if refusal.code != UNAUTHORIZED {
            return format!(
                "{} ({}, {})",
                refusal.message, refusal.code_name, refusal.code
            );
        }
        // Behind the command's name stands all of it.
        let what = refusal.message.split_once(" { ");
        let what = what.map_or(refusal.message.as_str(), |(begin, rest)| {
            match rest.split_once(':') {
                Some((name, _)) => &refusal.message[..begin.len() + " { ".len() + name.len()],
                None => begin,
            }
        });
        format!(
            "the database does not let this user do that ({}: {}); grant readWrite on MONGODB_DATABASE to \
             the user of MONGODB_USERNAME, or the one in MONGODB_URI",
            refusal.code_name,
            what.replace(" { ", " ")
        )
    } else {
        said
    }
}

/// The code of a command that its user may not send.
pub(crate) const UNAUTHORIZED: i32 = 13;

/// Keeps count of the driver's connections by what it tells of them.
fn watch(pool: &Pool, event: &CmapEvent) {
    match event {
        CmapEvent::ConnectionCreated(_) => pool.open.increment(1.0),
        CmapEvent::ConnectionClosed(_) => pool.open.decrement(1.0),
        CmapEvent::ConnectionCheckoutStarted(_) => pool.waiting.increment(1.0),
        CmapEvent::ConnectionCheckoutFailed(_) => {
            pool.waiting.decrement(1.0);
            pool.failed.increment(1);
        }
        CmapEvent::ConnectionCheckedOut(out) => {
            pool.waiting.decrement(1.0);
            pool.in_use.increment(1.0);
            pool.waited.record(out.duration);
        }
        CmapEvent::ConnectionCheckedIn(_) => pool.in_use.decrement(1.0),
        CmapEvent::PoolCleared(_) => pool.cleared.increment(1),
        _ => {}
    }
}

/// Writes with majority and journal: what is acknowledged survives a crash of the primary.
pub(crate) fn durable() -> CollectionOptions {
    let concern = WriteConcern::builder()
        .w(Acknowledgment::Majority)
        .journal(true)
        .build();
    CollectionOptions::builder().write_concern(concern).build()
}

/// The code of a command that was refused as a whole.
pub(crate) fn command_code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(error) => Some(error.code),
        _ => None,
    }
}

/// Whether the server that greets so stands alone: no member of a replica set, not even of one that is
/// still to be made, and no router before a cluster of them.
pub(crate) fn is_standalone(hello: &Document) -> bool {
    let is_member = |field| hello.contains_key(field);
    let is_router = hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
    !["setName", "isreplicaset"].into_iter().any(is_member) && !is_router
}

/// Waits for answers with a deadline, and for no more late ones than it is told.
///
/// The driver's future lives in a task of its own and is never dropped half way, which the driver
/// forbids. An answer that comes too late is of no use and does no harm, because what is repeated
/// is the same; but each holds a connection and its data, so a frozen database must not gather an
/// endless number of them.
#[derive(Clone)]
pub(crate) struct Answers {
    deadline: Duration,
    pending: Credits,
}

/// Why there is no good answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// The server or the driver said no.
    #[error("{}", words(.0))]
    Answered(Error),
    /// Nobody knows what became of the operation.
    #[error("{0}")]
    Unknown(String),
}

impl Answers {
    /// At most `most` operations without an answer at a time, late ones included; shown by `name`.
    pub(crate) fn new(name: &str, deadline: Duration, most: usize) -> Self {
        let pending = Credits::new(name, Cost::pieces(most));
        Self { deadline, pending }
    }

    /// The bound, to be shown.
    pub(crate) fn pending(&self) -> &Credits {
        &self.pending
    }

    /// How long an answer is waited for.
    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The answer to one operation; nothing is asked while there are too many without an answer.
    pub(crate) async fn to<T: Send + 'static>(
        &self,
        operation: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Failed> {
        self.within(self.deadline, operation).await
    }

    /// The same for whom has a deadline of his own.
    pub(crate) async fn within<T: Send + 'static>(
        &self,
        deadline: Duration,
        operation: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Failed> {
        let slot = self.pending.try_take(Cost::pieces(1));
        let slot = slot.map_err(|_| self.crowded())?;
        answered(slot, deadline, operation).await
    }

    /// The same of one of many that are asked at once, as there are partitions: each waits for its turn,
    /// and no longer for both than for an answer.
    pub(crate) async fn in_turn<T: Send + 'static>(
        &self,
        operation: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Failed> {
        let began = Instant::now();
        let slot = self.pending.take(Cost::pieces(1), self.deadline).await;
        let slot = slot.map_err(|_| self.crowded())?;
        let left = self.deadline.saturating_sub(began.elapsed());
        answered(slot, left, operation).await
    }

    fn crowded(&self) -> Failed {
        let most = self.pending.limit().count;
        Failed::Unknown(format!(
            "{most} earlier operations are still without an answer"
        ))
    }
}

async fn answered<T: Send + 'static>(
    slot: Permit,
    deadline: Duration,
    operation: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Failed> {
    let operation = async move {
        let result = operation.await;
        drop(slot);
        result
    };
    match owned_within(deadline, operation).await {
        Ok(answer) => answer.map_err(Failed::Answered),
        Err(unanswered) => Err(Failed::Unknown(unanswered.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn only_a_server_without_any_other_stands_alone() {
        assert!(is_standalone(&doc! { "isWritablePrimary": true }));
        for other in [
            doc! { "isWritablePrimary": true, "setName": "rs0" },
            doc! { "isWritablePrimary": false, "isreplicaset": true },
            doc! { "isWritablePrimary": true, "msg": "isdbgrid" },
        ] {
            assert!(!is_standalone(&other), "{other}");
        }
    }
}
