//! A database that answers what a healthy one does not, by its own test command. In: which of the
//! consumer's commands, and what is to become of them. Out: it does, until it is told to stop.
//!
//! Only the consumer is answered so, by the name that its client gives: a witness sees what there is.

use std::time::Duration;

use bson::{Bson, Document, doc};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::documents::Documents;
use crate::shop::Shop;
use crate::until;

const PATIENCE: Duration = Duration::from_secs(30);

/// What becomes of a command.
#[derive(Clone, Copy, Debug)]
pub enum Failing {
    /// It is refused with this code, and nothing is done.
    Refused(i32),
    /// It is done, and its write concern is not satisfied.
    Unconfirmed,
    /// It is done after so many milliseconds.
    Hanging(i64),
}

impl Documents {
    /// From now on the consumer's inserts fail so; the next `times` of them, if that is said.
    ///
    /// # Panics
    /// If the database knows no such test command.
    pub async fn fail_inserts(&self, how: Failing, times: Option<i32>) {
        let mut data = doc! { "failCommands": ["insert"], "appName": "consumer-svc" };
        match how {
            Failing::Refused(code) => data.insert("errorCode", code),
            Failing::Unconfirmed => {
                let words = "waiting for replication timed out";
                let concern =
                    doc! { "code": 64, "codeName": "WriteConcernTimeout", "errmsg": words };
                data.insert("writeConcernError", concern)
            }
            Failing::Hanging(millis) => {
                data.insert("blockConnection", true);
                data.insert("blockTimeMS", millis)
            }
        };
        let always = || Bson::from("alwaysOn");
        let mode = times.map_or_else(always, |times| doc! { "times": times }.into());
        self.configure(doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data })
            .await;
    }

    /// The end of that.
    ///
    /// # Panics
    /// If the database knows no such test command.
    pub async fn heal(&self) {
        self.configure(doc! { "configureFailPoint": "failCommand", "mode": "off" })
            .await;
    }

    async fn configure(&self, command: Document) {
        let done = self.client().database("admin").run_command(command).await;
        done.unwrap_or_else(|error| panic!("the database knows no failures: {error}"));
    }
}

/// From now on the database's disk is full: nothing can be written to any of its files. It ends with
/// the process.
///
/// A database may confirm the very write at which it finds that out, and have lost it after a restart.
/// That is a promise of its own to keep; so somebody else's writes let it find out, before this returns.
///
/// # Panics
/// If the database is not ours, or has room all the same.
pub async fn fill_the_disk(shop: &Shop) {
    let pid = shop.ground.database().pid().expect("the database runs");
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process has a number");
    let Rlimit { maximum, .. } = getrlimit(Resource::Fsize);
    let none = Rlimit {
        current: Some(0),
        maximum,
    };
    prlimit(Some(pid), Resource::Fsize, none).expect("the database is ours");
    let elsewhere = shop.documents.client().database("elsewhere");
    until("a write is refused", PATIENCE, async || {
        let written = elsewhere.collection("things").insert_one(doc! {}).await;
        written.is_err().then_some(())
    })
    .await;
}

/// From now on this process may open no file and no connection beyond those that it has; or, where `limit` says
/// so, so many again.
///
/// # Panics
/// If it is not ours.
pub fn limit_files(pid: u32, limit: u64) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process has a number");
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let limit = Rlimit {
        current: Some(limit),
        maximum,
    };
    prlimit(Some(pid), Resource::Nofile, limit).expect("the process is ours");
}
