//! Who takes part in `POST /buy`, and how each is started. In: a topic of its own; out: a process
//! that answers, and how long that took.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use devstack::free_port;
use devstack::process::{Process, Spawn};
use tokio::net::TcpStream;

use crate::Failure;
use crate::peers::loopback;
use crate::proc_stat::{self, Memory};
use crate::python::Python;
use crate::site::{Setting, Site, is_ready};

/// How long a contestant may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked: this is how exactly its start is known.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// One who takes part.
pub(super) struct Contestant {
    kind: Kind,
    name: String,
}

/// What it is.
pub(super) enum Kind {
    /// The services' HTTP server with nothing behind it.
    Noop,
    /// warp and rdkafka's `FutureProducer`.
    Plain {
        /// What a record waits for company.
        linger_ms: u32,
        /// Whose allocator it has.
        allocator: Allocator,
    },
    /// The original Python service.
    FastApi(Python),
    /// producer-svc, with these variables beside its own defaults.
    Ours(Vec<Setting>),
}

/// What a program's memory comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allocator {
    /// The system's, as who writes such a program has it.
    System,
    /// The services'.
    Ours,
}

/// A contestant that answers.
pub(super) struct Running {
    pub(super) process: Process,
    /// Where `POST /buy` is.
    pub(super) addr: SocketAddr,
    /// From its start until it was ready.
    pub(super) start: Duration,
    /// Its memory then.
    pub(super) idle: Memory,
}

impl Contestant {
    pub(super) fn new(kind: Kind) -> Self {
        let name = match &kind {
            Kind::Noop => "no-op POST, same server".to_owned(),
            Kind::Plain {
                linger_ms,
                allocator,
            } => {
                let with = match allocator {
                    Allocator::System => "",
                    Allocator::Ours => ", our allocator",
                };
                format!("plain warp + FutureProducer, linger {linger_ms} ms{with}")
            }
            Kind::FastApi(_) => "FastAPI + aiokafka".to_owned(),
            Kind::Ours(_) => "**ours**".to_owned(),
        };
        Self { kind, name }
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether its answers promise a record in the topic.
    pub(super) fn writes(&self) -> bool {
        !matches!(self.kind, Kind::Noop)
    }

    /// Starts it and waits until it is ready.
    pub(super) async fn start(&self, site: &Site, topic: &str) -> Result<Running, Failure> {
        let (port, admin) = (free_port(), free_port());
        let spawn = self.spawn(site, topic, port, admin);
        let began = Instant::now();
        let process = spawn.start()?;
        let deadline = began + PATIENCE;
        // No growing pauses: the time itself is a figure here.
        while !self.is_ready(port, admin).await {
            if !process.is_running() || Instant::now() > deadline {
                return Err(format!(
                    "{} did not become ready:\n{}",
                    self.name,
                    process.log_tail(15)
                )
                .into());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        let start = began.elapsed();
        Ok(Running {
            addr: loopback(port),
            start,
            idle: proc_stat::settled(process.pid()).await?,
            process,
        })
    }

    fn spawn(&self, site: &Site, topic: &str, port: u16, admin: u16) -> Spawn {
        let at = port.to_string();
        match &self.kind {
            Kind::Noop => site.myself("noop").args(["peer", "noop", "--port", &at]),
            Kind::Plain {
                linger_ms,
                allocator,
            } => match allocator {
                Allocator::System => site.beside("plain-warp"),
                Allocator::Ours => site.myself("plain").args(["peer", "plain"]),
            }
            .args([
                "--port",
                &at,
                "--topic",
                topic,
                "--linger-ms",
                &linger_ms.to_string(),
            ])
            .args(["--bootstrap-servers", &site.stack().bootstrap_servers()]),
            Kind::FastApi(python) => python
                .spawn(
                    site,
                    "fastapi",
                    &[
                        "-m",
                        "uvicorn",
                        "buy_service:app",
                        "--host",
                        "127.0.0.1",
                        "--port",
                        &at,
                    ],
                )
                .args([
                    "--loop",
                    "uvloop",
                    "--http",
                    "httptools",
                    "--log-level",
                    "warning",
                    "--no-access-log",
                ])
                .env("KAFKA_TOPIC", topic),
            Kind::Ours(settings) => site
                .service("producer-svc", settings)
                .env("HTTP_ADDR", loopback(port).to_string())
                .env("ADMIN_ADDR", loopback(admin).to_string())
                .env("KAFKA_TOPIC", topic)
                // Nobody is there: history is not measured here.
                .env(
                    "CUSTOMER_MANAGEMENT_API_URL",
                    format!("http://{}", loopback(free_port())),
                ),
        }
    }

    async fn is_ready(&self, port: u16, admin: u16) -> bool {
        match self.kind {
            Kind::Ours(_) => is_ready(loopback(admin)).await,
            _ => TcpStream::connect(loopback(port)).await.is_ok(),
        }
    }
}
