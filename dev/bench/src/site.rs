//! Where the measuring happens: the running stack, the programs, a place for logs.
//!
//! In: nothing but the environment. Out: recipes for child processes, and the ids of the broker
//! and the database. It must not know what is measured.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use devstack::process::Spawn;
use devstack::{Progress, Stack};
use tokio::net::TcpStream;

use crate::Failure;
use crate::load::client::{ROOM, exchange};

/// A stack of our own and the programs beside it.
pub(crate) struct Site {
    stack: Stack,
    programs: PathBuf,
    myself: PathBuf,
    logs: PathBuf,
}

impl Site {
    /// Starts broker and database and looks for the services.
    pub(crate) async fn open() -> Result<Self, Failure> {
        raise_file_limit();
        let myself = std::env::current_exe()?;
        let beside = myself.parent().map(PathBuf::from).unwrap_or_default();
        let programs = std::env::var_os("BENCH_BIN_DIR").map_or(beside, PathBuf::from);
        for service in ["producer-svc", "consumer-svc"] {
            if !programs.join(service).is_file() {
                let at = programs.display();
                return Err(format!(
                    "{service} is not in {at}: build it optimized, or set BENCH_BIN_DIR"
                )
                .into());
            }
        }
        let stack = Stack::builder()
            .own()
            .full_jit(true)
            .progress(progress())
            .start()
            .await?;
        let logs = stack.dir().join("bench-logs");
        std::fs::create_dir_all(&logs)?;
        Ok(Self {
            stack,
            programs,
            myself,
            logs,
        })
    }

    /// Ends broker and database.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        Ok(self.stack.stop().await?)
    }

    /// The broker and the database.
    pub(crate) fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The broker's process.
    pub(crate) fn broker(&self) -> Result<u32, Failure> {
        Ok(self.stack.broker(0).pid().ok_or("the broker has ended")?)
    }

    /// The database's process.
    pub(crate) fn database(&self) -> Result<u32, Failure> {
        Ok(self
            .stack
            .database()
            .pid()
            .ok_or("the database has ended")?)
    }

    /// How to start one of our services; it is told where the broker and database are.
    pub(crate) fn service(&self, name: &str, settings: &[Setting]) -> Spawn {
        let spawn = self
            .child(name, self.programs.join(name))
            .env("KAFKA_BOOTSTRAP_SERVERS", self.stack.bootstrap_servers())
            .env("MONGODB_URI", self.stack.mongodb_uri())
            .env("RUST_LOG", "warn");
        settings
            .iter()
            .fold(spawn, |spawn, Setting { name, value }| {
                spawn.env(name, value)
            })
    }

    /// How to start this program again in another role.
    pub(crate) fn myself(&self, name: &str) -> Spawn {
        self.child(name, self.myself.clone())
    }

    /// How to start another of this package's programs, which cargo puts beside this one.
    pub(crate) fn beside(&self, name: &str) -> Spawn {
        self.child(name, self.myself.with_file_name(name))
    }

    /// How to start any program: nothing of our environment, its output in a log.
    pub(crate) fn child(&self, name: &str, program: PathBuf) -> Spawn {
        Spawn::new(name, program)
            .env_clear()
            .log(self.logs.join(format!("{name}.log")))
    }

    /// A place for a contestant's files.
    pub(crate) fn logs(&self) -> &PathBuf {
        &self.logs
    }

    /// What the figures were made on.
    pub(crate) fn machine(&self) -> String {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or("?").to_owned();
        format!(
            "{cores} cores; load average before the run {load}. One broker (Apache Kafka, full JIT) and one \
             database beside everything else; median of the rounds, lowest–highest in brackets."
        )
    }
}

/// A variable for one of our services, as NAME=VALUE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: String,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("is not NAME=VALUE".to_owned()),
        }
    }
}

/// Where notices about installing and starting go.
pub(crate) fn progress() -> Progress {
    Progress::new(|notice| say(notice.text()))
}

/// Whether one of our services says on its admin port that it can be given work.
pub(crate) async fn is_ready(admin: SocketAddr) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(admin).await?;
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\n\r\n");
        exchange(&mut stream, request.as_bytes(), &mut [0; ROOM]).await
    };
    asked.await.is_ok_and(|status| status == 200)
}

/// A line for whoever is waiting.
pub(crate) fn say(text: &str) {
    eprintln!("bench: {text}");
}

/// A thousand connections need two thousand files in one process or the other; children inherit this.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        say(&format!("the limit of open files stays as it is: {error}"));
    }
}
